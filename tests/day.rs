//! A day arrives by hints alone: as many directories are read as the INDEX DB
//! names and lie below those, and renamed records send no content. What the
//! INDEX DB doesn't mention is found by the walk.
//!
//! What is expected is told from the folders before and after the day (names,
//! contents, inodes) and from the INDEX DB's rows, not from the generator.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Opened, Site, Watch, folders, look};
use serde_json::Value;

/// A storage at one moment: path to (inode, content's hash, size).
type Storage = BTreeMap<Vec<u8>, (u64, blake3::Hash, u64)>;

fn storage(site: &Site) -> Storage {
    let inode = |path: &[u8]| {
        let path = site.volumes().join(std::ffi::OsStr::from_bytes(path));
        fs::symlink_metadata(path).unwrap().ino()
    };
    look(&site.volumes())
        .into_iter()
        .map(|(path, seen)| {
            let size = seen.content.len() as u64;
            let found = (inode(&path), blake3::hash(&seen.content), size);
            (path, found)
        })
        .collect()
}

/// Facility, label and patient directory of a path.
fn leaf(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let above = parts.len() - 1;
    parts[..above.min(5)].join(&b'/')
}

/// What a day did, told from the storage before and after.
#[derive(Debug, Default)]
struct Told {
    /// Files of before under another name.
    renamed: u64,
    /// Files that are new.
    written: u64,
    written_bytes: u64,
    /// Of those, with a content that the leaf had before.
    written_known: u64,
    /// Leaves with a change.
    leaves: BTreeSet<Vec<u8>>,
    /// Renames that gateways must have made to come from before to after: a
    /// file written and superseded on one day, or superseded and deleted,
    /// takes more of them than it has new names.
    rename_steps: u64,
}

fn told(before: &Storage, after: &Storage) -> Told {
    let inodes: HashMap<u64, &Vec<u8>> = before
        .iter()
        .map(|(path, (inode, _, _))| (*inode, path))
        .collect();
    let held: HashSet<(Vec<u8>, blake3::Hash)> = before
        .iter()
        .map(|(path, (_, hash, _))| (leaf(path), *hash))
        .collect();
    let mut told = Told::default();
    for (path, (inode, hash, size)) in after {
        if before.get(path).is_some_and(|(_, old, _)| old == hash) {
            continue;
        }
        told.leaves.insert(leaf(path));
        match inodes.get(inode) {
            Some(old) => {
                assert_eq!(before[*old].1, *hash, "a renamed file keeps its content");
                assert_eq!(leaf(old), leaf(path));
                told.renamed += 1;
            }
            None => {
                told.written += 1;
                told.written_bytes += size;
                told.written_known += u64::from(held.contains(&(leaf(path), *hash)));
            }
        }
    }
    told.rename_steps = rename_steps(before, after, &inodes);
    told
}

/// The part of a path that names a record: its file, or its content folder.
fn record(path: &[u8]) -> Option<Record<'_>> {
    let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let extended = *parts.get(1)? == b"EXT01" || parts.get(6)?.contains(&b'^');
    let name = parts.get(7)?;
    let fields: Vec<&[u8]> = name.split(|&byte| byte == b'_').collect();
    if !(6..=7).contains(&fields.len()) || (parts.len() > 8) != extended {
        return None;
    }
    let (key, rest) = fields.split_at(4);
    let flag = match *rest.last()? {
        [flag @ b'0'..=b'2'] => *flag,
        _ => return None,
    };
    Some(Record {
        key: [&leaf(path)[..], b"/", &key.join(&b'_')].concat(),
        timestamp: rest[0],
        flag,
        extended,
    })
}

struct Record<'a> {
    key: Vec<u8>,
    timestamp: &'a [u8],
    flag: u8,
    extended: bool,
}

fn rename_steps(before: &Storage, after: &Storage, inodes: &HashMap<u64, &Vec<u8>>) -> u64 {
    // The newest version of each record, and the newest that says something:
    // a tombstone (standard storage, written on this day) does not supersede.
    let mut newest: HashMap<Vec<u8>, &[u8]> = HashMap::new();
    type Versions<'a> = BTreeSet<(&'a [u8], u8, bool)>;
    let mut versions: HashMap<Vec<u8>, Versions<'_>> = HashMap::new();
    for (path, (inode, _, _)) in after {
        if let Some(record) = record(path) {
            let is_new = !inodes.contains_key(inode);
            let newest = newest.entry(record.key.clone()).or_default();
            *newest = record.timestamp.max(newest);
            let versions = versions.entry(record.key).or_default();
            versions.insert((record.timestamp, record.flag, is_new && !record.extended));
        }
    }
    let mut steps = 0;
    for (path, (inode, _, _)) in after {
        let Some(record) = record(path).filter(|_| !before.contains_key(path)) else {
            continue;
        };
        let is_newest = newest[&record.key] == record.timestamp;
        let old = inodes.get(inode);
        if old.is_none() && is_newest && record.flag == b'0' && !record.extended {
            continue;
        }
        let was_valid = match old {
            Some(old) => self::record(old).is_some_and(|old| old.flag == b'1'),
            None => true,
        };
        let superseded = versions[&record.key].iter().any(|(stamp, flag, is_new)| {
            let is_tombstone =
                *flag == b'0' && *is_new && newest[&record.key] == *stamp && !record.extended;
            *stamp > record.timestamp && !is_tombstone
        });
        steps += u64::from(was_valid && superseded) + u64::from(record.flag == b'0');
    }
    steps
}

/// The directories that the INDEX DB's rows of one day name, below the
/// volumes.
fn hinted(site: &Site, day: &str) -> BTreeSet<PathBuf> {
    let sql = format!(
        "SELECT trim(FacilityID), trim(VolumeLabel), OutRelDirectory FROM SSMIXIDX \
         WHERE substr(UpdateDatetime, 1, 10) = '{day}'"
    );
    let rows = site.query(&sql).into_iter();
    rows.map(|row| {
        Path::new(&row[0])
            .join(&row[1])
            .join(row[2].replace('\\', "/"))
    })
    .collect()
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// A refresh looks at nothing.
#[track_caller]
fn assert_settled(site: &Site) {
    site.settle();
    let report = site.center(&["scan"]).ok();
    for (what, count) in report["counts"].as_object().unwrap() {
        assert_eq!(*count, 0, "{what}: {report}");
    }
    assert_eq!(report["directories_hinted"], 0);
}

#[test]
fn a_day_of_ten_thousand_changes_arrives_by_hints_alone() {
    let site = Site::generated(5, 3_000, 22_000);
    let _center = site.serve();
    site.backup(&["sync"]).ok();
    assert_settled(&site);
    let before = storage(&site);

    let day = site.day(10_000);
    let hinted = hinted(&site, day["day"].as_str().unwrap());
    let watch = Watch::of("folders opened in a day", site.record_folders());
    let sync = || site.backup(&["sync"]).ok();
    let (sync, opened) = match &watch {
        Some(watch) => watch.during(sync),
        None => (sync(), Opened::default()),
    };
    let refresh = site.last_refresh();
    let told = told(&before, &storage(&site));
    println!("{}", summary(&told, &day, hinted.len()));

    // Only where the INDEX DB says.
    assert_eq!(day["changes"], 10_000);
    assert_eq!(hinted.len() as u64, number(&day["hinted_directories"]));
    assert_eq!(refresh["directories_hinted"], day["hinted_directories"]);
    assert_eq!(refresh["volumes_walked"], 0);
    let below: BTreeSet<PathBuf> = hinted
        .iter()
        .flat_map(|directory| folders(&site.volumes().join(directory)))
        .collect();
    assert_eq!(refresh["counts"]["directories_read"], below.len());
    if watch.is_some() {
        // Beside those, a volume's root is where every look begins.
        let roots = opened.folders.difference(&below);
        let roots: Vec<&PathBuf> = roots.collect();
        let is_root = |path: &&&PathBuf| path.parent().unwrap().parent() == Some(&site.volumes());
        assert!(roots.iter().all(|root| is_root(&root)), "{roots:?}");
        assert!(opened.folders.is_superset(&below));
    }
    assert_eq!(refresh["counts"]["directories_absent"], 0);
    assert_eq!(
        refresh["counts"]["files_read"],
        told.renamed + told.written,
        "files with a new name are read, and no others"
    );
    assert_eq!(refresh["leaves_changed"], told.leaves.len());

    // A rename sends no content.
    let pull = &sync["pull"];
    assert_eq!(sync["roots_equal"], true);
    assert_eq!(pull["rounds"], 1);
    assert_eq!(pull["leaves"], told.leaves.len());
    assert_eq!(
        number(&pull["contents_referenced"]),
        told.renamed + told.written_known
    );
    assert_eq!(
        number(&pull["contents_received"]),
        told.written - told.written_known
    );
    assert_eq!(told.written, number(&day["files_written"]));
    assert_eq!(told.rename_steps, number(&day["files_renamed"]));
    if told.written_known == 0 {
        assert_eq!(pull["content_bytes"], day["bytes"]);
        assert_eq!(told.written_bytes, number(&day["bytes"]));
    }
    assert!(told.renamed > 2_000 && told.written > 8_000, "{told:?}");

    // Nor is anything but what is new written to the tree.
    assert_eq!(sync["publish"]["files_renamed"], told.renamed);
    assert_eq!(sync["publish"]["files_written"], told.written);
    assert_eq!(sync["publish"]["files_removed"], 0);
    site.assert_equal();
    site.assert_rsync_idle();
    assert_settled(&site);
}

fn summary(told: &Told, day: &Value, hinted: usize) -> String {
    format!(
        "{} renamed by {} renames, {} written ({} with a content that the leaf had), \
         {hinted} directories hinted, {} leaves; the generator counts {} renames, {} files written",
        told.renamed,
        told.rename_steps,
        told.written,
        told.written_known,
        told.leaves.len(),
        day["files_renamed"],
        day["files_written"],
    )
}

/// Changes one byte in the middle of a file; `mtime` is set back if it is
/// given.
fn change_byte(path: &Path, keep_mtime: bool) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let found = file.metadata().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, found.len() / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], found.len() / 2).unwrap();
    let mtime = found.modified().unwrap();
    file.set_modified(match keep_mtime {
        true => mtime,
        false => mtime + Duration::from_secs(1),
    })
    .unwrap();
}

#[test]
fn what_the_index_db_does_not_mention_is_found_by_the_walk() {
    let site = Site::generated(3, 300, 3_000);
    let _center = site.serve();
    site.backup(&["sync"]).ok();
    assert_settled(&site);
    let known = site.center(&["scan", "--walk"]).ok();
    assert_eq!(known["leaves_changed"], 0);

    // Of six patients with a handful of files each: one gets a file more, two
    // a changed byte, one loses a file, one everything; one stays.
    let mut patients: BTreeMap<Vec<u8>, Vec<PathBuf>> = BTreeMap::new();
    for (path, seen) in look(&site.volumes()) {
        let parts = path.split(|&byte| byte == b'/').count();
        if parts == 8 && path.windows(7).any(|part| part == b"/STD01/") && seen.content.len() > 100
        {
            let file = site.volumes().join(std::ffi::OsStr::from_bytes(&path));
            patients.entry(leaf(&path)).or_default().push(file);
        }
    }
    let few: Vec<Vec<PathBuf>> = patients
        .into_values()
        .filter(|files| (3..=9).contains(&files.len()))
        .collect();
    let patient_directory = |file: &Path| file.ancestors().nth(3).unwrap().to_path_buf();
    fs::copy(&few[0][0], few[0][0].with_file_name("late_arrival")).unwrap();
    change_byte(&few[1][0], false);
    change_byte(&few[2][0], true);
    fs::remove_file(&few[3][1]).unwrap();
    let gone = patient_directory(&few[4][0]);
    let gone_files = look(&gone).len() as u64;
    fs::remove_dir_all(&gone).unwrap();

    let hints = site.center(&["scan", "--hints"]).ok();
    assert_eq!(hints["leaves_changed"], 0, "{hints}");
    assert_eq!(hints["root"], known["root"]);
    assert_eq!(hints["counts"]["directories_read"], 0);
    let sync = site.backup(&["sync"]).ok();
    assert_eq!(sync["pull"]["changed"], false);
    assert!(!harness::differences(&site.volumes(), &site.tree()).is_empty());

    let volume = site.volumes().join("0410000001/OLD01");
    fs::create_dir_all(volume.join("000/000/0000001/20200101/OMP-01")).unwrap();
    fs::copy(
        &few[5][0],
        volume.join("000/000/0000001/20200101/OMP-01/0000001"),
    )
    .unwrap();
    let walk = site.center(&["scan", "--walk"]).ok();
    assert_eq!(walk["volumes"], number(&known["volumes"]) + 1);
    assert_eq!(walk["leaves_changed"], 6, "{walk}");
    assert_eq!(walk["files_added"], 4);
    assert_eq!(walk["files_removed"], 1 + gone_files);
    assert_eq!(
        number(&walk["files_without_row"]),
        number(&known["files_without_row"]) + 2
    );
    assert!(number(&walk["rows_without_file"]) > number(&known["rows_without_file"]));
    assert_ne!(walk["root"], known["root"]);

    let sync = site.backup(&["sync"]).ok();
    assert_eq!(sync["roots_equal"], true);
    assert_eq!(sync["root"], walk["root"]);
    site.assert_equal();
    site.assert_rsync_idle();
    let left = site.tree().join(gone.strip_prefix(site.volumes()).unwrap());
    assert!(!left.exists(), "a folder of a patient who went: {left:?}");
}

/// A volume that was never walked is walked by the first refresh that meets
/// it: nobody has to ask for it.
#[test]
fn a_new_volume_arrives_by_itself() {
    let site = Site::generated(1, 20, 200);
    let _center = site.serve();
    site.backup(&["sync"]).ok();
    let folder = "0410000001/OLD01/000/000/0000001/20200101/OMP-01";
    site.put(&format!("{folder}/0000001"), b"from before the move");
    let sync = site.backup(&["sync"]).ok();
    assert_eq!(sync["pull"]["contents_received"], 1);
    site.assert_equal();
}
