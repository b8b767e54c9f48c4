//! Leaf records that rotted: their leaves come again from the source, and what
//! they were before is still there.

use std::fs;
use std::path::Path;

use super::harness::{Site, assert_same_files, free_port, hikae, look, record};

const VOLUME: &str = "0410000001/STD01";

/// Where blocks with leaf records begin in a segment, in their order.
fn leaf_blocks(segment: &Path) -> Vec<usize> {
    let bytes = fs::read(segment).unwrap();
    let at = (40..bytes.len() - 80).step_by(8);
    at.filter(|&at| bytes[at..at + 4] == *b"hkBL" && bytes[at + 4] == 2)
        .collect()
}

/// A backup with five snapshots; at each every patient changed.
fn lived() -> (
    Site,
    Vec<std::collections::BTreeMap<Vec<u8>, super::harness::Seen>>,
) {
    let site = Site::empty();
    site.configure(false);
    let config = site.path("backup/hikae.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("keep = \"1s\"", "keep = \"90d\"")).unwrap();
    let mut states = Vec::new();
    let center = site.serve();
    for day in 0..5 {
        for patient in 0..12 {
            let name = record(&format!("10{patient:05}"), day);
            site.put(&format!("{VOLUME}/{name}"), format!("MSH|{day}").as_bytes());
        }
        site.center(&["scan", "--walk"]).ok();
        site.backup(&["sync"]).ok();
        states.push(look(&site.volumes()));
    }
    center.end();
    (site, states)
}

/// The newest records of all leaves are damaged: they come again, and every
/// snapshot before the damaged ones restores byte for byte, as does the last.
#[test]
fn leaves_that_come_again_keep_their_history() {
    let (site, mut states) = lived();
    let segment = site.path("backup/store/segments/00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let last = *leaf_blocks(&segment).last().unwrap();
    bytes[last + 90] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let found = site.backup(&["verify"]);
    assert_eq!(found.code, Some(3), "{}", found.json);
    assert_eq!(found.json["index_rebuilt"], serde_json::Value::Null);
    let center = site.serve();
    let repaired = site.backup(&["verify", "--repair"]).ok();
    assert_eq!(repaired["repair"]["leaves_asked"], 12, "{repaired}");
    // What the source has for them later goes on from there.
    site.put(&format!("{VOLUME}/{}", record("1000001", 99)), b"MSH|after");
    site.center(&["scan", "--walk"]).ok();
    site.backup(&["sync"]).ok();
    states[4] = look(&site.volumes());
    center.end();
    site.backup(&["verify"]).ok();
    let listed = site.backup(&["snapshots"]).ok();
    let numbers: Vec<u64> = listed["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["snapshot"].as_u64().unwrap())
        .collect();
    for rebuilt in [false, true] {
        if rebuilt {
            site.backup(&["rebuild"]).ok();
        }
        for (snapshot, state) in [
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 3),
            (*numbers.last().unwrap(), 4),
        ] {
            let to = site.text("restored");
            let report = site.backup(&["restore", "--at", &snapshot.to_string(), "--to", &to]);
            let report = report.ok();
            assert_eq!(report["roots_equal"], true, "{snapshot}: {report}");
            assert_same_files(&look(to.as_ref()), &states[state]);
            fs::remove_dir_all(to).unwrap();
        }
    }
    println!(
        "12 leaves asked for, {} snapshots: {numbers:?}",
        numbers.len()
    );
}

/// Records in the middle of a history are damaged: a snapshot that needs them
/// says which patients are lost, and gives all others; what is newer is whole.
#[test]
fn a_restore_names_what_rotted_and_gives_the_rest() {
    let (site, states) = lived();
    let segment = site.path("backup/store/segments/00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let blocks = leaf_blocks(&segment);
    bytes[blocks[blocks.len() - 2] + 90] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let to = site.text("restored");
    site.backup(&["restore", "--at", "5", "--to", &to]).ok();
    assert_same_files(&look(to.as_ref()), &states[4]);
    fs::remove_dir_all(&to).unwrap();
    let ran = site.backup(&["restore", "--at", "4", "--to", &to]);
    assert_eq!(ran.code, Some(3), "{}", ran.json);
    let damaged = ran.json["leaves_damaged"].as_array().unwrap();
    assert_eq!(damaged.len(), 12, "{damaged:?}");
    assert!(damaged[0].as_str().unwrap().contains(VOLUME), "{damaged:?}");
}

/// Without a tree and with the center away, contents and records that rotted come
/// from another replica, and are proven by the center's signature.
#[test]
fn a_store_is_repaired_from_another_replica() {
    let (site, states) = lived();
    let (home, port) = (site.text("other"), free_port());
    let made = hikae(["init", "--home", &home, "--role", "backup"]).ok();
    let id = made["node_id"].as_str().unwrap();
    let source = format!(
        "[source]\nid = \"{}\"\n[[source.link]]\nname = \"lo\"\nremote = \"127.0.0.1:{}\"\n",
        site.center_id, site.port
    );
    fs::write(
        site.path("other/hikae.toml"),
        format!(
            "role = \"backup\"\n[[listen]]\nlink = \"lo\"\naddr = \"127.0.0.1:{port}\"\n\
             [[peer]]\nname = \"backup\"\nid = \"{}\"\n{source}",
            site.backup_id
        ),
    )
    .unwrap();
    let center = fs::read_to_string(site.path("center/hikae.toml")).unwrap();
    fs::write(
        site.path("center/hikae.toml"),
        format!("{center}[[peer]]\nname = \"other\"\nid = \"{id}\"\n"),
    )
    .unwrap();
    let center = site.serve();
    hikae(["sync", "--home", &home]).ok();
    center.end();
    let config = fs::read_to_string(site.path("backup/hikae.toml")).unwrap();
    let (head, _) = config.split_once("[source]").unwrap();
    let head: String = head
        .lines()
        .filter(|line| !line.starts_with("tree"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(
        site.path("backup/hikae.toml"),
        format!(
            "{head}[source]\nid = \"{id}\"\ntrust = \"{}\"\n[[source.link]]\nname = \"lo\"\n\
             remote = \"127.0.0.1:{port}\"\n",
            site.center_id
        ),
    )
    .unwrap();
    // Every block of contents, and the newest leaf records.
    let segment = site.path("backup/store/segments/00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let last = *leaf_blocks(&segment).last().unwrap();
    let contents: Vec<usize> = (40..bytes.len() - 80)
        .step_by(8)
        .filter(|&at| bytes[at..at + 4] == *b"hkBL" && bytes[at + 4] == 1)
        .collect();
    for at in contents.iter().chain([&last]) {
        bytes[at + 90] ^= 1;
    }
    fs::write(&segment, bytes).unwrap();
    assert_eq!(site.backup(&["verify"]).code, Some(3));
    let mut other = site.spawn("other", &["serve"]);
    other.wait_for_port(port);
    let repaired = site.backup(&["verify", "--repair"]).ok();
    other.end();
    let repair = &repaired["repair"];
    println!(
        "{} contents and {} leaves came from another replica",
        repair["contents_asked"], repair["leaves_asked"]
    );
    assert_eq!(repair["leaves_asked"], 12, "{repair}");
    assert_eq!(repair["contents_from_tree"], 0, "{repair}");
    site.backup(&["verify"]).ok();
    let to = site.text("restored");
    let listed = site.backup(&["snapshots"]).ok();
    let last = listed["snapshots"].as_array().unwrap().last().unwrap()["snapshot"].clone();
    site.backup(&["restore", "--at", &last.to_string(), "--to", &to])
        .ok();
    assert_same_files(&look(to.as_ref()), &states[4]);
}

/// A verification by sample reads about so much, another part each time, and
/// finds within a few what one in full finds at once.
#[test]
fn a_sample_reads_a_part() {
    let site = Site::generated_in_memory(1, 120, 600);
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    let all = site.backup(&["verify"]).ok()["leaves"].as_u64().unwrap();
    let mut read = Vec::new();
    for _ in 0..4 {
        let report = site.backup(&["verify", "--sample", "20"]).ok();
        read.push(report["leaves"].as_u64().unwrap());
        assert!(report["contents"].as_u64().unwrap() > 0, "{report}");
    }
    println!("of {all} leaves a sample of 20 % read {read:?}");
    let total: u64 = read.iter().sum();
    assert!(
        total > all * 4 / 10 && total < all * 12 / 10,
        "{read:?} of {all}"
    );
    let file = look(&site.tree().join("0410000001/STD01"))
        .into_keys()
        .find(|path| path.split(|byte| *byte == b'/').count() == 6)
        .unwrap();
    let file = site
        .tree()
        .join("0410000001/STD01")
        .join(String::from_utf8(file).unwrap());
    fs::write(file, "edited").unwrap();
    let tries = (1..=60).find(|_| site.backup(&["verify", "--sample", "20"]).code == Some(3));
    println!("found by sample number {tries:?}");
    assert!(tries.is_some());
    assert_eq!(site.backup(&["verify"]).code, Some(3));
}
