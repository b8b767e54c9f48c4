//! A sealed store: of what is planted in the records nothing is found in the
//! files of a backup, and in the files of a backup that is not sealed all of
//! it is.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;
#[path = "sealed/passphrase.rs"]
mod passphrase;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use harness::{Ran, Site, hikae, look};
use hikae::catalogue::Catalogue;
use hikae::progress::Silent;

/// The home of the backup whose store is sealed.
const SEALED: &str = "sealed";
const PASSPHRASE: &str = "correct horse battery staple";
/// Facilities and patients that nothing else looks like.
const FACILITIES: [&str; 2] = ["7731904422", "7731904423"];
const PATIENTS: u64 = 50;
const PLANTED: u64 = 10_000;
/// Four bytes that begin a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The n-th planted text; no two have a word in common.
fn planted(kind: &str, number: u64) -> String {
    let digest = blake3::hash(format!("{kind} {number}").as_bytes());
    hex(&digest.as_bytes()[..12])
}

/// Writes the records with the planted texts: directory, file name, content.
fn plant(site: &Site, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let facility = FACILITIES[(number % 2) as usize];
        let patient = (90_310_000 + number % PATIENTS).to_string();
        let (one, two) = (&patient[..3], &patient[3..6]);
        let [folder, name, content] =
            ["folder", "name", "content"].map(|kind| planted(kind, number));
        site.put(
            &format!("{facility}/STD01/{one}/{two}/{patient}/{folder}/{name}"),
            format!("MSH|^~\\&|{content}|{number}\r").as_bytes(),
        );
    }
}

/// A site with a second backup, whose store is sealed.
fn made() -> Site {
    let site = Site::empty();
    site.configure(false);
    let home = site.text(SEALED);
    let made = hikae(["init", "--home", &home, "--role", "backup"]).ok();
    let peer = format!("[[peer]]\nname = \"sealed\"\nid = {}\n", made["node_id"]);
    let center = site.path("center/hikae.toml");
    let text = fs::read_to_string(&center).unwrap();
    fs::write(center, text + &peer).unwrap();
    write_passphrase(&site, PASSPHRASE);
    configure(&site, "seal = true\npassphrase_file = \"passphrase\"\n");
    site
}

fn write_passphrase(site: &Site, text: &str) {
    let path = site.path(SEALED).join("passphrase");
    fs::write(&path, format!("{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn configure(site: &Site, seal: &str) {
    let text = format!(
        "role = \"backup\"\n{seal}[source]\nid = \"{}\"\n[[source.link]]\nname = \"loopback\"\n\
         remote = \"127.0.0.1:{}\"\n",
        site.center_id, site.port
    );
    fs::write(site.path(SEALED).join("hikae.toml"), text).unwrap();
}

fn sealed(site: &Site, arguments: &[&str]) -> Ran {
    let home = site.text(SEALED);
    hikae([arguments, &["--home", home.as_str()]].concat())
}

/// What a thief has of a home: every file's path and raw bytes, and what each
/// zstd frame that begins anywhere in them decodes to. Not what a person
/// wrote for the node, which a thief of a laptop has not, or knows anyway.
fn loot(home: &Path) -> BTreeMap<PathBuf, Vec<Vec<u8>>> {
    let mut loot = BTreeMap::new();
    for path in files(home) {
        let bytes = fs::read(&path).unwrap();
        let name = path.as_os_str().as_bytes().to_vec();
        let frames = bytes.windows(4).enumerate();
        let frames = frames.filter(|(_, magic)| *magic == ZSTD_MAGIC);
        let mut found: Vec<Vec<u8>> = frames.map(|(at, _)| decoded(&bytes[at..])).collect();
        found.push(name);
        found.push(bytes);
        loot.insert(path, found);
    }
    loot
}

fn files(home: &Path) -> Vec<PathBuf> {
    let files = harness::folders(home).into_iter().flat_map(|folder| {
        let items = fs::read_dir(folder).unwrap();
        items.map(|item| item.unwrap().path()).collect::<Vec<_>>()
    });
    let own = ["hikae.toml", "node.key", "passphrase"].map(|name| home.join(name));
    files
        .filter(|path| path.is_file() && !own.contains(path))
        .collect()
}

/// As much of a zstd frame as decodes.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::new(bytes) {
        let _ = decoder.single_frame().take(8 << 20).read_to_end(&mut out);
    }
    out
}

/// Which of the patterns are in the loot, and the first place of each.
fn searched(patterns: &[Vec<u8>], home: &Path) -> BTreeMap<usize, PathBuf> {
    let search = AhoCorasick::new(patterns).unwrap();
    let mut found = BTreeMap::new();
    for (path, parts) in loot(home) {
        for part in parts {
            for hit in search.find_overlapping_iter(&part) {
                let place = || path.clone();
                found.entry(hit.pattern().as_usize()).or_insert_with(place);
            }
        }
    }
    found
}

/// Everything that is to be kept secret, by what it is.
fn secrets(site: &Site) -> Vec<(String, Vec<u8>)> {
    let mut secrets = Vec::new();
    for number in 0..PLANTED {
        for kind in ["folder", "name", "content"] {
            secrets.push((kind.to_string(), planted(kind, number).into_bytes()));
        }
    }
    for facility in FACILITIES {
        secrets.push(("facility".into(), facility.into()));
    }
    for patient in 0..PATIENTS {
        let patient = (90_310_000 + patient).to_string();
        secrets.push(("patient".into(), patient.into_bytes()));
    }
    let mut digests: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    for seen in look(&site.volumes()).values() {
        digests.insert(*blake3::hash(&seen.content).as_bytes(), "content's digest");
    }
    let store = site.path("backup/store");
    let catalogue = Catalogue::open(&store, None, &Silent).unwrap();
    for (_, value) in catalogue.view().leaves_below(b"").unwrap() {
        digests.insert(value.digest.unwrap().0, "manifest's digest");
    }
    digests.insert(catalogue.snapshot().unwrap().root.0, "root");
    catalogue.close().unwrap();
    for (digest, kind) in digests {
        secrets.push((kind.to_string(), digest.to_vec()));
    }
    secrets
}

/// [S9-20] [S9-28] of paths, contents and digests of a sealed store nothing
/// is found in its files, with what finds them all in one that is not.
#[test]
fn nothing_that_was_planted_is_found() {
    let site = made();
    plant(&site, 0..PLANTED / 2);
    site.center(&["scan"]).ok();
    let center = site.serve();
    site.backup(&["sync"]).ok();
    sealed(&site, &["sync"]).ok();
    center.end();

    plant(&site, PLANTED / 2..PLANTED);
    site.center(&["scan", "--walk"]).ok();
    let mut center = site.serve();
    // Killed on its way, it makes its index anew.
    let mut following = site.spawn(SEALED, &["sync", "--follow"]);
    let until = Instant::now() + Duration::from_secs(20);
    let clean = site.path(SEALED).join("store/clean");
    while clean.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(150));
    following.kill();
    let rebuilt = sealed(&site, &["status"]).ok();
    assert!(!rebuilt["rebuilt"].is_null(), "{rebuilt}");
    let [one, two] = [site.backup(&["sync"]).ok(), sealed(&site, &["sync"]).ok()];
    assert_eq!(one["root"], two["root"]);
    assert_eq!(two["roots_equal"], true, "{two}");
    center.kill();
    let verified = sealed(&site, &["verify"]).ok();
    assert_eq!(verified["differences_total"], 0, "{verified}");
    assert_eq!(verified["contents"], PLANTED, "{verified}");

    let mut secrets = secrets(&site);
    let hexadecimal = secrets.iter().filter(|(kind, _)| kind.contains("digest"));
    let hexadecimal: Vec<_> = hexadecimal
        .map(|(kind, bytes)| (format!("{kind} in hexadecimal"), hex(bytes).into_bytes()))
        .collect();
    let raw = secrets.len();
    secrets.extend(hexadecimal);
    let patterns: Vec<Vec<u8>> = secrets.iter().map(|(_, bytes)| bytes.clone()).collect();

    let found = searched(&patterns, &site.path("backup"));
    let missed: BTreeSet<&str> = (0..raw)
        .filter(|at| !found.contains_key(at))
        .map(|at| secrets[at].0.as_str())
        .collect();
    assert!(missed.is_empty(), "the search does not find: {missed:?}");
    let found = searched(&patterns, &site.path(SEALED));
    let shown: Vec<_> = found
        .iter()
        .map(|(at, path)| (secrets[*at].0.as_str(), path))
        .collect();
    assert!(
        shown.is_empty(),
        "{} found: {:#?}",
        shown.len(),
        &shown[..shown.len().min(10)]
    );
}

/// Every file of the home but the lock, which is opened in any case, and the
/// count of wrong guesses.
fn held(site: &Site) -> BTreeMap<Vec<u8>, harness::Seen> {
    let mut held = look(&site.path(SEALED));
    held.remove(&b"lock"[..]);
    held.remove(&b"guesses"[..]);
    held
}

/// [S9-22] [S9-26] without the passphrase a sealed store is neither read nor
/// changed nor pulled into; the error says what is wrong.
#[test]
fn without_the_passphrase_nothing_is_read_or_changed() {
    let site = made();
    plant(&site, 0..40);
    site.center(&["scan"]).ok();
    let center = site.serve();
    sealed(&site, &["sync"]).ok();
    let before = held(&site);
    let key = site.path(SEALED).join("store/segments/store.key");
    let copy = site.path(SEALED).join("store/segments/store.key.copy");
    #[track_caller]
    fn refused(site: &Site, code: i32, expected: &str) {
        let before = held(site);
        for command in ["sync", "status", "verify", "serve"] {
            // Without any passphrase it waits for one.
            if command == "serve" && code == 2 && expected == "passphrase_file" {
                continue;
            }
            let error = sealed(site, &[command]).failed(code);
            assert!(error.contains(expected), "{command}: {error}");
        }
        assert!(held(site) == before, "{expected}: something was changed");
    }
    write_passphrase(&site, "wrong");
    refused(&site, 1, "the passphrase does not open this store");
    write_passphrase(&site, PASSPHRASE);
    let [one, two] = [&key, &copy].map(|path| fs::read(path).unwrap());
    assert_eq!(one, two);
    for path in [&key, &copy] {
        fs::write(path, b"garbled").unwrap();
    }
    refused(&site, 1, "nothing of the store can be read");
    for path in [&key, &copy] {
        fs::remove_file(path).unwrap();
    }
    refused(&site, 1, "nothing of the store can be read");
    fs::write(&copy, &two).unwrap();
    let seal = "seal = true\npassphrase_file = \"passphrase\"\n";
    configure(&site, "");
    refused(&site, 1, "the store is sealed");
    configure(&site, "seal = true\n");
    refused(&site, 2, "passphrase_file");
    configure(&site, seal);
    let file = site.path(SEALED).join("passphrase");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    refused(&site, 2, "640");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "\n").unwrap();
    refused(&site, 2, "the passphrase is empty");
    write_passphrase(&site, PASSPHRASE);
    let status = sealed(&site, &["status"]).ok();
    assert!(status["rebuilt"].is_null(), "{status}");
    assert_eq!(fs::read(&key).unwrap(), one, "made anew from the copy");
    let again = held(&site);
    let names = |held: &BTreeMap<Vec<u8>, harness::Seen>| -> Vec<Vec<u8>> {
        let names = held
            .keys()
            .filter(|name| !name.starts_with(b"store/catalogue"));
        names.cloned().collect()
    };
    assert_eq!(names(&again), names(&before));
    center.end();
}

/// A store that is in clear does not become a sealed one, and a tree beside a
/// sealed store is said to be in clear.
#[test]
fn a_store_is_sealed_from_the_start_and_its_tree_is_not() {
    let site = made();
    plant(&site, 0..40);
    site.center(&["scan"]).ok();
    let center = site.serve();
    configure(&site, "");
    sealed(&site, &["sync"]).ok();
    let seal = "seal = true\npassphrase_file = \"passphrase\"\n";
    configure(&site, seal);
    let before = held(&site);
    let error = sealed(&site, &["sync"]).failed(1);
    assert!(error.contains("needs a new store"), "{error}");
    assert!(held(&site) == before, "something was changed");
    fs::remove_dir_all(site.path(SEALED).join("store")).unwrap();
    configure(&site, &format!("{seal}tree = \"{}\"\n", site.text("tree")));
    let report = sealed(&site, &["sync"]).ok();
    let notes = report["notes"].to_string();
    assert!(notes.contains("tree is in clear"), "{notes}");
    site.assert_equal();
    plant(&site, 40..60);
    site.center(&["scan", "--walk"]).ok();
    sealed(&site, &["sync"]).ok();
    site.assert_equal();
    center.end();
}
