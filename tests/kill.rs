//! kill -9 of either side at random moments: started again, it ends in equal
//! roots and equal trees every time.
//!
//! `HIKAE_KILL_CYCLES` (default 20) says how many kills must have hit a
//! process at work, `HIKAE_KILL_SEED` which; the counts are printed.
//! `HIKAE_KEEP` leaves the folder of a failed run.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use harness::{Process, Site, lasting_port};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Folders are compared as a whole this often.
const COMPARE_EVERY: u64 = 5;
/// The backup begins with nothing this often, so that first copies are hit.
const ANEW_EVERY: u64 = 12;
/// A link is dead after 10 s without a sign; then a sync must end.
const DEAD_LINK: Duration = Duration::from_secs(20);

/// Who is killed, and while doing what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// The backup while it connects, pulls and publishes.
    Backup,
    /// The backup while it connects and pulls.
    BackupPulling,
    /// The backup while it publishes.
    BackupPublishing,
    /// The center while it answers a sync; the backup soon after.
    Center,
    /// The center while it answers a sync; the backup lives on and notices.
    CenterAlone,
    /// Both at once.
    Both,
    /// The center while it starts and refreshes.
    CenterStarting,
    /// The center while it walks.
    CenterWalking,
}

/// One of these is drawn.
const VICTIMS: [Victim; 16] = [
    Victim::Backup,
    Victim::Backup,
    Victim::BackupPulling,
    Victim::BackupPulling,
    Victim::BackupPublishing,
    Victim::BackupPublishing,
    Victim::Center,
    Victim::Center,
    Victim::Center,
    Victim::Center,
    Victim::CenterAlone,
    Victim::Both,
    Victim::Both,
    Victim::CenterStarting,
    Victim::CenterStarting,
    Victim::CenterWalking,
];

impl Victim {
    fn is_backup(self) -> bool {
        matches!(
            self,
            Victim::Backup | Victim::BackupPulling | Victim::BackupPublishing
        )
    }

    fn is_in_sync(self) -> bool {
        !matches!(self, Victim::CenterStarting | Victim::CenterWalking)
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Changes of a day; none: nothing changed since the last sync.
const DAYS: [u64; 5] = [0, 5, 40, 150, 300];
/// Stands for all records, of a backup that begins anew.
const ANEW: u64 = u64::MAX;

/// What a whole sync took, its process's start and end included, and the part
/// of it at the end that publishes.
#[derive(Debug, Default, Clone, Copy)]
struct SyncTime {
    whole: Duration,
    publish: Duration,
}

/// What whole works took when nobody was killed: a moment to kill at is drawn
/// from these times.
#[derive(Debug, Default)]
struct Times {
    /// By changes to be synced.
    syncs: BTreeMap<u64, SyncTime>,
    /// Until a center has started, rebuilt its index and refreshed.
    start: Duration,
    /// A walk by itself.
    walk: Duration,
}

impl Times {
    /// From when to when to kill, after the begin.
    fn window(&self, victim: Victim, changes: u64) -> (Duration, Duration) {
        let SyncTime { whole, publish } = self.syncs[&changes];
        let pulled = whole.saturating_sub(publish);
        match victim {
            Victim::BackupPulling => (Duration::ZERO, pulled),
            Victim::BackupPublishing => (pulled, whole),
            Victim::CenterStarting => (Duration::ZERO, self.start),
            Victim::CenterWalking => (Duration::ZERO, self.walk),
            _ => (Duration::ZERO, whole),
        }
    }
}

const AT_WORK: &str = "at work";

struct Run {
    site: Site,
    random: ChaCha8Rng,
    times: Times,
    /// By victim: kills while it was at work, and when it had ended already.
    kills: BTreeMap<(Victim, &'static str), u64>,
    /// Second kills, while what was killed started again.
    kills_again: u64,
    days: u64,
    syncs_resumed: u64,
    leaves_resumed: u64,
    leaves_recovered: u64,
    centers_rebuilt: u64,
    comparisons: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut site = Site::generated(2, 250, 3_000);
        site.port = lasting_port();
        site.configure(true);
        Run {
            site,
            random: ChaCha8Rng::seed_from_u64(seed),
            times: Times::default(),
            kills: BTreeMap::new(),
            kills_again: 0,
            days: 0,
            syncs_resumed: 0,
            leaves_resumed: 0,
            leaves_recovered: 0,
            centers_rebuilt: 0,
            comparisons: 0,
        }
    }

    fn one_of(&mut self, chances: u64) -> bool {
        self.random.random_range(0..chances) == 0
    }

    fn draw<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.random.random_range(0..items.len())]
    }

    fn moment(&mut self, (from, to): (Duration, Duration)) -> Duration {
        let span = (to - from).as_micros().max(1) as u64;
        from + Duration::from_micros(self.random.random_range(0..span))
    }

    fn serve(&self) -> Process {
        let mut center = self.site.spawn_logged("center", &["serve"]);
        center.wait_for_port(self.site.port);
        center
    }

    /// A day of changes, or none; says how many.
    fn day(&mut self, changes: u64) -> u64 {
        if changes > 0 {
            self.site.day(changes);
            self.days += 1;
        }
        changes
    }

    /// The backup loses its store and its tree.
    fn begin_anew(&self) -> u64 {
        for folder in ["backup/store", "tree"] {
            let path = self.site.path(folder);
            if path.exists() {
                fs::remove_dir_all(path).unwrap();
            }
        }
        ANEW
    }

    /// Kills that hit a process at work.
    fn hits(&self) -> u64 {
        let kills = self.kills.iter();
        let hits = kills.filter(|((_, moment), _)| *moment == AT_WORK);
        hits.map(|(_, count)| count).sum()
    }

    fn count(&mut self, victim: Victim, at_work: bool) {
        let moment = match at_work {
            true => AT_WORK,
            false => "too late",
        };
        *self.kills.entry((victim, moment)).or_default() += 1;
    }

    /// One kill, and sometimes another one while what was killed recovers.
    fn kill(&mut self, victim: Victim, changes: u64) {
        let window = self.times.window(victim, changes);
        let moment = self.moment(window);
        let at_work = match victim.is_in_sync() {
            true => self.kill_in_sync(victim, moment),
            false => {
                let work: &[&str] = match victim {
                    Victim::CenterWalking => &["scan", "--walk"],
                    _ => &["serve"],
                };
                let mut center = self.site.spawn_logged("center", work);
                kill_after(&mut center, moment)
            }
        };
        self.count(victim, at_work);
        if self.one_of(3) {
            self.kill_again(victim, changes);
        }
    }

    /// What was killed starts again, and is killed again.
    fn kill_again(&mut self, victim: Victim, changes: u64) {
        let (home, work, longest) = match victim.is_backup() {
            true => ("backup", "sync", self.times.syncs[&changes].whole),
            false => ("center", "serve", self.times.start),
        };
        let moment = self.moment((Duration::ZERO, longest));
        let center = victim.is_backup().then(|| self.serve());
        let mut again = self.site.spawn_logged(home, &[work]);
        self.kills_again += u64::from(kill_after(&mut again, moment));
        if let Some(center) = center {
            center.end();
        }
    }

    /// Whether the sync was at work when somebody was killed.
    fn kill_in_sync(&self, victim: Victim, moment: Duration) -> bool {
        let mut center = self.serve();
        let mut sync = self.site.spawn_logged("backup", &["sync"]);
        std::thread::sleep(moment);
        let at_work = sync.is_running();
        match victim {
            _ if victim.is_backup() => {
                sync.kill();
                center.end();
            }
            Victim::CenterAlone => {
                center.kill();
                let ended = ended_by_itself(&mut sync);
                assert!(ended, "the sync hangs:\n{}", self.site.log("backup"));
            }
            _ => {
                center.kill();
                sync.kill();
            }
        }
        at_work
    }

    /// Both start again and sync once: all is equal.
    fn recover(&mut self) -> SyncTime {
        let begun = Instant::now();
        let center = self.serve();
        // The first refresh runs; a status does not wait for it, a scan does.
        let scan = self.site.center(&["scan"]).ok();
        self.times.start = begun.elapsed();
        let begun = Instant::now();
        let sync = self.site.backup(&["sync"]).ok();
        let whole = begun.elapsed();
        assert_eq!(sync["roots_equal"], true, "{sync}");
        assert_eq!(sync["root"], scan["root"], "{sync}");
        let status = self.site.status("backup");
        assert_eq!(status["is_published"], true, "{status}");
        assert!(!self.site.tree().join(".hikae").exists());
        let resumed = count_of(&sync["pull"]["leaves_resumed"]);
        self.syncs_resumed += u64::from(resumed > 0);
        self.leaves_resumed += resumed;
        self.leaves_recovered += count_of(&sync["publish"]["leaves_recovered"]);
        let rebuilt = &self.site.status("center")["rebuilt"];
        self.centers_rebuilt += u64::from(!rebuilt.is_null());
        if !rebuilt.is_null() {
            assert_eq!(rebuilt["root_matches"], true, "{rebuilt}");
            assert_eq!(rebuilt["damages"].as_array().map(Vec::len), Some(0));
        }
        center.end();
        let publish = sync["publish"]["seconds"].as_f64().unwrap_or(0.0);
        let publish = Duration::from_secs_f64(publish).min(whole);
        SyncTime { whole, publish }
    }

    /// Everything, by the outer looks and by both nodes' own verification.
    fn compare(&mut self) {
        self.site.assert_equal();
        self.site.assert_rsync_idle();
        self.site.backup(&["verify"]).ok();
        let center = self.site.center(&["verify"]).ok();
        assert_eq!(center["leaves_changed"], 0, "{center}");
        self.comparisons += 1;
    }

    /// The center's first walk is killed; then everything is done once, and
    /// timed.
    fn first_steps(&mut self) {
        let mut scan = self.site.spawn_logged("center", &["scan"]);
        let at_work = kill_after(&mut scan, Duration::from_millis(30));
        self.count(Victim::CenterWalking, at_work);
        let first = self.recover();
        self.times.syncs.insert(ANEW, first);
        for changes in DAYS {
            self.day(changes);
            let took = self.recover();
            self.times.syncs.insert(changes, took);
        }
        let begun = Instant::now();
        self.site.center(&["scan", "--walk"]).ok();
        self.times.walk = begun.elapsed();
    }

    fn cycle(&mut self, at: u64) {
        let changes = match at.is_multiple_of(ANEW_EVERY) {
            true => self.begin_anew(),
            false => {
                let changes = self.draw(&DAYS);
                self.day(changes)
            }
        };
        let victim = self.draw(&VICTIMS);
        let (syncs, again) = (self.syncs_hit(), self.kills_again);
        self.kill(victim, changes);
        let took = self.recover();
        if self.syncs_hit() == syncs && self.kills_again == again && !victim.is_in_sync() {
            // Nobody had begun this sync before.
            self.times.syncs.insert(changes, took);
        }
        if at.is_multiple_of(COMPARE_EVERY) {
            self.compare();
        }
    }

    /// Kills during a sync.
    fn syncs_hit(&self) -> u64 {
        let kills = self.kills.iter();
        let hits = kills.filter(|((victim, moment), _)| victim.is_in_sync() && *moment == AT_WORK);
        hits.map(|(_, count)| count).sum()
    }
}

fn count_of(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Kills after a while; says whether the process was still at work.
fn kill_after(process: &mut Process, moment: Duration) -> bool {
    std::thread::sleep(moment);
    let at_work = process.is_running();
    process.kill();
    at_work
}

fn ended_by_itself(process: &mut Process) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < DEAD_LINK {
        if !process.is_running() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// [S11-4] [S11-6] a publication that was cut off is taken up again, whatever
/// was shown by then.
#[test]
fn killed_at_any_moment_it_ends_equal() {
    let kills = number("HIKAE_KILL_CYCLES", 20);
    let seed = number("HIKAE_KILL_SEED", 20_110_311);
    println!("{kills} kills, HIKAE_KILL_SEED={seed}");
    let mut run = Run::new(seed);
    let begun = Instant::now();
    run.first_steps();
    let mut cycles = 0;
    while run.hits() < kills {
        cycles += 1;
        assert!(
            cycles < 20 + 2 * kills,
            "too few kills came in time: {:?}",
            run.kills
        );
        let before = Instant::now();
        run.cycle(cycles);
        eprintln!(
            "cycle {cycles}: {} kills, {:.1?}",
            run.hits(),
            before.elapsed()
        );
    }
    run.compare();
    report(&run, cycles, begun.elapsed());
    assert!(run.syncs_hit() * 2 > run.hits(), "{:?}", run.kills);
}

fn report(run: &Run, cycles: u64, took: Duration) {
    println!(
        "{} kills of a process at work, {} of them during a sync, in {cycles} cycles, {took:.0?}:",
        run.hits(),
        run.syncs_hit(),
    );
    for ((victim, moment), count) in &run.kills {
        println!("  {victim:?}, {moment}: {count}");
    }
    println!("  once more while it started again: {}", run.kills_again);
    println!(
        "{} days of changes; {} syncs went on with {} leaves of a broken one; \
         {} leaves of the tree were recovered; the center rebuilt its index {} times; \
         {} whole comparisons",
        run.days,
        run.syncs_resumed,
        run.leaves_resumed,
        run.leaves_recovered,
        run.centers_rebuilt,
        run.comparisons,
    );
}
