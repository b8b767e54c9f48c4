//! Sparse replicas: a laptop that keeps some volumes, kinds and a period, and
//! proves itself against the center's signature all the same.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{assert_same_files, look};
use crate::node::{Chain, path, remove};

const OTHER: &str = "0410000002/STD01";
/// Beyond every period of these tests, and within.
const LONG_AGO: &str = "20010203";

/// A record of another volume, kind or date.
fn record(volume: &str, patient: u64, date: &str, kind: &str) -> String {
    let patient = format!("{patient:07}");
    let (one, two) = (&patient[..3], &patient[3..6]);
    let name = format!("{patient}_{date}_{kind}_000000000000001_20250401120000000_01_1");
    format!("{volume}/{one}/{two}/{patient}/{date}/{kind}/{name}")
}

fn today() -> String {
    let today = jiff::Zoned::now().date();
    today.strftime("%Y%m%d").to_string()
}

/// Records of two volumes, three kinds and two dates, and a file at the root
/// of the other volume.
fn fill(chain: &Chain) {
    for date in [LONG_AGO, &today()] {
        for kind in ["OMP-01", "PPR-01", "OML-11"] {
            for volume in ["0410000001/STD01", OTHER] {
                for patient in 21..24 {
                    let path = record(volume, patient, date, kind);
                    chain.site.put(&path, path.as_bytes());
                }
            }
        }
    }
    chain.site.put(&record(OTHER, 21, "-", "ADT-00"), b"basic");
    chain.site.put(&format!("{OTHER}/beside.csv"), b"beside");
}

/// Gives the laptop this filter; none is everything.
fn filter(chain: &Chain, lines: &str) {
    chain.laptop_pulls_from(&["backup"]);
    if !lines.is_empty() {
        chain.add("laptop", &format!("[filter]\n{lines}\n"));
    }
}

/// Makes the laptop a second backup: in a store that is not sealed names stand
/// as they are.
fn in_clear(chain: &Chain) {
    let file = chain.site.path("laptop/hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    let laptop = "role = \"laptop\"\nseal = true\npassphrase_file = \"passphrase\"\n";
    assert!(text.contains(laptop), "{text}");
    fs::write(file, text.replace(laptop, "role = \"backup\"\n")).unwrap();
}

/// Grants the laptop these volumes at the backup.
fn grant(chain: &Chain, volumes: &str) {
    let file = chain.site.path("backup/hikae.toml");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("volumes = "));
    let lines: Vec<&str> = lines.collect();
    let named = format!("id = \"{}\"", chain.laptop_id);
    let granted = format!("{named}\nvolumes = {volumes}");
    fs::write(file, lines.join("\n").replace(&named, &granted) + "\n").unwrap();
}

/// The laptop shows just those files of the center that `keeps` says, has the
/// signed root, and finds itself whole.
#[track_caller]
fn assert_shows(chain: &Chain, keeps: impl Fn(&str) -> bool) -> Value {
    let source = look(&chain.site.volumes());
    let mut expected = source.clone();
    expected.retain(|path, _| keeps(&String::from_utf8_lossy(path)));
    assert!(expected.len() < source.len(), "nothing was left out");
    assert_same_files(&expected, &look(&chain.tree()));
    let (center, laptop) = (chain.site.status("center"), chain.laptop(&["status"]).ok());
    for field in ["epoch", "sequence", "root", "leaves", "entries", "bytes"] {
        assert_eq!(
            center["snapshot"][field], laptop["snapshot"][field],
            "{field}"
        );
    }
    let verified = chain.laptop(&["verify"]).ok();
    assert_eq!(verified["roots_equal"], true, "{verified}");
    laptop
}

/// Whether any file of the laptop's index, where names stand as they are, or of
/// its tree has this text.
fn knows(chain: &Chain, text: &str) -> bool {
    let folders = ["laptop/store/catalogue", "laptop-tree"];
    let files = folders
        .iter()
        .flat_map(|folder| walkdir::WalkDir::new(chain.site.path(folder)));
    let files = files.map(Result::unwrap);
    files.filter(|file| file.file_type().is_file()).any(|file| {
        let bytes = fs::read(file.path()).unwrap();
        let mut windows = bytes.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    })
}

fn is_kept_kind(path: &str) -> bool {
    path.contains("/OMP-") || path.contains("/ADT-") || path.contains("beside")
}

/// [S7-22] [S8-16] volumes, kinds and a period: what changes and goes arrives
/// down the chain, and what is left out is neither asked for nor shown.
#[test]
fn a_laptop_keeps_a_volume_kinds_and_a_period() {
    let chain = Chain::new();
    fill(&chain);
    chain.backup_up();
    let kinds = r#"volumes = ["0410000002/*"]
kinds = ["OMP-*", "ADT-*"]
since = "2y""#;
    filter(&chain, kinds);
    let keeps =
        |path: &str| path.starts_with(OTHER) && is_kept_kind(path) && !path.contains(LONG_AGO);
    let first = chain.laptop_up();
    assert_eq!(first["roots_equal"], true, "{first}");
    // Three prescriptions, the basic record and the file beside.
    assert_eq!(first["pull"]["contents_received"], 5, "{first}");
    let status = assert_shows(&chain, keeps);
    assert_eq!(
        status["sparse"]["bare"],
        json!(["0410000001/STD01"]),
        "{status}"
    );
    assert_eq!(status["sparse"]["not_given"], json!([]));
    assert_eq!(status["sparse"]["kinds"], json!(["OMP-*", "ADT-*"]));
    assert_eq!(status["left_out_total"], 0, "{status}");

    // A day: in the volume that is bare, in kinds that are left out, in those
    // that are kept; deletions of each.
    chain.site.put(&path(1, 1), b"changed where it is bare");
    remove(&chain.site, &path(2, 2));
    chain.site.put(
        &record(OTHER, 22, &today(), "PPR-01"),
        b"changed and left out",
    );
    remove(&chain.site, &record(OTHER, 23, &today(), "PPR-01"));
    chain
        .site
        .put(&record(OTHER, 22, &today(), "OMP-01"), b"changed and kept");
    remove(&chain.site, &record(OTHER, 23, &today(), "OMP-01"));
    remove(&chain.site, &record(OTHER, 21, LONG_AGO, "OMP-01"));
    chain.backup_up();
    let day = chain.laptop_up();
    assert_eq!(day["pull"]["contents_received"], 1, "{day}");
    assert_eq!(day["pull"]["leaves"], 3, "{day}");
    assert_eq!(day["pull"]["proof_round_trips"], 1, "{day}");
    assert_shows(&chain, keeps);
    let nothing = chain.laptop_up();
    assert_eq!(nothing["pull"]["changed"], false, "{nothing}");
    // The index is only an index.
    chain.laptop(&["rebuild"]).ok();
    assert_shows(&chain, keeps);
    // A part is not taken for the whole.
    let to = chain.site.text("restored");
    let restored = chain.laptop(&["restore", "--at", "2099-01-01T00:00:00Z", "--to", &to]);
    assert_eq!(restored.code, Some(1), "{}", restored.json);
    let restored = restored.json;
    assert_eq!(restored["roots_equal"], true, "{restored}");
    assert_eq!(restored["bare"], json!(["0410000001/STD01"]), "{restored}");
    let (files, written) = (&restored["files"], &restored["files_written"]);
    let left_out = files.as_u64().unwrap() - written.as_u64().unwrap();
    assert_eq!(restored["not_held"], left_out, "{restored}");
    assert!(left_out > 0, "{restored}");
    assert_same_files(&look(to.as_ref()), &look(&chain.tree()));
    let error = chain.laptop(&["promote"]).failed(1);
    assert!(error.contains("less than everything"), "{error}");
}

/// [S8-16] a filter that is changed later: wider, what is missing comes;
/// narrower, what is no longer kept goes, from the tree and, beyond the
/// retention, from the store.
#[test]
fn a_filter_is_widened_and_narrowed() {
    let chain = Chain::new();
    fill(&chain);
    chain.backup_up();
    filter(
        &chain,
        "volumes = [\"0410000002/*\"]\nkinds = [\"OMP-*\", \"ADT-*\"]",
    );
    chain.laptop_up();
    let other = |path: &str| path.starts_with(OTHER);
    assert_shows(&chain, |path| other(path) && is_kept_kind(path));

    // More kinds: the snapshot is the same, contents come.
    filter(
        &chain,
        "volumes = [\"0410000002/*\"]\nkinds = [\"OMP-*\", \"ADT-*\", \"PPR-01\"]",
    );
    let wider = chain.laptop_up();
    assert_eq!(wider["pull"]["contents_received"], 6, "{wider}");
    assert_shows(&chain, |path| {
        other(path) && (is_kept_kind(path) || path.contains("PPR-01"))
    });

    // Every volume and kind: what was bare is compared and comes.
    filter(&chain, "");
    let whole = chain.laptop_up();
    assert_eq!(whole["sparse"], Value::Null, "{whole}");
    chain.assert_laptop_equal();
    chain.laptop(&["verify"]).ok();
    let guarded = chain.laptop(&["status"]).ok();
    assert_eq!(guarded["held"], json!([]), "{guarded}");

    // One volume less: it goes, and the guard knows that we did it.
    filter(
        &chain,
        "volumes = [\"0410000001/*\"]\n[retention]\nkeep = \"1s\"",
    );
    let narrow = chain.laptop_up();
    assert_eq!(narrow["held"], json!([]), "{narrow}");
    let status = assert_shows(&chain, |path| path.starts_with("0410000001"));
    assert_eq!(status["sparse"]["bare"], json!([OTHER]), "{status}");
    // What was seen of it before can still be looked at until it is forgotten.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    chain.site.put(&path(3, 3), b"the next state");
    chain.backup_up();
    chain.laptop_up();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    chain.laptop(&["prune"]).ok();
    chain.laptop(&["verify"]).ok();

    // And all of it again.
    filter(&chain, "");
    chain.laptop_up();
    chain.assert_laptop_equal();
    chain.laptop(&["verify"]).ok();

    // Also where nothing says any more what it was brought to.
    filter(&chain, "kinds = [\"OMP-*\"]");
    chain.laptop_up();
    let narrow = chain.laptop(&["verify"]).ok();
    assert!(narrow["not_held"].as_u64() > Some(0), "{narrow}");
    fs::remove_file(chain.site.path("laptop/store/filter")).unwrap();
    filter(&chain, "");
    chain.laptop_up();
    chain.assert_laptop_equal();
    chain.laptop(&["verify"]).ok();
}

/// [S7-19] [S7-21] what a peer may not have it is never sent: no name below the
/// volume, no content; and its replica knows the volume as bare, also where it
/// would keep it.
#[test]
fn a_peer_is_given_the_volumes_of_its_entry_only() {
    let chain = Chain::new();
    fill(&chain);
    let secret = record(OTHER, 99, &today(), "OMP-01");
    chain.site.put(&secret, b"a planted content of nobody");
    let planted = ["0000099", "a planted content of nobody", "beside.csv"];
    chain.backup_up();
    in_clear(&chain);
    grant(&chain, "[\"0410000001/*\"]");
    let first = chain.laptop_up();
    assert_eq!(first["sparse"]["not_given"], json!([OTHER]), "{first}");
    let keeps = |path: &str| path.starts_with("0410000001");
    assert_shows(&chain, keeps);
    chain
        .site
        .put(&secret, b"a planted content of nobody, again");
    chain.site.put(&path(1, 1), b"another one that is given");
    chain.backup_up();
    let day = chain.laptop_up();
    assert_eq!(day["pull"]["leaves"], 1, "{day}");
    assert_shows(&chain, keeps);
    assert!(planted.iter().all(|text| !knows(&chain, text)));

    // More is granted: it comes though nothing changed.
    grant(&chain, "[\"*/*\"]");
    let more = chain.laptop_up();
    assert_eq!(more["sparse"], Value::Null, "{more}");
    chain.assert_laptop_equal();
    assert!(planted[..2].iter().all(|text| knows(&chain, text)));

    // Less is granted: what is held stays, and is not followed any more once
    // it changes; a source can't take anything away.
    grant(&chain, "[\"0410000001/*\"]");
    let same = chain.laptop_up();
    assert_eq!(same["pull"]["changed"], false, "{same}");
    chain.assert_laptop_equal();
    chain.site.put(&secret, b"a third time");
    chain.backup_up();
    let backup = chain.serve_backup(&["serve"]);
    let error = chain.laptop(&["sync"]).failed(1);
    backup.end();
    assert!(
        error.contains("does not give volume 0410000002/STD01"),
        "{error}"
    );
    let shown = fs::read(chain.tree().join(&secret)).unwrap();
    assert_eq!(shown, b"a planted content of nobody, again");
    // Who is told to let it go goes on.
    filter(&chain, "volumes = [\"0410000001/*\"]");
    in_clear(&chain);
    chain.laptop_up();
    assert_shows(&chain, keeps);
}

/// A sparse replica hands on what it has: of other volumes it knows no more
/// than anybody whom it tells.
#[test]
fn a_sparse_replica_serves_what_it_holds() {
    let chain = Chain::new();
    fill(&chain);
    chain.add(
        "backup",
        "[filter]\nvolumes = [\"0410000001/*\"]\nkinds = [\"OMP-*\"]\n",
    );
    chain.backup_up();
    let backup = chain.serve_backup(&["serve"]);
    let ran = chain.laptop(&["sync"]);
    backup.end();
    // Contents that the backup left out are lacking to who wants them.
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["left_out_total"], 12, "{}", ran.json);
    assert_eq!(ran.json["roots_equal"], true);
    assert_eq!(
        ran.json["sparse"]["not_given"],
        json!([OTHER]),
        "{}",
        ran.json
    );
    // From the center all of it comes.
    chain.laptop_pulls_from(&["center"]);
    let center = chain.site.serve();
    let whole = chain.laptop(&["sync"]).ok();
    center.end();
    assert_eq!(whole["left_out_total"], 0, "{whole}");
    assert_eq!(whole["sparse"], Value::Null, "{whole}");
    chain.assert_laptop_equal();
    let tree = look(&chain.site.tree());
    assert!(tree.keys().all(|path| path.starts_with(b"0410000001/")));
}
