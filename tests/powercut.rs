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
//! files. The images are in memory, where there is room: what a disk forgets
//! is decided above it.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "powercut/disk.rs"]
mod disk;
mod harness;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use disk::{Disk, FLUSHES, Flush, Power};
use harness::{
    Act, Chance, Change, Cursor, Pair, Part, Process, Side, Site, SyncTime, Work, cursor,
    has_program, is_root, lasting_port, memory_folder, number, skipped,
};
use rustix::process::{Pid, Signal, kill_process};

/// The backup begins with nothing this often, and with another layout.
const ANEW_EVERY: u64 = 5;
/// What was cut is cut again while it recovers, this often at most.
const AGAIN_MAX: u64 = 2;
/// The backup verifies itself this often; the tree is compared every time.
const VERIFY_EVERY: u64 = 5;
/// So often there is a new center: its storage grows by the day.
const NEW_SITE_EVERY: u64 = 30;

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
    let folder = memory_folder();
    let mut disk = Disk::new(folder.path(), "disk");
    let mount = disk.mount.clone();
    let mut power = Power::new();
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
        power.cut(&[(&disk, flush)]);
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

/// Waits until no thread of a process runs any more: one that is in a system
/// call stops only at its end, and would be told of the cut.
fn await_stopped(process: &Process) {
    let tasks = format!("/proc/{}/task", process.0.id());
    let is_at_rest = || {
        let threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok())
            .all(|stat| {
                let state = stat.rsplit(") ").next().unwrap_or_default();
                ["T", "Z", "X"].iter().any(|rest| state.starts_with(rest))
            })
    };
    let until = Instant::now() + Duration::from_secs(30);
    while !is_at_rest() {
        assert!(Instant::now() < until, "a process does not stop");
        std::thread::sleep(Duration::from_micros(200));
    }
}

const CHANGES: [Change; 6] = [
    Change::Nothing,
    Change::Day(5),
    Change::Day(40),
    Change::Day(150),
    Change::Day(400),
    Change::Times,
];

/// Where the backup's tree lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// On the disk of its store: one journal.
    Together,
    /// On another one: nothing orders the two.
    Apart,
}

const CENTER: &[Side] = &[Side::Center];
const BACKUP: &[Side] = &[Side::Backup];
const BOTH: &[Side] = &[Side::Center, Side::Backup];

const fn work(chances: u64, name: &'static str, sides: &'static [Side], act: Act) -> Work {
    Work {
        chances,
        name,
        sides,
        act,
    }
}

/// Who is cut, and while doing what. When a center is cut in a sync, the
/// backup is killed.
const WORKS: [Work; 15] = [
    work(4, "Backup", BACKUP, Act::Sync(Part::Whole)),
    work(4, "BackupPulling", BACKUP, Act::Sync(Part::Pulling)),
    work(6, "BackupPublishing", BACKUP, Act::Sync(Part::Publishing)),
    work(2, "BackupAfter", BACKUP, Act::After),
    work(4, "BackupFollowing", BACKUP, Act::Following),
    work(2, "Center", CENTER, Act::Sync(Part::Whole)),
    work(2, "Both", BOTH, Act::Sync(Part::Whole)),
    work(2, "CenterStarting", CENTER, Act::Alone(&["serve"])),
    work(2, "CenterWalking", CENTER, Act::Alone(&["scan", "--walk"])),
    work(2, "CenterAfter", CENTER, Act::After),
    work(2, "CenterServing", CENTER, Act::Following),
    work(1, "CenterRebuilding", CENTER, Act::Rebuild(&["status"])),
    work(1, "BackupRebuilding", BACKUP, Act::Rebuild(&["status"])),
    work(2, "CenterPruning", CENTER, Act::Alone(&["prune"])),
    work(2, "BackupPruning", BACKUP, Act::Alone(&["prune"])),
];

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

impl Told {
    /// What the center that serves was told by the backup, and signed.
    fn hear(&mut self, pair: &Pair) {
        let status = pair.site.status("center");
        let peer = &status["peers"][0];
        self.durable = self.durable.max(cursor(&peer["durable"]));
        self.published = self.published.max(cursor(&peer["published"]));
        self.signed = self.signed.max(cursor(&status["snapshot"]));
    }

    /// A sync returned 0; the center serves, and nothing changes.
    fn returned(&mut self, pair: &Pair) {
        self.hear(pair);
        self.durable = self.signed;
        self.published = self.signed;
        self.is_equal = true;
    }
}

/// What is counted, over all sites.
#[derive(Default)]
struct Counts {
    /// By what was cut, and in which state the backup or center was then.
    cuts: BTreeMap<(&'static str, &'static str), u64>,
    flushes: BTreeMap<Flush, u64>,
    again_at_work: u64,
    rebuilt: u64,
    syncs_resumed: u64,
    leaves_recovered: u64,
}

/// The parts are dropped in this order: no mount is in the site's folder when
/// that is removed.
struct Run {
    center: Disk,
    backup: Disk,
    tree: Disk,
    pair: Pair,
    power: Power,
    layout: Layout,
    told: Told,
    works: Vec<Work>,
    counts: Counts,
}

impl Run {
    fn new(chance: Chance, works: Vec<Work>, counts: Counts) -> Run {
        let mut site = Site::generated_in_memory(2, 60, 600);
        site.port = lasting_port();
        let folder = site.path("disks");
        fs::create_dir(&folder).unwrap();
        let mut run = Run {
            center: Disk::new(&folder, "center"),
            backup: Disk::new(&folder, "backup"),
            tree: Disk::new(&folder, "tree"),
            pair: Pair::new(site, chance),
            power: Power::new(),
            layout: Layout::Apart,
            told: Told::default(),
            works,
            counts,
        };
        run.configure();
        run
    }

    fn shown(&self) -> PathBuf {
        match self.layout {
            Layout::Together => self.backup.mount.join("tree"),
            Layout::Apart => self.tree.mount.join("tree"),
        }
    }

    /// The stores and the tree lie on the disks.
    fn configure(&mut self) {
        self.pair.center_store = self.center.mount.join("store");
        self.pair.store = self.backup.mount.join("store");
        self.pair.tree = self.shown();
        let Pair { site, .. } = &self.pair;
        site.configure(true);
        let set = |home: &str, old: &str, new: String| {
            let file = site.path(&format!("{home}/hikae.toml"));
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(old), "{text}");
            fs::write(&file, text.replace(old, &new)).unwrap();
        };
        let role = "role = \"center\"\n";
        let store = &self.pair.center_store;
        set("center", role, format!("{role}store = {store:?}\n"));
        let tree = format!("tree = {:?}\n", site.tree());
        let (store, shown) = (&self.pair.store, &self.pair.tree);
        let own = format!("store = {store:?}\ntree = {shown:?}\n");
        set("backup", &tree, own);
    }

    /// A backup that follows, and has the home: who syncs asks it.
    fn follow(&self) -> Process {
        let socket = self.pair.site.path("backup/control.sock");
        let _ = fs::remove_file(&socket);
        let mut follow = self.pair.site.spawn_logged("backup", &["sync", "--follow"]);
        while !socket.exists() {
            assert!(follow.is_running(), "{}", self.pair.site.log("backup"));
            std::thread::sleep(Duration::from_millis(2));
        }
        follow
    }

    /// Changes the storage, or takes the backup's copy away and gives it
    /// another layout.
    fn change(&mut self, change: Change) {
        self.pair.change(change);
        match change {
            Change::Nothing => {}
            Change::Day(_) | Change::Times => self.told.is_equal = false,
            Change::Anew => {
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
        }
    }

    /// Stops these processes, cuts the power of these sides, kills the
    /// processes, and mounts again. Says which processes were running.
    fn cut<const N: usize>(&mut self, sides: &[Side], processes: [&mut Process; N]) -> [bool; N] {
        let begun = Instant::now();
        for process in &processes {
            let pid = Pid::from_raw(process.0.id() as i32).unwrap();
            let _ = kill_process(pid, Signal::STOP);
        }
        processes.iter().for_each(|process| await_stopped(process));
        let flushes: [Flush; 3] = std::array::from_fn(|_| self.pair.chance.draw(&FLUSHES));
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
        self.power.cut(&cuts);
        for (_, flush) in cuts {
            *self.counts.flushes.entry(flush).or_default() += 1;
        }
        let processes = processes.map(|process| {
            let running = process.is_running();
            process.kill();
            running
        });
        for disk in disks {
            disk.umount();
            disk.mount();
        }
        if sides.contains(&Side::Backup) {
            self.pair.forget_tree();
        }
        self.pair.clock.add("cuts", begun);
        processes
    }

    /// Works, and is cut; says whether it was at work then.
    fn work(&mut self, work: &Work, change: Change) -> bool {
        let moment = self.pair.moment(work, change);
        match (work.act, work.sides) {
            (Act::Sync(_), BACKUP) => self.cut_sync(moment),
            (Act::Sync(_) | Act::SyncNoticed, _) => self.cut_answer(work, moment),
            (Act::Alone(_) | Act::Rebuild(_), sides) => {
                let process = self.pair.start_alone(work);
                self.cut_alone(sides, process, moment)
            }
            (Act::After | Act::Following, BACKUP) => self.cut_after_sync(work),
            (Act::After | Act::Following, _) => self.cut_after_scan(work),
        }
    }

    fn cut_sync(&mut self, moment: Duration) -> bool {
        let center = self.pair.serve();
        let mut sync = self.pair.site.spawn_logged("backup", &["sync"]);
        std::thread::sleep(moment);
        let [running] = self.cut(BACKUP, [&mut sync]);
        match running {
            true => self.told.hear(&self.pair),
            false => {
                let status = sync.0.wait().unwrap();
                assert!(status.success(), "{}", self.pair.site.log("backup"));
                self.told.returned(&self.pair);
            }
        }
        center.end();
        running
    }

    fn cut_after_sync(&mut self, work: &Work) -> bool {
        let center = self.pair.serve();
        let mut follow = (work.act == Act::Following).then(|| self.follow());
        self.pair.site.backup(&["sync"]).ok();
        match &mut follow {
            None => {
                self.cut(BACKUP, []);
            }
            Some(follow) => {
                let running = self.cut(BACKUP, [follow]);
                assert_eq!(running, [true], "{}", self.pair.site.log("backup"));
            }
        }
        self.told.returned(&self.pair);
        center.end();
        true
    }

    fn cut_answer(&mut self, work: &Work, moment: Duration) -> bool {
        let mut center = self.pair.serve();
        let mut sync = self.pair.site.spawn_logged("backup", &["sync"]);
        std::thread::sleep(moment);
        let [running, _] = self.cut(work.sides, [&mut sync, &mut center]);
        if !running {
            let status = sync.0.wait().unwrap();
            assert!(status.success(), "{}", self.pair.site.log("backup"));
        }
        running
    }

    fn cut_alone(&mut self, sides: &[Side], mut process: Process, moment: Duration) -> bool {
        std::thread::sleep(moment);
        let [running] = self.cut(sides, [&mut process]);
        running
    }

    fn cut_after_scan(&mut self, work: &Work) -> bool {
        let mut center = (work.act == Act::Following).then(|| self.pair.serve());
        let scan = self.pair.site.center(&["scan"]).ok();
        match &mut center {
            None => {
                self.cut(CENTER, []);
            }
            Some(center) => {
                self.cut(CENTER, [center]);
            }
        }
        let sequence = scan["sequence"].as_u64().unwrap();
        self.told.signed = self.told.signed.max((self.told.signed.0, sequence));
        true
    }

    /// What was cut starts again, and is cut while it recovers.
    fn again(&mut self, side: Side, change: Change) {
        let moment = self.pair.moment_again(side, change);
        let at_work = match side {
            Side::Backup => self.cut_sync(moment),
            Side::Center => {
                let center = self.pair.site.spawn_logged("center", &["serve"]);
                self.cut_alone(CENTER, center, moment)
            }
        };
        self.counts.again_at_work += u64::from(at_work);
    }

    /// What was told is there; says what the cut hit.
    fn check(&mut self, sides: &[Side]) -> &'static str {
        self.pair.assert_whole_files();
        let told = self.told;
        let backup = self.pair.opened("backup");
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
            self.pair.assert_equal();
            self.pair.site.backup(&["verify"]).ok();
        }
        if sides.contains(&Side::Center) {
            let center = self.pair.opened("center");
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

    /// Both start again and sync once: all is equal. Gives what the sync took.
    fn recover(&mut self) -> SyncTime {
        let mut told = self.told;
        let (took, status) = self.pair.recover(|pair| told.returned(pair));
        self.told = told;
        assert_eq!(cursor(&status["snapshot"]), told.signed, "{status}");
        took
    }

    /// The center's first walk is cut; then everything is done once, and
    /// timed.
    fn first_steps(&mut self) {
        let moment = self
            .pair
            .chance
            .moment(Duration::ZERO, Duration::from_millis(300));
        let scan = self.pair.site.spawn_logged("center", &["scan"]);
        let at_work = self.cut_alone(CENTER, scan, moment);
        self.count("CenterWalking", at_work, "the center's");
        let took = self.recover();
        self.pair.time_sync(Change::Anew, took);
        for change in CHANGES {
            self.change(change);
            let took = self.recover();
            self.pair.time_sync(change, took);
        }
        let works = self.works.clone();
        self.pair.time_works(&works);
    }

    fn count(&mut self, work: &'static str, at_work: bool, hit: &'static str) {
        let hit = match at_work {
            true => hit,
            false => "too late, it had returned",
        };
        *self.counts.cuts.entry((work, hit)).or_default() += 1;
    }

    fn cycle(&mut self, at: u64) {
        let change = match at.is_multiple_of(ANEW_EVERY) {
            true => Change::Anew,
            false => self.pair.chance.draw(&CHANGES),
        };
        let work = self.pair.chance.work(&self.works);
        eprint!("cycle {at}: {:?}, {change:?}, {}", self.layout, work.name);
        self.change(change);
        let begun = Instant::now();
        let at_work = self.work(&work, change);
        let mut agains = 0;
        while agains < AGAIN_MAX && self.pair.chance.one_of(3) {
            let side = self.pair.chance.draw(work.sides);
            self.again(side, change);
            agains += 1;
        }
        self.pair.clock.add("work, with cuts", begun);
        let begun = Instant::now();
        let hit = self.check(work.sides);
        self.pair.clock.add("check", begun);
        eprint!(", at work: {at_work}, again: {agains}, {hit}");
        self.count(work.name, at_work, hit);
        if !at_work {
            self.pair.too_late(&work, change);
        }
        let took = self.recover();
        if agains == 0 && work.alone().is_some() {
            // Nobody had begun this sync before.
            self.pair.time_sync(change, took);
        }
        if at.is_multiple_of(VERIFY_EVERY) {
            let begun = Instant::now();
            self.pair.site.backup(&["verify"]).ok();
            self.pair.clock.add("verify", begun);
        }
    }

    /// The site goes, its counts stay.
    fn end(mut self) -> Counts {
        self.pair.site.backup(&["verify"]).ok();
        self.counts.rebuilt += self.pair.rebuilt;
        self.counts.syncs_resumed += self.pair.syncs_resumed;
        self.counts.leaves_recovered += self.pair.leaves_recovered;
        self.counts
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
    let works = Work::known(&WORKS);
    let begun = Instant::now();
    let mut counts = Counts::default();
    for first in (1..=cycles).step_by(NEW_SITE_EVERY as usize) {
        let before = Instant::now();
        let mut run = Run::new(Chance::new(seed + first - 1), works.clone(), counts);
        run.first_steps();
        eprintln!("first steps: {:.1?}", before.elapsed());
        let steps = Instant::now();
        let last = cycles.min(first + NEW_SITE_EVERY - 1);
        for cycle in first..=last {
            let before = Instant::now();
            run.cycle(cycle);
            eprintln!(", {:.1?}", before.elapsed());
        }
        run.pair.clock.report(last + 1 - first, steps.elapsed());
        counts = run.end();
    }
    report(&counts, cycles, begun.elapsed());
}

fn report(counts: &Counts, cycles: u64, took: Duration) {
    println!(
        "{cycles} cycles in {took:.0?}, {:.2} per second; power cuts of file systems: {:?}",
        cycles as f64 / took.as_secs_f64(),
        counts.flushes
    );
    for ((work, hit), count) in &counts.cuts {
        println!("  {work}, {hit}: {count}");
    }
    println!(
        "  once more while it recovered: {}\n\
         {} indices were rebuilt; {} syncs went on with what a cut one had stored; \
         {} leaves of the tree were recovered",
        counts.again_at_work, counts.rebuilt, counts.syncs_resumed, counts.leaves_recovered,
    );
}
