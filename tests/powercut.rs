//! Power cuts: the stores and the tree lie on ext4 file systems of their own,
//! which forget at a random moment what was not synced. Mounted again, what
//! was acknowledged is there, and everything ends equal.
//!
//! `HIKAE_CUT_CYCLES` (default 12) says how many cycles, `HIKAE_CUT_SEED`
//! which; the counts are printed. `HIKAE_KEEP` leaves the folder of a failed
//! run, with the images. `HIKAE_BIN` names another binary: one without its
//! syncs must fail here.
//!
//! A cut: the process is stopped (SIGSTOP), the file system shut down by the
//! ioctl that ext4 has for this, the process killed, the file system mounted
//! again. `noauto_da_alloc`: the default hides missing syncs of replaced
//! files.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use harness::{
    Process, Seen, Site, assert_same, has_program, is_root, lasting_port, look, skipped,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The backup begins with nothing this often, and with another layout.
const ANEW_EVERY: u64 = 5;
/// What was cut is cut again while it recovers, this often at most.
const AGAIN_MAX: u64 = 2;
const IMAGE_BYTES: u64 = 512 << 20;
/// Umounting waits this long for the last user.
const LAST_USER: Duration = Duration::from_secs(10);

/// Shuts file systems down: each argument pair is a mount and a flag of
/// EXT4_IOC_SHUTDOWN, `_IOR('X', 125, u32)`.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
cuts = [(os.open(mount, os.O_RDONLY), int(flag)) for mount, flag in zip(sys.argv[1::2], sys.argv[2::2])]
for mount, flag in cuts:
    fcntl.ioctl(mount, 0x8004587d, struct.pack('I', flag))
";

/// What still reaches the disk at a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flush {
    /// Everything.
    All = 0,
    /// The journal, without data that was not written yet.
    Journal = 1,
    /// Nothing.
    Nothing = 2,
}

/// One of these is drawn for each file system.
const FLUSHES: [Flush; 4] = [Flush::All, Flush::Journal, Flush::Nothing, Flush::Nothing];

/// A file system in a file.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
    is_mounted: bool,
}

impl Disk {
    fn new(folder: &Path, name: &str) -> Disk {
        let mut disk = Disk {
            image: folder.join(format!("{name}.img")),
            mount: folder.join(name),
            is_mounted: false,
        };
        fs::create_dir(&disk.mount).unwrap();
        File::create(&disk.image)
            .unwrap()
            .set_len(IMAGE_BYTES)
            .unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&disk.image));
        disk.mount();
        disk
    }

    fn mount(&mut self) {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,noauto_da_alloc"])
            .arg(&self.image)
            .arg(&self.mount));
        self.is_mounted = true;
    }

    /// The loop device goes with the mount.
    fn umount(&mut self) {
        let begun = Instant::now();
        while !self.umounts(&[]) {
            assert!(begun.elapsed() < LAST_USER, "{:?} is busy", self.mount);
            std::thread::sleep(Duration::from_millis(10));
        }
        self.is_mounted = false;
    }

    fn umounts(&self, options: &[&str]) -> bool {
        let done = Command::new("umount")
            .args(options)
            .arg(&self.mount)
            .output();
        done.is_ok_and(|done| done.status.success())
    }

    /// What was written so far stays.
    fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.mount).unwrap()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.is_mounted && !self.umounts(&[]) {
            if begun.elapsed() > LAST_USER {
                if !self.umounts(&["-l"]) {
                    eprintln!("STILL MOUNTED: {}", self.mount.display());
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}

/// The power of these file systems goes; they still have to be umounted.
fn shut_down(cuts: &[(&Disk, Flush)]) {
    let mut command = Command::new("python3");
    command.args(["-c", SHUTDOWN]);
    for (disk, flush) in cuts {
        command.arg(&disk.mount).arg((*flush as u32).to_string());
    }
    run(&mut command);
}

/// Says why nothing is shown on this machine.
fn is_impossible(test: &str) -> bool {
    let programs = ["mkfs.ext4", "mount", "umount", "python3"];
    let missing = programs.into_iter().find(|program| !has_program(program));
    if !is_root() {
        skipped(test, "NO POWER WAS CUT: it needs root");
    } else if let Some(missing) = missing {
        skipped(test, &format!("NO POWER WAS CUT: it needs {missing}"));
    } else {
        return false;
    }
    true
}

/// The laboratory itself: a disk forgets what was not synced, and keeps what
/// was.
#[test]
fn a_disk_forgets_what_was_not_synced() {
    if is_impossible("a_disk_forgets_what_was_not_synced") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(folder.path(), "disk");
    let mount = disk.mount.clone();
    for flush in [Flush::Nothing, Flush::Journal, Flush::All] {
        let path = |name: &str| mount.join(format!("{name}-{flush:?}"));
        let write = |name: &str| {
            let mut file = File::create(path(name)).unwrap();
            file.write_all(b"content").unwrap();
            file
        };
        write("synced").sync_all().unwrap();
        let replaced = write("replaced");
        replaced.sync_all().unwrap();
        drop(write("forgotten"));
        drop(write("new"));
        fs::rename(path("new"), path("replaced")).unwrap();
        let read = |name: &str| fs::read(path(name)).ok();
        shut_down(&[(&disk, flush)]);
        drop(replaced);
        disk.umount();
        disk.mount();
        assert_eq!(read("synced").as_deref(), Some(&b"content"[..]));
        let (forgotten, replaced) = (read("forgotten"), read("replaced"));
        let expected: [Option<&[u8]>; 2] = match flush {
            Flush::Nothing => [None, Some(b"content")],
            // The names are there, and nothing behind them.
            Flush::Journal => [Some(b""), Some(b"")],
            Flush::All => [Some(b"content"), Some(b"content")],
        };
        assert_eq!([forgotten.as_deref(), replaced.as_deref()], expected);
    }
}

/// What befalls the storage before a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// Nothing since the last sync.
    Nothing,
    /// A day of so many changes.
    Day(u64),
    /// Only times of files.
    Times,
    /// Nothing; the backup begins anew.
    Anew,
}

const CHANGES: [Change; 6] = [
    Change::Nothing,
    Change::Day(5),
    Change::Day(40),
    Change::Day(150),
    Change::Day(400),
    Change::Times,
];
/// Files whose time changes.
const TIMES: usize = 20;

/// Where the backup's tree lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// On the disk of its store: one journal.
    Together,
    /// On another one: nothing orders the two.
    Apart,
}

/// Whose power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Center,
    Backup,
}

/// Who is cut, and while doing what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// The backup while it connects, pulls and publishes.
    Backup,
    /// The backup while it connects and pulls.
    BackupPulling,
    /// The backup while it publishes.
    BackupPublishing,
    /// The backup when a sync has just returned, and its process has ended.
    BackupAfter,
    /// The same, while the process that did it goes on.
    BackupFollowing,
    /// The center while it answers a sync; the backup is killed.
    Center,
    /// Both at once.
    Both,
    /// The center while it starts and refreshes.
    CenterStarting,
    /// The center while it walks.
    CenterWalking,
    /// The center when a scan has just returned, and its process has ended.
    CenterAfter,
    /// The same, while the process that did it goes on.
    CenterServing,
}

/// One of these is drawn.
const WORKS: [Work; 16] = [
    Work::Backup,
    Work::Backup,
    Work::BackupPulling,
    Work::BackupPulling,
    Work::BackupPublishing,
    Work::BackupPublishing,
    Work::BackupPublishing,
    Work::BackupAfter,
    Work::BackupFollowing,
    Work::BackupFollowing,
    Work::Center,
    Work::Both,
    Work::CenterStarting,
    Work::CenterWalking,
    Work::CenterAfter,
    Work::CenterServing,
];

impl Work {
    fn sides(self) -> &'static [Side] {
        match self {
            Work::Backup
            | Work::BackupPulling
            | Work::BackupPublishing
            | Work::BackupAfter
            | Work::BackupFollowing => &[Side::Backup],
            Work::Both => &[Side::Center, Side::Backup],
            _ => &[Side::Center],
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Epoch and sequence number; zeros are none.
type Cursor = (u64, u64);

fn cursor(value: &Value) -> Cursor {
    let number = |name: &str| value[name].as_u64().unwrap_or(0);
    (number("epoch"), number("sequence"))
}

/// What somebody was told. A cut takes none of it back.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    /// Of the backup: by a sync that returned, or to the center.
    durable: Cursor,
    published: Cursor,
    /// Of the center: by a scan that returned, or to the backup.
    signed: Cursor,
    /// A sync returned, and nothing changed since.
    is_equal: bool,
}

/// What whole works took when nobody was cut: a moment to cut at is drawn
/// from these times.
#[derive(Debug, Default)]
struct Times {
    /// A sync with its process's start and end, and the part that publishes.
    syncs: BTreeMap<Change, (Duration, Duration)>,
    /// Until a center has started, rebuilt its index and refreshed.
    start: Duration,
    /// A walk by itself.
    walk: Duration,
}

/// The parts are dropped in this order: no mount is in the site's folder when
/// that is removed.
struct Run {
    center: Disk,
    backup: Disk,
    tree: Disk,
    site: Site,
    layout: Layout,
    random: ChaCha8Rng,
    times: Times,
    told: Told,
    /// The storage as of the last equal sync, and as it is.
    before: BTreeMap<Vec<u8>, Seen>,
    now: BTreeMap<Vec<u8>, Seen>,
    /// By what was cut, and in which state the backup or center was then.
    cuts: BTreeMap<(Work, &'static str), u64>,
    flushes: BTreeMap<Flush, u64>,
    again_at_work: u64,
    rebuilt: u64,
    syncs_resumed: u64,
    leaves_recovered: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut site = Site::generated(2, 120, 1_500);
        site.port = lasting_port();
        let folder = site.path("disks");
        fs::create_dir(&folder).unwrap();
        let now = look(&site.volumes());
        Run {
            center: Disk::new(&folder, "center"),
            backup: Disk::new(&folder, "backup"),
            tree: Disk::new(&folder, "tree"),
            site,
            layout: Layout::Apart,
            random: ChaCha8Rng::seed_from_u64(seed),
            times: Times::default(),
            told: Told::default(),
            before: BTreeMap::new(),
            now,
            cuts: BTreeMap::new(),
            flushes: BTreeMap::new(),
            again_at_work: 0,
            rebuilt: 0,
            syncs_resumed: 0,
            leaves_recovered: 0,
        }
    }

    fn store(&self) -> PathBuf {
        self.backup.mount.join("store")
    }

    fn shown(&self) -> PathBuf {
        match self.layout {
            Layout::Together => self.backup.mount.join("tree"),
            Layout::Apart => self.tree.mount.join("tree"),
        }
    }

    /// The stores and the tree lie on the disks.
    fn configure(&self) {
        self.site.configure(true);
        let set = |home: &str, old: &str, new: String| {
            let file = self.site.path(&format!("{home}/hikae.toml"));
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(old), "{text}");
            fs::write(&file, text.replace(old, &new)).unwrap();
        };
        let role = "role = \"center\"\n";
        let store = self.center.mount.join("store");
        set("center", role, format!("{role}store = {store:?}\n"));
        let tree = format!("tree = {:?}\n", self.site.tree());
        let own = format!("store = {:?}\ntree = {:?}\n", self.store(), self.shown());
        set("backup", &tree, own);
    }

    fn one_of(&mut self, chances: u64) -> bool {
        self.random.random_range(0..chances) == 0
    }

    fn draw<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.random.random_range(0..items.len())]
    }

    fn moment(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_micros().max(1) as u64;
        from + Duration::from_micros(self.random.random_range(0..span))
    }

    fn serve(&self) -> Process {
        let mut center = self.site.spawn_logged("center", &["serve"]);
        center.wait_for_port(self.site.port);
        center
    }

    /// A backup that follows, and has the home: who syncs asks it.
    fn follow(&self) -> Process {
        let socket = self.site.path("backup/control.sock");
        let _ = fs::remove_file(&socket);
        let mut follow = self.site.spawn_logged("backup", &["sync", "--follow"]);
        while !socket.exists() {
            assert!(follow.is_running(), "{}", self.site.log("backup"));
            std::thread::sleep(Duration::from_millis(5));
        }
        follow
    }

    /// Changes the storage, or takes the backup's copy away.
    fn change(&mut self, change: Change) {
        match change {
            Change::Nothing => return,
            Change::Day(changes) => drop(self.site.day(changes)),
            Change::Times => self.change_times(),
            Change::Anew => return self.begin_anew(),
        }
        self.told.is_equal = false;
        self.now = look(&self.site.volumes());
    }

    /// No row of the INDEX DB says so; a walk sees it.
    fn change_times(&mut self) {
        let paths: Vec<Vec<u8>> = self.now.keys().cloned().collect();
        for _ in 0..TIMES {
            let at = self.random.random_range(0..paths.len());
            let seconds = self.random.random_range(0..1_700_000_000);
            let path = self.site.volumes().join(OsStr::from_bytes(&paths[at]));
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
                .unwrap();
        }
        self.site.center(&["scan", "--walk"]).ok();
    }

    /// The backup loses its store and its tree, and gets another layout.
    fn begin_anew(&mut self) {
        for folder in [self.store(), self.shown()] {
            if folder.exists() {
                fs::remove_dir_all(folder).unwrap();
            }
        }
        self.backup.sync();
        self.tree.sync();
        self.layout = match self.layout {
            Layout::Together => Layout::Apart,
            Layout::Apart => Layout::Together,
        };
        self.configure();
        self.told = Told {
            signed: self.told.signed,
            ..Told::default()
        };
    }

    /// Cuts the power of both or one of them at once; gives for each process
    /// whether it still ran. What ran is killed, and the disks are there
    /// again.
    fn cut<const N: usize>(
        &mut self,
        sides: &[Side],
        mut processes: [&mut Process; N],
    ) -> [bool; N] {
        for process in &processes {
            let _ = kill_process(Pid::from_child(&process.0), Signal::STOP);
        }
        let flushes = [(); 3].map(|()| self.draw(&FLUSHES));
        let mut disks = Vec::new();
        if sides.contains(&Side::Center) {
            disks.push(&mut self.center);
        }
        if sides.contains(&Side::Backup) {
            disks.push(&mut self.backup);
            if self.layout == Layout::Apart {
                disks.push(&mut self.tree);
            }
        }
        let cuts = disks.iter().map(|disk| &**disk).zip(flushes);
        let cuts: Vec<(&Disk, Flush)> = cuts.collect();
        shut_down(&cuts);
        for (_, flush) in cuts {
            *self.flushes.entry(flush).or_default() += 1;
        }
        let running = processes.each_mut().map(|process| process.is_running());
        for process in processes {
            process.kill();
        }
        for disk in disks {
            disk.umount();
            disk.mount();
        }
        running
    }

    /// What the center that serves was told by the backup, and signed.
    fn hear(&mut self) {
        let status = self.site.status("center");
        let peer = &status["peers"][0];
        self.told.durable = self.told.durable.max(cursor(&peer["durable"]));
        self.told.published = self.told.published.max(cursor(&peer["published"]));
        self.told.signed = self.told.signed.max(cursor(&status["snapshot"]));
    }

    /// A sync returned 0; the center serves, and nothing changes.
    fn returned(&mut self) {
        self.hear();
        self.told.durable = self.told.signed;
        self.told.published = self.told.signed;
        self.told.is_equal = true;
    }

    /// From when to when to cut, after the begin.
    fn window(&self, work: Work, change: Change) -> (Duration, Duration) {
        let (whole, publish) = self.times.syncs[&change];
        let pulled = whole.saturating_sub(publish);
        match work {
            Work::BackupPulling => (Duration::ZERO, pulled),
            Work::BackupPublishing => (pulled, whole),
            Work::CenterStarting => (Duration::ZERO, self.times.start),
            Work::CenterWalking => (Duration::ZERO, self.times.walk),
            _ => (Duration::ZERO, whole),
        }
    }

    /// Works, and is cut; says whether it was at work then.
    fn work(&mut self, work: Work, change: Change) -> bool {
        let (from, to) = self.window(work, change);
        let moment = self.moment(from, to);
        match work {
            Work::Backup | Work::BackupPulling | Work::BackupPublishing => self.cut_sync(moment),
            Work::BackupAfter | Work::BackupFollowing => self.cut_after_sync(work),
            Work::Center | Work::Both => self.cut_answer(work, moment),
            Work::CenterStarting => self.cut_center(&["serve"], moment),
            Work::CenterWalking => self.cut_center(&["scan", "--walk"], moment),
            Work::CenterAfter | Work::CenterServing => self.cut_after_scan(work),
        }
    }

    fn cut_sync(&mut self, moment: Duration) -> bool {
        let center = self.serve();
        let mut sync = self.site.spawn_logged("backup", &["sync"]);
        std::thread::sleep(moment);
        let [running] = self.cut(&[Side::Backup], [&mut sync]);
        match running {
            true => self.hear(),
            false => {
                let status = sync.0.wait().unwrap();
                assert!(status.success(), "{}", self.site.log("backup"));
                self.returned();
            }
        }
        center.end();
        running
    }

    fn cut_after_sync(&mut self, work: Work) -> bool {
        let center = self.serve();
        let mut follow = (work == Work::BackupFollowing).then(|| self.follow());
        self.site.backup(&["sync"]).ok();
        match &mut follow {
            None => {
                self.cut(&[Side::Backup], []);
            }
            Some(follow) => {
                let running = self.cut(&[Side::Backup], [follow]);
                assert_eq!(running, [true], "{}", self.site.log("backup"));
            }
        }
        self.returned();
        center.end();
        true
    }

    fn cut_answer(&mut self, work: Work, moment: Duration) -> bool {
        let mut center = self.serve();
        let mut sync = self.site.spawn_logged("backup", &["sync"]);
        std::thread::sleep(moment);
        let [running, _] = self.cut(work.sides(), [&mut sync, &mut center]);
        if !running {
            let status = sync.0.wait().unwrap();
            assert!(status.success(), "{}", self.site.log("backup"));
        }
        running
    }

    fn cut_center(&mut self, arguments: &[&str], moment: Duration) -> bool {
        let mut center = self.site.spawn_logged("center", arguments);
        std::thread::sleep(moment);
        let [running] = self.cut(&[Side::Center], [&mut center]);
        running
    }

    fn cut_after_scan(&mut self, work: Work) -> bool {
        let mut center = (work == Work::CenterServing).then(|| self.serve());
        let scan = self.site.center(&["scan"]).ok();
        match &mut center {
            None => {
                self.cut(&[Side::Center], []);
            }
            Some(center) => {
                self.cut(&[Side::Center], [center]);
            }
        }
        let sequence = scan["sequence"].as_u64().unwrap();
        self.told.signed = self.told.signed.max((self.told.signed.0, sequence));
        true
    }

    /// What was cut starts again, and is cut while it recovers.
    fn again(&mut self, side: Side, change: Change) {
        let longest = match side {
            Side::Backup => self.times.syncs[&change].0,
            Side::Center => self.times.start,
        };
        let moment = self.moment(Duration::ZERO, longest);
        let at_work = match side {
            Side::Backup => self.cut_sync(moment),
            Side::Center => self.cut_center(&["serve"], moment),
        };
        self.again_at_work += u64::from(at_work);
    }

    /// A store that was cut opens without damage.
    #[track_caller]
    fn opened(&mut self, home: &str) -> Value {
        let status = self.site.status(home);
        let rebuilt = &status["rebuilt"];
        if !rebuilt.is_null() {
            self.rebuilt += 1;
            assert_eq!(rebuilt["root_matches"], true, "{home}: {rebuilt}");
            let damages = rebuilt["damages"].as_array().unwrap();
            assert!(damages.is_empty(), "{home}: {rebuilt}");
        }
        assert_eq!(status["errors"], serde_json::json!([]), "{home}: {status}");
        status
    }

    /// What was told is there; says what the cut hit.
    fn check(&mut self, sides: &[Side]) -> &'static str {
        self.assert_whole_files();
        let told = self.told;
        let backup = self.opened("backup");
        let (durable, published) = (cursor(&backup["snapshot"]), cursor(&backup["published"]));
        assert!(durable >= told.durable, "{durable:?}, {told:?}: {backup}");
        assert!(
            published >= told.published,
            "{published:?}, {told:?}: {backup}"
        );
        if told.is_equal {
            // Before anybody could mend it.
            assert_eq!((durable, published), (told.durable, told.published));
            assert_eq!(backup["is_published"], true, "{backup}");
            self.assert_equal();
        }
        if sides.contains(&Side::Center) {
            let center = self.opened("center");
            let signed = cursor(&center["snapshot"]);
            assert!(
                signed >= told.signed && signed >= durable,
                "{signed:?}, {told:?}, backup {durable:?}: {center}"
            );
        }
        match (backup["is_published"].as_bool(), sides) {
            (_, [Side::Center]) => "the center's",
            _ if durable == (0, 0) => "before the first commit",
            (_, _) if told.is_equal => "everything was published",
            (Some(true), _) => "before the commit, or after the publication",
            (Some(false), _) => "between the commit and its publication's end",
            (None, _) => "between the first commit and the publication's begin",
        }
    }

    /// [R2] every file that is seen has the whole content that the storage
    /// has or had at its place; names for work are in the hidden folder.
    fn assert_whole_files(&self) {
        if !self.shown().exists() {
            return;
        }
        for (path, seen) in look(&self.shown()) {
            let has = |storage: &BTreeMap<Vec<u8>, Seen>| {
                let file = storage.get(&path);
                file.is_some_and(|file| file.content == seen.content)
            };
            let name = String::from_utf8_lossy(&path);
            assert!(
                has(&self.before) || has(&self.now),
                "{name} is neither the old nor the new file ({} bytes)",
                seen.content.len()
            );
        }
    }

    /// The tree equals the storage, by an outer look and by hikae's own.
    fn assert_equal(&self) {
        assert_same(&self.site.volumes(), &self.shown());
        let hidden = self.shown().join(".hikae");
        assert!(!hidden.exists(), "{hidden:?} is still there");
        self.site.backup(&["verify"]).ok();
    }

    /// Both start again and sync once: all is equal. Gives what the sync took.
    fn recover(&mut self) -> (Duration, Duration) {
        let begun = Instant::now();
        let center = self.serve();
        let scan = self.site.center(&["scan"]).ok();
        self.times.start = begun.elapsed();
        let begun = Instant::now();
        let sync = self.site.backup(&["sync"]).ok();
        let whole = begun.elapsed();
        assert_eq!(sync["roots_equal"], true, "{sync}");
        assert_eq!(sync["root"], scan["root"], "{sync}");
        self.returned();
        let status = self.site.status("backup");
        assert_eq!(status["is_published"], true, "{status}");
        assert_eq!(cursor(&status["snapshot"]), self.told.signed, "{status}");
        center.end();
        self.assert_equal();
        self.before = self.now.clone();
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        self.syncs_resumed += u64::from(count(&sync["pull"]["leaves_resumed"]) > 0);
        self.leaves_recovered += count(&sync["publish"]["leaves_recovered"]);
        let publish = sync["publish"]["seconds"].as_f64().unwrap_or(0.0);
        (whole, Duration::from_secs_f64(publish).min(whole))
    }

    /// The center's first walk is cut; then everything is done once, and
    /// timed.
    fn first_steps(&mut self) {
        self.configure();
        let moment = self.moment(Duration::ZERO, Duration::from_millis(300));
        let at_work = self.cut_center(&["scan"], moment);
        self.count(Work::CenterWalking, at_work, "the center's");
        let took = self.recover();
        self.times.syncs.insert(Change::Anew, took);
        for change in CHANGES {
            self.change(change);
            let took = self.recover();
            self.times.syncs.insert(change, took);
        }
        let begun = Instant::now();
        self.site.center(&["scan", "--walk"]).ok();
        self.times.walk = begun.elapsed();
    }

    fn count(&mut self, work: Work, at_work: bool, hit: &'static str) {
        let hit = match at_work {
            true => hit,
            false => "too late, it had returned",
        };
        *self.cuts.entry((work, hit)).or_default() += 1;
    }

    fn cycle(&mut self, at: u64) {
        let change = match at.is_multiple_of(ANEW_EVERY) {
            true => Change::Anew,
            false => self.draw(&CHANGES),
        };
        let work = self.draw(&WORKS);
        eprint!("cycle {at}: {:?}, {change:?}, {work:?}", self.layout);
        self.change(change);
        let at_work = self.work(work, change);
        let mut agains = 0;
        while agains < AGAIN_MAX && self.one_of(3) {
            let side = self.draw(work.sides());
            self.again(side, change);
            agains += 1;
        }
        let hit = self.check(work.sides());
        eprint!(", at work: {at_work}, again: {agains}, {hit}");
        self.count(work, at_work, hit);
        self.recover();
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    if is_impossible("what_was_acknowledged_survives_a_power_cut") {
        return;
    }
    let cycles = number("HIKAE_CUT_CYCLES", 12);
    let seed = number("HIKAE_CUT_SEED", 20_110_311);
    println!("{cycles} cycles of power cuts, HIKAE_CUT_SEED={seed}");
    let begun = Instant::now();
    let mut run = Run::new(seed);
    run.first_steps();
    eprintln!("first steps: {:.1?}", begun.elapsed());
    for cycle in 1..=cycles {
        let before = Instant::now();
        run.cycle(cycle);
        eprintln!(", {:.1?}", before.elapsed());
    }
    report(&run, cycles, begun.elapsed());
}

fn report(run: &Run, cycles: u64, took: Duration) {
    println!(
        "{cycles} cycles in {took:.0?}; power cuts of file systems: {:?}",
        run.flushes
    );
    for ((work, hit), count) in &run.cuts {
        println!("  {work:?}, {hit}: {count}");
    }
    println!(
        "  once more while it recovered: {}\n\
         {} indices were rebuilt; {} syncs went on with what a cut one had stored; \
         {} leaves of the tree were recovered",
        run.again_at_work, run.rebuilt, run.syncs_resumed, run.leaves_recovered,
    );
}
