//! A stolen laptop that has a viewer: of 10,000 planted texts, of the users
//! and of what they looked at nothing is found in its files.

use std::fs;
use std::io::Read;
use std::path::Path;

use aho_corasick::AhoCorasick;

use crate::harness::{Site, folders};
use crate::shelter::{FACILITIES, LAPTOP, Shelter};

const PATIENTS: u64 = 2_500;
/// Four bytes that begin a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn text(kind: &str, number: u64) -> String {
    let digest = blake3::hash(format!("{kind} {number}").as_bytes());
    digest.to_hex()[..20].to_uppercase()
}

fn patient(number: u64) -> String {
    (77_000_000 + number * 7).to_string()
}

/// Patients whose name, kana and address are like nothing else.
pub fn plant(site: &Site) {
    for number in 0..PATIENTS {
        let id = patient(number);
        let [name, kana, address] = ["name", "kana", "address"].map(|kind| text(kind, number));
        let file = format!("{id}_-_ADT-00_000000000000001_20260301120000000_01_1");
        site.put(
            &format!("{}/STD01/{}/{}/{id}/-/ADT-00/{file}", FACILITIES[2], &id[..3], &id[3..6]),
            format!(
                "MSH|^~\\&|||||20260301||ADT^A08|1|P|2.5\rPID|1||{id}||{name}^^^^^^L^I~{kana}^^^^^^L^P||19500102|F|||{address}\r"
            )
            .as_bytes(),
        );
    }
}

/// Searches every file of the laptop, and what zstd frames in it hold.
pub fn check(shelter: &Shelter) {
    let mut secrets: Vec<String> = (0..PATIENTS)
        .flat_map(|number| {
            let texts = ["name", "kana", "address"].map(|kind| text(kind, number));
            texts.into_iter().chain([patient(number)])
        })
        .collect();
    assert_eq!(secrets.len(), 10_000);
    secrets.extend(["kango", "saigai", "意識なし", "青葉市立病院"].map(String::from));
    secrets.extend(shelter.patients(FACILITIES[0]));
    let search = AhoCorasick::new(&secrets).unwrap();
    let planted = patient(0);
    let folder = format!(
        "{}/STD01/{}/{}/{planted}/-/ADT-00",
        FACILITIES[2],
        &planted[..3],
        &planted[3..6]
    );
    let planted = fs::read_dir(shelter.site.volumes().join(folder))
        .unwrap()
        .flatten()
        .next();
    let planted = fs::read(planted.unwrap().path()).unwrap();
    assert!(search.find(&planted).is_some(), "the search finds nothing");
    let home = shelter.site.path(LAPTOP);
    let own = ["hikae.toml", "node.key", "passphrase"].map(|name| home.join(name));
    let mut files = 0;
    for folder in folders(&home) {
        for item in fs::read_dir(folder).unwrap().flatten() {
            let path = item.path();
            if path.is_file() && !own.contains(&path) {
                files += 1;
                assert_clean(&search, &secrets, &path);
            }
        }
    }
    assert!(files > 8, "{files} files");
    assert!(home.join("viewer/roster.log").is_file() && home.join("viewer/audit.log").is_file());
}

fn assert_clean(search: &AhoCorasick, secrets: &[String], path: &Path) {
    let bytes = fs::read(path).unwrap();
    let frames = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, magic)| *magic == ZSTD_MAGIC);
    let mut parts: Vec<Vec<u8>> = frames.map(|(at, _)| decoded(&bytes[at..])).collect();
    parts.push(bytes);
    for part in parts {
        let found = search
            .find(&part)
            .map(|hit| &secrets[hit.pattern().as_usize()]);
        assert!(found.is_none(), "{}: {found:?}", path.display());
    }
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::new(bytes) {
        let _ = decoder.single_frame().take(8 << 20).read_to_end(&mut out);
    }
    out
}
