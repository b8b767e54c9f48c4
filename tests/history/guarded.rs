//! The guard, by the real binary: attacks on a storage, one after the other.
//! After each the tree still shows the last good state, every older snapshot
//! restores byte for byte, and the operator was told within one sync.
//!
//! `HIKAE_ATTACK_RECORDS` (default 1,500) says how many records; 100,000 are
//! DESIGN's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::harness::{Process, Ran, Seen, Site, assert_same_files, copy, look, number, record};

type Files = BTreeMap<Vec<u8>, Seen>;

const VOLUME: &str = "0410000001/STD01";

/// A center, its backup with the guard that it has by default, and what lay in
/// the storage at each snapshot.
struct Guarded {
    site: Site,
    _center: Process,
    states: Vec<(u64, Files)>,
}

impl Guarded {
    fn new(records: u64) -> Guarded {
        let site = Site::generated_in_memory(2, (records / 12).max(8), records);
        site.guard();
        site.center(&["scan"]).ok();
        let center = site.serve();
        let mut guarded = Guarded {
            site,
            _center: center,
            states: Vec::new(),
        };
        guarded.site.backup(&["sync"]).ok();
        guarded.remember();
        guarded
    }

    fn volume(&self) -> PathBuf {
        self.site.volumes().join(VOLUME)
    }

    fn tree(&self) -> Files {
        look(&self.site.tree())
    }

    fn in_volume(files: &Files) -> Files {
        let own = files
            .iter()
            .filter(|(path, _)| path.starts_with(VOLUME.as_bytes()));
        own.map(|(path, seen)| (path.clone(), seen.clone()))
            .collect()
    }

    /// The storage is what the last snapshot has.
    fn remember(&mut self) {
        let listed = self.site.backup(&["snapshots"]).ok();
        let last = listed["snapshots"].as_array().unwrap().last().unwrap();
        let number = last["snapshot"].as_u64().unwrap();
        self.states.push((number, look(&self.site.volumes())));
    }

    /// The center sees everything, the backup pulls.
    fn cycle(&self) -> Ran {
        self.site.center(&["scan", "--walk"]).ok();
        self.site.backup(&["sync"])
    }

    /// The storage as it was before.
    fn mend(&self, before: &Path) {
        let volume = self.volume();
        for item in fs::read_dir(&volume).unwrap() {
            let path = item.unwrap().path();
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        copy(before, &volume);
    }

    /// Carries out an attack, then has it decided and mended.
    fn attacked(&mut self, name: &str, attack: impl FnOnce(&Guarded)) {
        let kept = self.site.path("kept");
        copy(&self.volume(), &kept);
        let before = self.tree();
        attack(self);
        // Other volumes go on.
        let other = format!(
            "0410000002/STD01/{}",
            record("2000001", self.states.len() as u64)
        );
        self.site.put(&other, format!("MSH|{name}").as_bytes());
        let ran = self.cycle();
        assert_eq!(ran.code, Some(4), "{name}: {}\n{}", ran.json, ran.stderr);
        let held = &ran.json["held"];
        assert_eq!(held[0]["volume"], VOLUME, "{name}: {held}");
        assert_eq!(held.as_array().unwrap().len(), 1, "{name}: {held}");
        assert_eq!(ran.json["roots_equal"], true);
        let status = self.site.status("backup");
        assert_eq!(status["held"], *held);
        self.assert_held(name, &before, &other);
        self.assert_history(name);
        println!("{name}: {}", held[0]["counts"]);
        // Losing all that is no truth does not lose the hold.
        let tree = self.tree();
        self.site.backup(&["rebuild"]).ok();
        let again = self.site.backup(&["sync"]);
        assert_eq!(again.code, Some(4), "{name}: {}", again.json);
        assert_eq!(again.json["held"], *held);
        assert_same_files(&self.tree(), &tree);
        self.site.backup(&["verify"]).ok();
        self.mend(&kept);
        let ran = self.cycle();
        assert_eq!(ran.code, Some(4), "{name}: a person decides, {}", ran.json);
        self.site.backup(&["approve", VOLUME]).ok();
        self.site.backup(&["sync"]).ok();
        self.site.assert_equal();
        self.remember();
        fs::remove_dir_all(kept).unwrap();
    }

    /// The tree shows of the volume what it showed before, and the rest as it is.
    fn assert_held(&self, name: &str, before: &Files, other: &str) {
        let tree = self.tree();
        assert_same_files(&Self::in_volume(&tree), &Self::in_volume(before));
        assert!(
            tree.contains_key(other.as_bytes()),
            "{name}: other volumes stand still"
        );
    }

    /// Every snapshot from before restores byte for byte.
    fn assert_history(&self, name: &str) {
        for (at, (snapshot, files)) in self.states.iter().enumerate() {
            let to = self.site.text(&format!("restored-{at}"));
            let report = self
                .site
                .backup(&["restore", "--at", &snapshot.to_string(), "--to", &to]);
            assert_eq!(report.ok()["roots_equal"], true, "{name}");
            assert_same_files(&look(to.as_ref()), files);
            fs::remove_dir_all(to).unwrap();
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let root = self.volume();
        let files = look(&root).into_keys();
        files
            .map(|path| root.join(String::from_utf8(path).unwrap()))
            .collect()
    }
}

fn encrypted(content: &[u8], name: &Path) -> Vec<u8> {
    let mut stream = blake3::Hasher::new()
        .update(name.as_os_str().as_encoded_bytes())
        .finalize_xof();
    let mut key = vec![0; content.len() + 16];
    stream.fill(&mut key);
    key
}

fn records() -> u64 {
    number("HIKAE_ATTACK_RECORDS", 1_500)
}

/// [S11-7] [S11-8] [S11-9] [S11-10] each attack on a volume is held, other
/// volumes go on, and nothing of the past is lost.
#[test]
fn attacks_are_held_and_lose_nothing() {
    let mut guarded = Guarded::new(records());
    let begun = guarded.files().len();
    guarded.attacked("encrypted in place", |at| {
        for file in at.files() {
            let content = fs::read(&file).unwrap();
            fs::write(&file, encrypted(&content, &file)).unwrap();
        }
    });
    guarded.attacked("a few encrypted as a gateway would", |at| {
        let valid = |file: &PathBuf| {
            let name = file.to_string_lossy().into_owned();
            name.ends_with("_1") && fs::read(file).unwrap().starts_with(b"MSH")
        };
        for file in at.files().into_iter().filter(valid).take(25) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let superseded = format!("{}2", &name[..name.len() - 1]);
            let content = fs::read(&file).unwrap();
            fs::rename(&file, file.with_file_name(superseded)).unwrap();
            let fields: Vec<&str> = name.split('_').collect();
            let newer = name.replace(fields[4], "20991231235959999");
            fs::write(file.with_file_name(newer), encrypted(&content, &file)).unwrap();
        }
    });
    guarded.attacked("renamed to .locked", |at| {
        for file in at.files() {
            let mut name = file.file_name().unwrap().to_os_string();
            name.push(".locked");
            fs::rename(&file, file.with_file_name(name)).unwrap();
        }
    });
    guarded.attacked("deleted", |at| {
        at.files()
            .iter()
            .for_each(|file| fs::remove_file(file).unwrap());
    });
    // The first part is let through; with the next it is too much.
    let share = |files: usize| ((files as f64 * 0.049) as usize).clamp(19, 999);
    let files = guarded.files();
    for file in &files[..share(files.len())] {
        fs::remove_file(file).unwrap();
    }
    guarded.cycle().ok();
    guarded.remember();
    guarded.attacked("deleted slowly", |at| {
        let files = at.files();
        for file in &files[..share(files.len())] {
            fs::remove_file(file).unwrap();
        }
    });
    guarded.attacked("dates forged", |at| {
        let future = SystemTime::UNIX_EPOCH + Duration::from_secs(2_524_608_000);
        for file in at.files() {
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(future).unwrap();
        }
    });
    guarded.attacked("the root swapped, and taken as it is", |at| {
        let volume = at.volume();
        fs::remove_dir_all(&volume).unwrap();
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("README"), "pay").unwrap();
        at.site.center(&["scan", "--walk", "--accept-root"]);
    });
    println!("{begun} files of {} snapshots", guarded.states.len());
}
