//! What the integration tests share: a center and a backup in a temporary
//! folder, the real binary, and an independent look at folders that uses
//! nothing of the library.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The sample storage of the test data, if it lies beside the project.
pub fn samples() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata/ssmix2-samples");
    path.is_dir().then_some(path)
}

/// What a command of the binary came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub json: Value,
    pub stderr: String,
}

impl Ran {
    /// The report of a command that had to succeed.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.code, Some(0), "{}\n{}", self.json, self.stderr);
        self.json
    }

    /// The error's text, of a command that had to fail with `code`.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.json, self.stderr);
        self.json["error"].as_str().unwrap_or_default().to_string()
    }
}

/// The binary under test; `HIKAE_BIN` names another one, e.g. with a safeguard
/// taken away, which a test must notice.
pub fn binary() -> String {
    let other = std::env::var("HIKAE_BIN");
    other.unwrap_or_else(|_| env!("CARGO_BIN_EXE_hikae").into())
}

/// Runs the binary with `--json`.
pub fn hikae<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    let output = Command::new(binary())
        .args(arguments)
        .arg("--json")
        .env_remove("HIKAE_HOME")
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A UDP port that nobody listens on.
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A process that is killed when it goes out of scope.
pub struct Process(pub Child);

impl Process {
    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, and waits until it ended.
    pub fn end(mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A center and a backup that know each other.
pub struct Site {
    folder: tempfile::TempDir,
    pub port: u16,
    pub center_id: String,
    pub backup_id: String,
}

impl Site {
    /// A generated center with this many records.
    pub fn generated(facilities: u64, patients: u64, records: u64) -> Site {
        let folder = match records < LARGE_RECORDS {
            true => tempfile::tempdir().unwrap(),
            false => large_folder(),
        };
        Site::generated_in(folder, facilities, patients, records)
    }

    /// The same in memory, where there is such a folder: for what starts many
    /// processes and needs no disk.
    pub fn generated_in_memory(facilities: u64, patients: u64, records: u64) -> Site {
        Site::generated_in(memory_folder(), facilities, patients, records)
    }

    fn generated_in(
        folder: tempfile::TempDir,
        facilities: u64,
        patients: u64,
        records: u64,
    ) -> Site {
        let site = Site::empty_in(folder);
        let [facilities, patients, records] =
            [facilities, patients, records].map(|count| count.to_string());
        let made = hikae([
            "gen",
            "--out",
            site.text("storage").as_str(),
            "--facilities",
            &facilities,
            "--patients",
            &patients,
            "--records",
            &records,
        ]);
        made.ok();
        site
    }

    /// A center whose storage is made by the test: `storage/volumes` and, if
    /// the test makes it, `storage/index.db`.
    pub fn empty() -> Site {
        Site::empty_in(tempfile::tempdir().unwrap())
    }

    fn empty_in(folder: tempfile::TempDir) -> Site {
        let text = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        let id = |home: &str, role: &str| {
            let made = hikae(["init", "--home", text(home).as_str(), "--role", role]).ok();
            made["node_id"].as_str().unwrap().to_string()
        };
        let (center_id, backup_id) = (id("center", "center"), id("backup", "backup"));
        let site = Site {
            port: free_port(),
            center_id,
            backup_id,
            folder,
        };
        site.configure(true);
        site
    }

    /// Writes both configurations; without `index` the center has no INDEX DB.
    pub fn configure(&self, index: bool) {
        let (storage, port) = (self.text("storage"), self.port);
        let index_db = match index {
            true => format!("[index_db]\nurl = \"sqlite://{storage}/index.db\"\n"),
            false => String::new(),
        };
        let center = format!(
            "role = \"center\"\n[[listen]]\nlink = \"loopback\"\naddr = \"127.0.0.1:{port}\"\n{index_db}\
             [volumes]\ndiscover = \"{storage}/volumes\"\n[[peer]]\nname = \"backup\"\nid = \"{}\"\n",
            self.backup_id
        );
        let backup = format!(
            "role = \"backup\"\ntree = \"{}\"\n[source]\nid = \"{}\"\n[[source.link]]\nname = \"loopback\"\n\
             remote = \"127.0.0.1:{port}\"\n",
            self.text("tree"),
            self.center_id
        );
        fs::write(self.path("center/hikae.toml"), center).unwrap();
        fs::write(self.path("backup/hikae.toml"), backup).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// The center's volumes.
    pub fn volumes(&self) -> PathBuf {
        self.path("storage/volumes")
    }

    /// The backup's published tree.
    pub fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    /// Runs a command at the center.
    pub fn center(&self, arguments: &[&str]) -> Ran {
        self.at("center", arguments)
    }

    /// Runs a command at the backup.
    pub fn backup(&self, arguments: &[&str]) -> Ran {
        self.at("backup", arguments)
    }

    fn at(&self, home: &str, arguments: &[&str]) -> Ran {
        let home = self.text(home);
        let all = arguments.iter().copied().chain(["--home", home.as_str()]);
        hikae(all.collect::<Vec<_>>())
    }

    /// One day of changes; gives its report.
    pub fn day(&self, changes: u64) -> Value {
        let storage = self.text("storage");
        hikae([
            "gen",
            "day",
            "--out",
            &storage,
            "--changes",
            &changes.to_string(),
        ])
        .ok()
    }

    /// Starts `serve` at the center; ready when this returns.
    pub fn serve(&self) -> Process {
        let mut process = self.spawn("center", &["serve"]);
        process.wait_for_port(self.port);
        process
    }

    /// Starts a command in the background.
    pub fn spawn(&self, home: &str, arguments: &[&str]) -> Process {
        let child = Command::new(binary())
            .args(arguments)
            .args(["--home", self.text(home).as_str()])
            .env_remove("HIKAE_HOME")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    /// The center's volumes and the backup's tree are the same.
    #[track_caller]
    pub fn assert_equal(&self) {
        assert_same(&self.volumes(), &self.tree());
    }
}

/// A file as an independent look sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub content: Vec<u8>,
    pub mtime_ns: i128,
}

/// Every regular file below a folder, by path; special files and the tree's
/// hidden folder are left out, as they are in a copy.
pub fn look(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    fn below(folder: &Path, path: &[u8], seen: &mut BTreeMap<Vec<u8>, Seen>) {
        for item in fs::read_dir(folder).unwrap() {
            let item = item.unwrap();
            let name = item.file_name();
            let path = match path.is_empty() {
                true => name.as_bytes().to_vec(),
                false => [path, b"/", name.as_bytes()].concat(),
            };
            let found = fs::symlink_metadata(item.path()).unwrap();
            if found.is_dir() {
                if path != b".hikae" {
                    below(&item.path(), &path, seen);
                }
            } else if found.is_file() {
                let mtime_ns =
                    i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
                let content = fs::read(item.path()).unwrap();
                seen.insert(path, Seen { content, mtime_ns });
            }
        }
    }
    let mut seen = BTreeMap::new();
    below(root, b"", &mut seen);
    seen
}

/// What differs between two folders: names, contents, modification times.
pub fn differences(one: &Path, two: &Path) -> Vec<String> {
    let (one, two) = (look(one), look(two));
    let name = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    let mut found = Vec::new();
    for (path, seen) in &one {
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
    let found = differences(one, two);
    assert!(
        found.is_empty(),
        "{} differences: {:#?}",
        found.len(),
        &found[..found.len().min(10)]
    );
    assert!(!look(one).is_empty(), "nothing was compared");
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

/// The path of a record below its volume: a patient id of seven digits or
/// more, and an order number.
pub fn record(patient: &str, order: u64) -> String {
    let (one, two) = (&patient[..3], &patient[3..6]);
    format!(
        "{one}/{two}/{patient}/20250401/OMP-01/{patient}_20250401_OMP-01_{order:015}_20250401120000000_01_1"
    )
}

/// Runs the binary with `--json` through another program, e.g. `setpriv` or
/// `strace` with its options.
pub fn hikae_under(wrapper: &[&str], arguments: &[&str]) -> Ran {
    let binary = binary();
    let all: Vec<&str> = wrapper
        .iter()
        .copied()
        .chain([binary.as_str()])
        .chain(arguments.iter().copied())
        .chain(["--json"])
        .collect();
    let output = Command::new(all[0])
        .args(&all[1..])
        .env_remove("HIKAE_HOME")
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Says loudly that a test shows nothing on this machine, and why. Not
/// captured by the test harness.
pub fn skipped(test: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {why}\n");
}

/// A program of this name can be run.
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// What to run a program under so that modes of files count for it: nothing
/// for an ordinary user; for root, `setpriv` without the right to pass over
/// them. None if that is not there.
pub fn unprivileged() -> Option<&'static [&'static str]> {
    const DROPPED: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    match (is_root(), has_program("setpriv")) {
        (false, _) => Some(&[]),
        (true, true) => Some(&DROPPED),
        (true, false) => None,
    }
}

impl Site {
    /// Writes a file of the center's storage: facility, label, and down.
    pub fn put(&self, path: &str, content: &[u8]) {
        let path = self.volumes().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs a command at the center through another program.
    pub fn center_under(&self, wrapper: &[&str], arguments: &[&str]) -> Ran {
        let home = self.text("center");
        hikae_under(wrapper, &[arguments, &["--home", home.as_str()]].concat())
    }

    /// Starts `serve` at the center through another program that becomes it;
    /// ready when this returns.
    pub fn serve_under(&self, wrapper: &[&str]) -> Process {
        let Some((program, options)) = wrapper.split_first() else {
            return self.serve();
        };
        let child = Command::new(program)
            .args(options)
            .arg(binary())
            .args(["serve", "--home", self.text("center").as_str()])
            .env_remove("HIKAE_HOME")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        process.wait_for_port(self.port);
        process
    }

    /// One sync of the backup from a center that serves meanwhile.
    pub fn sync(&self) -> Ran {
        let center = self.serve();
        let ran = self.backup(&["sync"]);
        center.end();
        ran
    }
}

/// Whether somebody has this UDP port, without touching it: whoever binds a
/// port to find out takes it away from a node that just starts.
pub fn is_port_taken(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/udp").unwrap();
    let port = format!(":{port:04X}");
    sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|local| local.ends_with(&port))
}

/// A UDP port that nobody has, and that the system gives nobody by itself:
/// for a node that is killed and started again on its port.
pub fn lasting_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let offset = std::process::id() as u16 % 1000;
    (first - 2000 + offset..first)
        .find(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port below those that the system gives")
}

impl Process {
    /// Returns when the process listens on this UDP port; it must not end
    /// before.
    #[track_caller]
    pub fn wait_for_port(&mut self, port: u16) {
        let begun = Instant::now();
        while !is_port_taken(port) {
            if let Some(status) = self.0.try_wait().unwrap() {
                panic!("the center ended before it listened: {status}");
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the center did not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

/// How long after its last change a file is no longer looked at again: DESIGN
/// §3, and a little.
const SETTLE: Duration = Duration::from_millis(2100);

impl Site {
    /// The status of `center` or `backup`.
    #[track_caller]
    pub fn status(&self, home: &str) -> Value {
        self.at(home, &["status"]).ok()
    }

    /// What the serving center's last refresh did.
    #[track_caller]
    pub fn last_refresh(&self) -> Value {
        let status = self.status("center");
        assert!(!status["last_refresh"].is_null(), "no refresh yet");
        status["last_refresh"].clone()
    }

    /// Nothing was changed for a while, and a refresh at the center looked
    /// again at what had been changed just before an earlier one: from here
    /// on, a refresh that finds nothing looks at nothing.
    #[track_caller]
    pub fn settle(&self) {
        std::thread::sleep(SETTLE);
        let report = self.center(&["scan"]).ok();
        assert_eq!(report["directories_again"], 0, "{report}");
    }

    /// Rows of a query on the center's INDEX DB, by the command line tool of
    /// SQLite.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let output = Command::new("sqlite3")
            .args(["-readonly", "-separator", "\t"])
            .args([self.text("storage/index.db").as_str(), sql])
            .output()
            .expect("sqlite3 runs (Debian: apt-get install sqlite3)");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sqlite3: {error}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.split('\t').map(str::to_string).collect())
            .collect()
    }

    /// Starts a command in the background; what it says goes to the end of
    /// the file `<home>.log`.
    pub fn spawn_logged(&self, home: &str, arguments: &[&str]) -> Process {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{home}.log")))
            .unwrap();
        let child = Command::new(binary())
            .args(arguments)
            .args(["--home", self.text(home).as_str()])
            .env_remove("HIKAE_HOME")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    /// The end of what commands in the background said.
    pub fn log(&self, home: &str) -> String {
        let text = fs::read(self.path(&format!("{home}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// `rsync` has nothing to do from the center's volumes to the backup's
    /// tree but to make or remove directories without files.
    #[track_caller]
    pub fn assert_rsync_idle(&self) {
        let found = rsync_work(&self.volumes(), &self.tree());
        assert!(found.is_empty(), "rsync would do: {found:#?}");
    }
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
const LARGE_RECORDS: u64 = 10_000;
/// What a large site takes in memory, and as much again.
const LARGE_BYTES: u64 = 8 << 30;
const LARGE_INODES: u64 = 2_000_000;

/// A temporary folder for a million files and folders: in memory where there
/// is room, for disks take minutes to make and remove so many.
fn large_folder() -> tempfile::TempDir {
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

/// Epoch and sequence number; zeros are none.
pub type Cursor = (u64, u64);

/// The cursor that a report has.
pub fn cursor(value: &Value) -> Cursor {
    let number = |name: &str| value[name].as_u64().unwrap_or(0);
    (number("epoch"), number("sequence"))
}

/// [R2] every file that a tree shows has the whole content that one of the
/// storages has at its place; names for work are in the hidden folder.
#[track_caller]
pub fn assert_whole_files(tree: &Path, storages: &[&BTreeMap<Vec<u8>, Seen>]) {
    if !tree.exists() {
        return;
    }
    for (path, seen) in look(tree) {
        let has = |storage: &&BTreeMap<Vec<u8>, Seen>| {
            let file = storage.get(&path);
            file.is_some_and(|file| file.content == seen.content)
        };
        let name = String::from_utf8_lossy(&path);
        assert!(
            storages.iter().any(has),
            "{name} is neither the old nor the new file ({} bytes)",
            seen.content.len()
        );
    }
}

/// Sees from outside, by inotify, which folders somebody opens, and what in
/// them.
pub struct Watch {
    inotify: rustix::fd::OwnedFd,
    folders: BTreeMap<i32, PathBuf>,
}

/// What a watch saw.
#[derive(Debug, Default)]
pub struct Opened {
    /// Folders that were opened.
    pub folders: BTreeSet<PathBuf>,
    /// Files and folders that were opened, by the watched folder that they
    /// are in.
    pub items: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches these folders. None, and a loud word, if the system allows no
    /// so many.
    pub fn of(test: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<Watch> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let flags = WatchFlags::OPEN | WatchFlags::ONLYDIR;
        let mut watched = BTreeMap::new();
        for folder in folders {
            match add_watch(&inotify, &folder, flags) {
                Ok(id) => watched.insert(id, folder),
                Err(rustix::io::Errno::NOSPC) => {
                    skipped(test, "fs.inotify.max_user_watches is too small");
                    return None;
                }
                Err(error) => panic!("{}: {error}", folder.display()),
            };
        }
        Some(Watch {
            inotify,
            folders: watched,
        })
    }

    /// How many folders are watched.
    pub fn len(&self) -> usize {
        self.folders.len()
    }

    /// What was opened while `work` ran.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Opened) {
        self.take(&mut Vec::new());
        let ended = AtomicBool::new(false);
        let (done, events) = std::thread::scope(|threads| {
            // The system keeps few events: they are taken at once, and
            // understood later.
            let watching = threads.spawn(|| {
                let mut events = Vec::new();
                loop {
                    let last = ended.load(Ordering::SeqCst);
                    self.take(&mut events);
                    if last {
                        return events;
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            let done = catch_unwind(AssertUnwindSafe(work));
            ended.store(true, Ordering::SeqCst);
            (done, watching.join())
        });
        let done = done.unwrap_or_else(|panic| resume_unwind(panic));
        let mut opened = Opened::default();
        for (id, name) in events.unwrap_or_else(|panic| resume_unwind(panic)) {
            let Some(folder) = self.folders.get(&id) else {
                panic!("more events than the system keeps");
            };
            match name {
                None => opened.folders.insert(folder.clone()),
                Some(name) => opened.items.insert(folder.join(OsStr::from_bytes(&name))),
            };
        }
        (done, opened)
    }

    /// Takes the events that are there: the folder, and the name in it.
    fn take(&self, taken: &mut Vec<(i32, Option<Vec<u8>>)>) {
        use rustix::fs::inotify::Reader;
        let mut buffer = vec![MaybeUninit::uninit(); 256 * 1024];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes().to_vec());
                    taken.push((event.wd(), name));
                }
                Err(rustix::io::Errno::AGAIN) => return,
                Err(error) => panic!("inotify: {error}"),
            }
        }
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

impl Site {
    /// The folders of the center's volumes, registries left away.
    pub fn record_folders(&self) -> Vec<PathBuf> {
        let root = self.volumes();
        let is_record = |folder: &PathBuf| {
            let path = folder.strip_prefix(&root).unwrap();
            let label = path.components().nth(1);
            label.is_some_and(|label| label.as_os_str() != "REG01")
        };
        folders(&root).into_iter().filter(is_record).collect()
    }
}

impl Drop for Site {
    /// With `HIKAE_KEEP` in the environment a failed test leaves its folder.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("HIKAE_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.folder.path().display());
        }
    }
}
