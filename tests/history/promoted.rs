//! A lost center: the commands of docs/lost-center.md, executed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::harness::{
    Process, Site, assert_same, assert_same_files, free_port, hikae, look, record,
};
use serde_json::Value;

/// What a document has to be done, in order.
enum Step {
    /// A command line, and whether it stays in the background.
    Run(Vec<String>, bool),
    /// A file and its text.
    Write(String, String),
}

fn steps(document: &str, names: &BTreeMap<&str, String>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = document.lines();
    let filled = |text: &str| {
        // Longer names first: $EAST is the begin of $EAST_ID.
        let mut text = text.to_string();
        for (name, value) in names.iter().rev() {
            text = text.replace(&format!("${name}"), value);
        }
        assert!(!text.contains('$'), "{text}");
        text
    };
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind.strip_prefix("toml ") {
            Some(file) => steps.push(Step::Write(filled(file), filled(&block.join("\n")))),
            None => {
                for line in block {
                    let stays = line.ends_with(" &");
                    let line = filled(line.trim_end_matches(" &"));
                    let words = line.split(' ').map(str::to_string);
                    steps.push(Step::Run(words.collect(), stays));
                }
            }
        }
    }
    steps
}

/// [R1] the procedure for a lost center, as it is written down: the others
/// follow without contents, a new center is filled and takes over.
#[test]
fn the_document_on_a_lost_center_works_as_it_is_written() {
    let site = Site::generated_in_memory(2, 20, 300);
    let west = hikae(["init", "--home", &site.text("west"), "--role", "backup"]).ok();
    let west_id = west["node_id"].as_str().unwrap().to_string();
    let east_config = fs::read_to_string(site.path("backup/hikae.toml")).unwrap();
    let west_config = east_config.replace(&site.text("tree"), &site.text("west-tree"));
    fs::write(site.path("west/hikae.toml"), west_config).unwrap();
    let center_config = fs::read_to_string(site.path("center/hikae.toml")).unwrap();
    let peer = format!("[[peer]]\nname = \"west\"\nid = \"{west_id}\"\n");
    fs::write(site.path("center/hikae.toml"), center_config + &peer).unwrap();
    site.center(&["scan"]).ok();
    let center = site.serve();
    site.backup(&["sync"]).ok();
    hikae(["sync", "--home", &site.text("west")]).ok();
    center.end();
    let lost = look(&site.volumes());
    fs::remove_dir_all(site.path("storage")).unwrap();
    fs::remove_dir_all(site.path("center")).unwrap();
    // The document makes this home; its id is in a configuration before that.
    let (new, new_id) = {
        let made = hikae(["init", "--home", &site.text("new"), "--role", "backup"]).ok();
        let id = made["node_id"].as_str().unwrap().to_string();
        (site.text("new"), id)
    };
    let (east_port, new_port) = (free_port(), free_port());
    let names: BTreeMap<&str, String> = [
        ("EAST", site.text("backup")),
        ("EAST_ID", site.backup_id.clone()),
        ("EAST_ADDR", format!("127.0.0.1:{east_port}")),
        ("EAST_TREE", site.text("tree")),
        ("WEST", site.text("west")),
        ("WEST_ID", west_id),
        ("WEST_TREE", site.text("west-tree")),
        ("NEW", new.clone()),
        ("NEW_ID", new_id),
        ("NEW_ADDR", format!("127.0.0.1:{new_port}")),
        ("STORAGE", site.text("new-storage")),
    ]
    .into();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lost-center.md");
    let document = fs::read_to_string(document).unwrap();
    let mut serving: BTreeMap<String, Process> = BTreeMap::new();
    let (mut ran, mut syncs) = (0, Vec::new());
    for step in steps(&document, &names) {
        match step {
            Step::Write(file, text) => {
                // A process that serves has read its own.
                let home = Path::new(&file).parent().unwrap().to_str().unwrap();
                if let Some(process) = serving.remove(home) {
                    process.end();
                }
                fs::write(file, text).unwrap();
            }
            Step::Run(words, stays) => {
                ran += 1;
                assert_eq!(words[0], "hikae");
                let home =
                    words[words.iter().position(|word| word == "--home").unwrap() + 1].clone();
                if words[1] == "init" {
                    assert!(Path::new(&home).join("node.key").exists());
                    continue;
                }
                let name = Path::new(&home)
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_string();
                if stays {
                    let mut process = site.spawn(&name, &[&words[1]]);
                    let port = if name == "new" { new_port } else { east_port };
                    process.wait_for_port(port);
                    serving.insert(home, process);
                    continue;
                }
                if words[1] == "scan" {
                    // An epoch is known by the second in which it begins.
                    std::thread::sleep(std::time::Duration::from_millis(1100));
                }
                let report = hikae(&words[1..]).ok();
                if words[1] == "sync" {
                    syncs.push((name, report));
                }
            }
        }
    }
    assert!(ran > 10, "only {ran} commands were found");
    let contents = |report: &Value| report["pull"]["contents_received"].as_u64().unwrap();
    let told: Vec<(&str, u64)> = syncs
        .iter()
        .map(|(name, report)| (name.as_str(), contents(report)))
        .collect();
    println!("{ran} commands; contents by sync: {told:?}");
    assert_eq!(told.len(), 4);
    for (name, received) in told {
        match name {
            "new" => assert_eq!(received, lost.len() as u64),
            _ => assert_eq!(received, 0, "{name} copied contents again"),
        }
    }
    for tree in ["tree", "west-tree", "new-storage"] {
        assert_same_files(&look(&site.path(tree)), &lost);
    }
    // Life goes on at the new center.
    let new_record = site
        .path("new-storage")
        .join("0410000001/STD01")
        .join(record("1999999", 1));
    fs::create_dir_all(new_record.parent().unwrap()).unwrap();
    fs::write(new_record, b"MSH|the first after").unwrap();
    hikae(["scan", "--walk", "--home", &new]).ok();
    for home in ["backup", "west"] {
        let report = hikae(["sync", "--home", &site.text(home)]).ok();
        assert_eq!(contents(&report), 1, "{report}");
        hikae(["verify", "--home", &site.text(home)]).ok();
        let listed = hikae(["snapshots", "--home", &site.text(home)]).ok();
        assert!(
            listed["snapshots"].as_array().unwrap().len() >= 4,
            "{listed}"
        );
    }
    assert_same(&site.path("new-storage"), &site.tree());
    assert_same(&site.path("new-storage"), &site.path("west-tree"));
    let to = site.text("before");
    site.backup(&["restore", "--at", "1", "--to", &to]).ok();
    assert_same_files(&look(to.as_ref()), &lost);
}

/// A backup that holds an attack signs what its tree shows.
#[test]
fn a_promoted_backup_signs_the_good_state() {
    let site = Site::empty();
    site.configure(false);
    site.guard();
    let path = |order: u64| format!("0410000001/STD01/{}", record("1000001", order));
    for order in 0..30 {
        site.put(&path(order), format!("MSH|{order}").as_bytes());
    }
    site.center(&["scan"]).ok();
    assert_eq!(site.sync().code, Some(0));
    let good = look(&site.tree());
    for order in 0..30 {
        site.put(&path(order), b"encrypted");
    }
    site.center(&["scan", "--walk"]).ok();
    assert_eq!(site.sync().code, Some(4));
    let report = site.backup(&["promote"]).ok();
    assert_eq!(report["leaves_kept_back"], 1, "{report}");
    assert_same_files(&look(&site.tree()), &good);
    assert!(site.status("backup")["held"].as_array().unwrap().is_empty());
    site.backup(&["verify"]).ok();
    let listed = site.backup(&["snapshots"]).ok();
    let last = listed["snapshots"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(last["signer"], site.backup_id.as_str(), "{last}");
    let to = site.text("restored");
    site.backup(&[
        "restore",
        "--at",
        &last["snapshot"].to_string(),
        "--to",
        &to,
    ])
    .ok();
    assert_same_files(&look(to.as_ref()), &good);
    // The lost center's snapshots are of an older epoch.
    let report = site.sync().ok();
    assert_eq!(report["pull"]["stale"], true, "{report}");
    assert_same_files(&look(&site.tree()), &good);
    let error = site.backup(&["promote"]).failed(1);
    assert!(error.contains("already"), "{error}");
    let error = site.center(&["promote"]).failed(2);
    assert!(error.contains("center"), "{error}");
}
