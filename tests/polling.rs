//! Who polls the tree while days are published never sees two valid files of
//! one record (`_1`) beyond those that the source itself has, nor half a
//! file, nor a temporary name.
//!
//! Names are parsed here once more, and contents known by their hash: nothing
//! of the library is asked.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;
#[path = "polling/moving.rs"]
mod moving;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Site, look};

/// Key (patient, date, kind, order) and flag of a record's name: seven fields
/// joined by `_`, or six without the department.
fn record(name: &[u8]) -> Option<(Vec<u8>, u8)> {
    let fields: Vec<&[u8]> = name.split(|&byte| byte == b'_').collect();
    let flag = match *fields.last()? {
        [flag @ b'0'..=b'2'] => *flag,
        _ => return None,
    };
    (6..=7)
        .contains(&fields.len())
        .then(|| (fields[..4].join(&b'_'), flag))
}

/// Valid names by key, of the names in one folder.
fn valid<'a>(names: impl Iterator<Item = &'a [u8]>) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for (key, flag) in names.filter_map(record) {
        *counts.entry(key).or_default() += usize::from(flag == b'1');
    }
    counts
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder.is_empty() {
        true => name.to_vec(),
        false => [folder, b"/", name].concat(),
    }
}

fn parent(path: &[u8]) -> &[u8] {
    let at = path.iter().rposition(|&byte| byte == b'/');
    &path[..at.unwrap_or(0)]
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap()
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// All that the source ever showed: what the tree may show.
#[derive(Default)]
struct Allowed {
    contents: HashSet<(Vec<u8>, blake3::Hash)>,
    names: HashSet<Vec<u8>>,
    /// (Folder, key) of records that the source shows valid more than once.
    valid: HashMap<(Vec<u8>, Vec<u8>), usize>,
}

impl Allowed {
    /// Adds what the source shows now; gives the paths of its files.
    fn learn(&mut self, source: &Path) -> HashSet<Vec<u8>> {
        let mut folders: HashMap<Vec<u8>, HashSet<Vec<u8>>> = HashMap::new();
        let mut files = HashSet::new();
        for (path, seen) in look(source) {
            let hash = blake3::hash(&seen.content);
            let mut at = path.as_slice();
            while !at.is_empty() {
                self.names.insert(at.to_vec());
                let names = folders.entry(parent(at).to_vec()).or_default();
                names.insert(name(at).to_vec());
                at = parent(at);
            }
            self.contents.insert((path.clone(), hash));
            files.insert(path);
        }
        for (folder, names) in folders {
            for (key, count) in valid(names.iter().map(Vec::as_slice)) {
                let most = self.valid.entry((folder.clone(), key)).or_default();
                *most = count.max(*most);
            }
        }
        files
    }
}

/// What a reader saw of the tree, in all its polls.
#[derive(Default)]
struct Reader {
    /// Polls that found something.
    polls: u64,
    files_read: u64,
    contents: HashSet<(Vec<u8>, blake3::Hash)>,
    names: HashSet<Vec<u8>>,
    /// (Folder, key): most valid names at one moment.
    valid: HashMap<(Vec<u8>, Vec<u8>), usize>,
    errors: Vec<String>,
    /// Paths of the files seen in this poll.
    now: HashSet<Vec<u8>>,
    /// Polls that saw a publication half done: old names and new ones.
    polls_between: u64,
}

impl Reader {
    /// The items of a folder, read at one moment: folders of records are far
    /// smaller than what one system call reads.
    fn list(&mut self, root: &Path, folder: &[u8]) -> Vec<(Vec<u8>, fs::DirEntry)> {
        let listed: std::io::Result<Vec<fs::DirEntry>> =
            fs::read_dir(root.join(std::ffi::OsStr::from_bytes(folder)))
                .and_then(Iterator::collect);
        let mut items = match listed {
            Ok(items) => items,
            Err(error) if error.kind() == ErrorKind::NotFound => vec![],
            Err(error) => {
                self.errors.push(format!("{}: {error}", text(folder)));
                vec![]
            }
        };
        items.retain(|item| !folder.is_empty() || item.file_name() != ".hikae");
        let names: Vec<OsString> = items.iter().map(fs::DirEntry::file_name).collect();
        for (key, count) in valid(names.iter().map(|name| name.as_bytes())) {
            if count > 1 {
                let most = self.valid.entry((folder.to_vec(), key)).or_default();
                *most = count.max(*most);
            }
        }
        let paths = names.iter().map(|name| join(folder, name.as_bytes()));
        paths.zip(items).collect()
    }

    /// Polls names alone.
    fn names(&mut self, root: &Path, folder: &[u8]) {
        let paths = self.list(root, folder).into_iter().map(|(path, _)| path);
        self.now.extend(paths);
    }

    /// Polls everything in a folder and below it.
    fn folder(&mut self, root: &Path, folder: &[u8]) {
        for (path, item) in self.list(root, folder) {
            if !self.names.contains(&path) {
                self.names.insert(path.clone());
            }
            match item.file_type().unwrap().is_dir() {
                true => self.folder(root, &path),
                false => self.file(root, path),
            }
        }
    }

    fn file(&mut self, root: &Path, path: Vec<u8>) {
        match fs::read(root.join(std::ffi::OsStr::from_bytes(&path))) {
            Ok(content) => {
                self.files_read += 1;
                self.contents.insert((path.clone(), blake3::hash(&content)));
                self.now.insert(path);
            }
            // Renamed since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.errors.push(format!("{}: {error}", text(&path))),
        }
    }

    /// What it saw and should not have.
    fn faults(&self, allowed: &Allowed) -> Vec<String> {
        let mut faults = self.errors.clone();
        for (path, _) in self.contents.difference(&allowed.contents) {
            faults.push(format!("never such a content: {}", text(path)));
        }
        for path in self.names.difference(&allowed.names) {
            faults.push(format!("never such a name: {}", text(path)));
        }
        for ((folder, key), &count) in &self.valid {
            let most = allowed.valid.get(&(folder.clone(), key.clone()));
            if count > 1 && count > most.copied().unwrap_or(0) {
                let (folder, key) = (text(folder), text(key));
                faults.push(format!("{count} valid files of {key} in {folder}"));
            }
        }
        faults.sort();
        faults
    }
}

/// Where readers look while a day is published, and what changes there.
#[derive(Default)]
struct Focus {
    /// Folders that change; none: the whole tree.
    folders: Vec<Vec<u8>>,
    /// Those in which names go and others come.
    updated: Vec<Vec<u8>>,
    gone: HashSet<Vec<u8>>,
    come: HashSet<Vec<u8>>,
}

impl Focus {
    fn between(before: &HashSet<Vec<u8>>, after: &HashSet<Vec<u8>>) -> Focus {
        let gone: HashSet<Vec<u8>> = before.difference(after).cloned().collect();
        let come: HashSet<Vec<u8>> = after.difference(before).cloned().collect();
        // Records lie four folders below their volume, at eight components.
        let folder = |path: &Vec<u8>| {
            let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').take(7).collect();
            parts.join(&b'/')
        };
        let folders = |paths: &HashSet<Vec<u8>>| paths.iter().map(folder).collect::<HashSet<_>>();
        let (left, entered) = (folders(&gone), folders(&come));
        Focus {
            folders: left.union(&entered).cloned().collect(),
            updated: left.intersection(&entered).cloned().collect(),
            gone,
            come,
        }
    }
}

/// What a reader looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Eye {
    /// Contents of all that changes, and now and then of the whole tree.
    All,
    /// Contents of a few records that are updated, again and again.
    Few,
    /// Names of the records that are updated, as fast as it can.
    Names,
}

/// Folders that the eye for a few looks at.
const FEW: usize = 6;

impl Eye {
    fn poll(self, reader: &mut Reader, root: &Path, focus: &Focus, turn: u64) {
        let (folders, updated) = (&focus.folders, &focus.updated);
        match self {
            Eye::All if folders.is_empty() || turn.is_multiple_of(32) => reader.folder(root, b""),
            Eye::All => folders
                .iter()
                .for_each(|folder| reader.folder(root, folder)),
            _ if updated.is_empty() => std::thread::sleep(Duration::from_millis(1)),
            Eye::Few => {
                let few = updated.iter().take(FEW);
                few.for_each(|folder| reader.folder(root, folder));
            }
            Eye::Names => updated.iter().for_each(|folder| reader.names(root, folder)),
        }
    }
}

/// Polls until told to stop.
fn read_on(root: &Path, eye: Eye, focus: &Mutex<Arc<Focus>>, stop: &AtomicBool) -> Reader {
    let mut reader = Reader::default();
    for turn in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let focus = focus.lock().unwrap().clone();
        reader.now.clear();
        eye.poll(&mut reader, root, &focus, turn);
        reader.polls += u64::from(!reader.now.is_empty());
        let is_between =
            !reader.now.is_disjoint(&focus.gone) && !reader.now.is_disjoint(&focus.come);
        reader.polls_between += u64::from(is_between);
    }
    reader
}

const EYES: [Eye; 3] = [Eye::All, Eye::Few, Eye::Names];

/// Makes some days with `make`, one after the other, while readers poll.
fn polled(site: &Site, make: impl FnOnce(&mut dyn FnMut(u64) -> Focus, &Mutex<Arc<Focus>>)) {
    let (root, focus, stop) = (site.tree(), Mutex::default(), AtomicBool::new(false));
    let mut allowed = Allowed::default();
    let mut before = allowed.learn(&site.volumes());
    let readers = std::thread::scope(|threads| {
        let readers = EYES.map(|eye| {
            threads.spawn({
                let (root, focus, stop) = (&root, &focus, &stop);
                move || read_on(root, eye, focus, stop)
            })
        });
        let mut day = |changes| {
            site.day(changes);
            let after = allowed.learn(&site.volumes());
            let focus = Focus::between(&before, &after);
            before = after;
            focus
        };
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            make(&mut day, &focus);
        }));
        stop.store(true, Ordering::Relaxed);
        let readers = readers.map(|reader| reader.join().unwrap());
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        readers
    });
    site.assert_equal();
    let mut faults = Vec::new();
    for (reader, eye) in readers.iter().zip(EYES) {
        println!(
            "{eye:?}: {} polls, {} of them amid a publication; {} files read, {} contents",
            reader.polls,
            reader.polls_between,
            reader.files_read,
            reader.contents.len(),
        );
        let found = reader.faults(&allowed);
        println!("{eye:?}: {} faults", found.len());
        faults.extend(found);
    }
    faults.truncate(20);
    assert!(faults.is_empty(), "{faults:#?}");
    for reader in &readers {
        assert!(reader.polls > 100, "{} polls", reader.polls);
        assert!(reader.polls_between > 0, "no poll saw a publication");
    }
    // What was there at the end of a day was seen, if not renamed at once.
    let all = allowed.contents.len();
    assert!(readers[0].contents.len() > all / 2, "of {all} contents");
}

/// [S11-2] no half file is seen under its name, [S11-3] no temporary one
/// outside of its folder, and [S11-5] no record valid twice.
#[test]
fn readers_never_see_a_record_twice_or_half_while_days_are_synced() {
    let site = Site::generated(2, 300, 3_000);
    let _center = site.serve();
    polled(&site, |day, focus| {
        // The first copy is polled, too.
        site.backup(&["sync"]).ok();
        // Few changes are synced one by one, many with their file system.
        for changes in [1_000, 60, 1_000, 60, 1_000, 60] {
            *focus.lock().unwrap() = Arc::new(day(changes));
            let report = site.backup(&["sync"]).ok();
            assert_eq!(report["roots_equal"], true);
            assert!(report["publish"]["files_renamed"].as_u64().unwrap() > 5);
        }
    });
}

#[test]
fn readers_never_see_a_record_twice_or_half_while_a_backup_follows() {
    let site = Site::generated(2, 300, 3_000);
    let _center = site.serve();
    let _backup = site.spawn_logged("backup", &["sync", "--follow"]);
    let caught_up = || {
        let (begun, files) = (Instant::now(), look(&site.volumes()).len());
        loop {
            let (center, backup) = (site.status("center"), site.status("backup"));
            let same = center["snapshot"]["entries"] == files
                && center["snapshot"]["root"] == backup["snapshot"]["root"]
                && backup["is_published"] == true
                // Else a later refresh could meet a gateway at work.
                && center["last_refresh"]["directories_again"] == 0;
            if same {
                return;
            }
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(!late, "the backup did not follow:\n{}", site.log("backup"));
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    polled(&site, |day, focus| {
        caught_up();
        for changes in [400, 100, 400] {
            *focus.lock().unwrap() = Arc::new(day(changes));
            caught_up();
        }
    });
}

/// A folder with these files, read once by a reader who knows `allowed`.
fn faults_of(files: &[(&str, &str)], allowed: &Allowed) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), files);
    let mut reader = Reader::default();
    reader.folder(folder.path(), b"");
    assert!(reader.files_read > 0);
    reader.faults(allowed)
}

fn put(folder: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path: PathBuf = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Each state of these was allowed, one after the other.
fn allowed(states: &[&[(&str, &str)]]) -> Allowed {
    let mut allowed = Allowed::default();
    for files in states {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), files);
        allowed.learn(folder.path());
    }
    allowed
}

#[test]
fn the_checker_tells_two_valid_files_of_one_record() {
    const OLD: &str = "f/l/1_2_OMP-01_4_2025_01_1";
    const PAST: &str = "f/l/1_2_OMP-01_4_2025_01_2";
    const NEW: &str = "f/l/1_2_OMP-01_4_2026_01_1";
    const OTHER: &str = "f/l/1_2_OMP-01_5_2026_01_1";
    let before = [(OLD, "old"), (OTHER, "other")];
    let after = [(PAST, "old"), (NEW, "new"), (OTHER, "other")];
    let known = allowed(&[&before, &after]);
    assert_eq!(faults_of(&before, &known), [""; 0]);
    assert_eq!(faults_of(&after, &known), [""; 0]);
    assert_eq!(faults_of(&[(PAST, "old")], &known), [""; 0]);
    let both = [(OLD, "old"), (NEW, "new")];
    assert_eq!(
        faults_of(&both, &known),
        ["2 valid files of 1_2_OMP-01_4 in f/l"]
    );
    // Unless the source has two itself; not three then.
    let planted = allowed(&[&both, &[("f/l/1_2_OMP-01_4_2027_01_1", "")]]);
    assert_eq!(faults_of(&both, &planted), [""; 0]);
    let three = [both[0], both[1], ("f/l/1_2_OMP-01_4_2027_01_1", "")];
    assert_eq!(faults_of(&three, &planted).len(), 1);
}

#[test]
fn the_checker_tells_two_valid_folders_of_one_document() {
    const OLD: &str = "f/x/1_2_18842-5_1.2.3_201107012246039_1/main.xml";
    const NEW: &str = "f/x/1_2_18842-5_1.2.3_20110702224603984_01_1/main.xml";
    let known = allowed(&[&[(OLD, "a")], &[(NEW, "b")]]);
    assert_eq!(faults_of(&[(OLD, "a")], &known), [""; 0]);
    assert_eq!(
        faults_of(&[(OLD, "a"), (NEW, "b")], &known),
        ["2 valid files of 1_2_18842-5_1.2.3 in f/x"]
    );
}

#[test]
fn the_checker_tells_half_files_and_temporary_names() {
    const FILE: &str = "f/l/1_2_OMP-01_4_2025_01_1";
    let known = allowed(&[&[(FILE, "whole")]]);
    assert_eq!(
        faults_of(&[(FILE, "who")], &known),
        [format!("never such a content: {FILE}")]
    );
    assert_eq!(faults_of(&[(FILE, "")], &known).len(), 1);
    assert_eq!(
        faults_of(&[(FILE, "whole"), ("f/l/.x", "whole")], &known),
        ["never such a content: f/l/.x", "never such a name: f/l/.x"]
    );
    assert_eq!(
        faults_of(&[(FILE, "whole"), (".hikae/0/1", "who")], &known),
        [""; 0]
    );
    assert_eq!(
        faults_of(&[(FILE, "whole"), ("f/.hikae/1", "")], &known).len(),
        3
    );
}
