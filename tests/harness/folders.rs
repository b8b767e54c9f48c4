//! An independent look at folders that uses nothing of the library, and
//! temporary folders.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file as an independent look sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub content: Vec<u8>,
    pub mtime_ns: i128,
}

/// Every regular file below a folder, by path; special files and the tree's
/// hidden folder are left out, as they are in a copy.
pub fn look(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut looker = Looker::default();
    looker.look(root);
    looker.seen
}

/// Threads that read contents: a disk that was just mounted answers slowly.
const READERS: usize = 8;

/// Looks at one folder again and again: of files whose inode, size, and times
/// are as they were the content is not read again. Nobody but the system sets
/// a change time.
#[derive(Default)]
pub struct Looker {
    stats: BTreeMap<Vec<u8>, Stat>,
    seen: BTreeMap<Vec<u8>, Seen>,
}

/// Inode, size, times.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stat {
    inode: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

impl Stat {
    fn of(found: &fs::Metadata) -> Stat {
        let time =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Stat {
            inode: found.ino(),
            size: found.size(),
            mtime_ns: time(found.mtime(), found.mtime_nsec()),
            ctime_ns: time(found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Looker {
    /// After a power cut nothing is as it was.
    pub fn forget(&mut self) {
        *self = Looker::default();
    }

    pub fn look(&mut self, root: &Path) -> &BTreeMap<Vec<u8>, Seen> {
        let mut stats = BTreeMap::new();
        if root.exists() {
            stats_below(root, b"", &mut stats);
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.retain(|path, _| self.stats.get(path) == stats.get(path));
        let paths: Vec<&Vec<u8>> = stats
            .keys()
            .filter(|path| !seen.contains_key(*path))
            .collect();
        let read = |path: &&Vec<u8>| {
            let path = *path;
            let content = fs::read(root.join(OsStr::from_bytes(path))).unwrap();
            let mtime_ns = stats[path].mtime_ns;
            (path.clone(), Seen { content, mtime_ns })
        };
        std::thread::scope(|threads| {
            let share = paths.len().div_ceil(READERS).max(1);
            let readers: Vec<_> = paths
                .chunks(share)
                .map(|paths| threads.spawn(|| paths.iter().map(read).collect::<Vec<_>>()))
                .collect();
            for reader in readers {
                seen.extend(reader.join().unwrap());
            }
        });
        self.stats = stats;
        self.seen = seen;
        &self.seen
    }
}

fn stats_below(folder: &Path, path: &[u8], stats: &mut BTreeMap<Vec<u8>, Stat>) {
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let name = item.file_name();
        let path = match path.is_empty() {
            true => name.as_bytes().to_vec(),
            false => [path, b"/", name.as_bytes()].concat(),
        };
        let kind = item.file_type().unwrap();
        if kind.is_dir() {
            if !path.starts_with(b".hikae") {
                stats_below(&item.path(), &path, stats);
            }
        } else if kind.is_file() {
            stats.insert(path, Stat::of(&item.metadata().unwrap()));
        }
    }
}

/// What differs between two folders: names, contents, modification times.
pub fn differences(one: &Path, two: &Path) -> Vec<String> {
    differences_of(&look(one), &look(two))
}

/// The same, of looks.
fn differences_of(one: &BTreeMap<Vec<u8>, Seen>, two: &BTreeMap<Vec<u8>, Seen>) -> Vec<String> {
    let name = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    let mut found = Vec::new();
    for (path, seen) in one {
        match two.get(path) {
            None => found.push(format!("only in the first: {}", name(path))),
            Some(other) if other.content != seen.content => {
                found.push(format!("content: {}", name(path)))
            }
            Some(other) if other.mtime_ns != seen.mtime_ns => {
                found.push(format!("mtime: {}", name(path)))
            }
            Some(_) => {}
        }
    }
    let only = two.keys().filter(|path| !one.contains_key(*path));
    found.extend(only.map(|path| format!("only in the second: {}", name(path))));
    found
}

/// Two folders have the same files, and at least one.
#[track_caller]
pub fn assert_same(one: &Path, two: &Path) {
    assert_same_files(&look(one), &look(two));
}

/// The same, of looks.
#[track_caller]
pub fn assert_same_files(one: &BTreeMap<Vec<u8>, Seen>, two: &BTreeMap<Vec<u8>, Seen>) {
    let found = differences_of(one, two);
    assert!(
        found.is_empty(),
        "{} differences: {:#?}",
        found.len(),
        &found[..found.len().min(10)]
    );
    assert!(!one.is_empty(), "nothing was compared");
}

/// Copies a folder with its modification times.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let status = Command::new("cp")
        .arg("-a")
        .arg(from.join("."))
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

/// What `rsync` would do to make the second folder like the first, contents
/// compared; directories that hold no file left away.
#[track_caller]
pub fn rsync_work(one: &Path, two: &Path) -> Vec<String> {
    let output = Command::new("rsync")
        .args(["-rtnci", "--delete", "--omit-dir-times", "--8-bit-output"])
        .args([format!("{}/", one.display()), format!("{}/", two.display())])
        .output()
        .expect("rsync runs (Debian: apt-get install rsync)");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rsync: {error}");
    let is_empty = |root: &Path, path: &[u8]| {
        let path = root.join(OsStr::from_bytes(path));
        path.is_dir() && look(&path).is_empty()
    };
    let is_empty_directory = |line: &[u8]| {
        let made = line.strip_prefix(b"cd+++++++++ ");
        let removed = line.strip_prefix(b"*deleting   ");
        made.is_some_and(|path| is_empty(one, path))
            || removed.is_some_and(|path| is_empty(two, path))
    };
    output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty() && !is_empty_directory(line))
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

/// Records from which on a site is a large one.
pub const LARGE_RECORDS: u64 = 10_000;
/// What a large site takes in memory, and as much again.
const LARGE_BYTES: u64 = 8 << 30;
const LARGE_INODES: u64 = 2_000_000;

/// A temporary folder for a million files and folders: in memory where there
/// is room, for disks take minutes to make and remove so many.
pub fn large_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).is_ok_and(|found| {
        found.f_bavail * found.f_frsize > LARGE_BYTES && found.f_favail > LARGE_INODES
    });
    let free = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free: Option<u64> = free
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|kilobytes| kilobytes.split_whitespace().next()?.parse().ok());
    match room && free.unwrap_or(0) * 1024 > LARGE_BYTES {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// A temporary folder in memory, or else on the disk.
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// [R2] every file of a tree has the whole content that one of the storages
/// has at its place; names for work are in the hidden folder.
#[track_caller]
pub fn assert_whole_files(tree: &BTreeMap<Vec<u8>, Seen>, storages: &[&BTreeMap<Vec<u8>, Seen>]) {
    for (path, seen) in tree {
        let has = |storage: &&BTreeMap<Vec<u8>, Seen>| {
            let file = storage.get(path);
            file.is_some_and(|file| file.content == seen.content)
        };
        let name = String::from_utf8_lossy(path);
        assert!(
            storages.iter().any(has),
            "{name} is neither the old nor the new file ({} bytes)",
            seen.content.len()
        );
    }
}

/// A folder and every folder below it.
pub fn folders(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_path_buf()];
    let mut at = 0;
    while let Some(folder) = all.get(at).cloned() {
        let items = fs::read_dir(folder).unwrap().map(|item| item.unwrap());
        let below = items.filter(|item| item.file_type().unwrap().is_dir());
        all.extend(below.map(|item| item.path()));
        at += 1;
    }
    all
}
