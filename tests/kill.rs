//! kill -9 of either side at random moments: started again, it ends in equal
//! roots and equal trees every time.
//!
//! `HIKAE_KILL_CYCLES` (default 20) says how many kills must have hit a
//! process at work, `HIKAE_KILL_SEED` which; the counts are printed.
//! `HIKAE_KEEP` leaves the folder of a failed run. All of it is in memory,
//! where there is room: a kill forgets nothing, so no disk is needed.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::{Act, Chance, Change, Pair, Part, Process, Side, Site, Work, lasting_port, number};

/// `rsync` and both nodes' own verification look at everything this often;
/// the tree is compared every time.
const VERIFY_EVERY: u64 = 10;
/// The backup begins with nothing this often, so that first copies are hit.
const ANEW_EVERY: u64 = 12;
/// So often there is a new center: its storage grows by the day.
const NEW_SITE_EVERY: u64 = 30;
/// A link is dead after 3 s without a sign, and its site is patient for 8 s
/// more; then a sync must end.
const DEAD_LINK: Duration = Duration::from_secs(20);

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

/// Who is killed, and while doing what. When a center is killed in a sync, the
/// backup is too, soon after; but for the rare one that lives on and notices,
/// which takes until the link is dead.
const WORKS: [Work; 12] = [
    work(8, "Backup", BACKUP, Act::Sync(Part::Whole)),
    work(8, "BackupPulling", BACKUP, Act::Sync(Part::Pulling)),
    work(8, "BackupPublishing", BACKUP, Act::Sync(Part::Publishing)),
    work(16, "Center", CENTER, Act::Sync(Part::Whole)),
    work(1, "CenterAlone", CENTER, Act::SyncNoticed),
    work(8, "Both", BOTH, Act::Sync(Part::Whole)),
    work(8, "CenterStarting", CENTER, Act::Alone(&["serve"])),
    work(4, "CenterWalking", CENTER, Act::Alone(&["scan", "--walk"])),
    work(3, "CenterRebuilding", CENTER, Act::Rebuild(&["status"])),
    work(3, "BackupRebuilding", BACKUP, Act::Rebuild(&["status"])),
    work(4, "CenterPruning", CENTER, Act::Alone(&["prune"])),
    work(4, "BackupPruning", BACKUP, Act::Alone(&["prune"])),
];

const CHANGES: [Change; 5] = [
    Change::Nothing,
    Change::Day(5),
    Change::Day(40),
    Change::Day(150),
    Change::Day(300),
];

const AT_WORK: &str = "at work";

/// What is counted, over all sites.
#[derive(Default)]
struct Counts {
    /// By work: kills while it was at work, and when it had ended already.
    kills: BTreeMap<(&'static str, &'static str), u64>,
    /// Kills that hit a process at work, and those of them in a sync.
    hits: u64,
    hits_in_sync: u64,
    /// Second kills, while what was killed started again.
    again: u64,
    verified: u64,
    days: u64,
    rebuilt: u64,
    syncs_resumed: u64,
    leaves_resumed: u64,
    leaves_recovered: u64,
}

struct Run {
    pair: Pair,
    works: Vec<Work>,
    counts: Counts,
}

impl Run {
    fn new(chance: Chance, works: Vec<Work>, counts: Counts) -> Run {
        let mut site = Site::generated_in_memory(2, 60, 600);
        site.port = lasting_port();
        site.configure(true);
        Run {
            pair: Pair::new(site, chance),
            works,
            counts,
        }
    }

    fn count(&mut self, work: &Work, at_work: bool) {
        let moment = match at_work {
            true => AT_WORK,
            false => "too late",
        };
        *self.counts.kills.entry((work.name, moment)).or_default() += 1;
        self.counts.hits += u64::from(at_work);
        self.counts.hits_in_sync += u64::from(at_work && work.alone().is_none());
    }

    /// One kill, and sometimes another one while what was killed recovers.
    fn kill(&mut self, work: &Work, change: Change) {
        let moment = self.pair.moment(work, change);
        let at_work = match work.alone() {
            None => self.kill_in_sync(work, moment),
            Some(_) => kill_after(&mut self.pair.start_alone(work), moment),
        };
        self.count(work, at_work);
        if !at_work {
            self.pair.too_late(work, change);
        }
        if self.pair.chance.one_of(3) {
            self.kill_again(work, change);
        }
    }

    /// What was killed starts again, and is killed again.
    fn kill_again(&mut self, work: &Work, change: Change) {
        let (side, command) = match work.sides {
            BACKUP => (Side::Backup, "sync"),
            _ => (Side::Center, "serve"),
        };
        let moment = self.pair.moment_again(side, change);
        let center = (side == Side::Backup).then(|| self.pair.serve());
        let mut again = self.pair.site.spawn_logged(side.home(), &[command]);
        self.counts.again += u64::from(kill_after(&mut again, moment));
        if let Some(center) = center {
            center.end();
        }
    }

    /// Whether the sync was at work when somebody was killed.
    fn kill_in_sync(&self, work: &Work, moment: Duration) -> bool {
        let mut center = self.pair.serve();
        let mut sync = self.pair.site.spawn_logged("backup", &["sync"]);
        std::thread::sleep(moment);
        let at_work = sync.is_running();
        match (work.act, work.sides) {
            (Act::SyncNoticed, _) => {
                center.kill();
                let ended = ended_by_itself(&mut sync);
                assert!(ended, "the sync hangs:\n{}", self.pair.site.log("backup"));
            }
            (_, BACKUP) => {
                sync.kill();
                center.end();
            }
            _ => {
                center.kill();
                sync.kill();
            }
        }
        at_work
    }

    /// By the outer looks and by both nodes' own verification.
    fn verify(&mut self) {
        let begun = Instant::now();
        self.pair.site.assert_rsync_idle();
        self.pair.site.backup(&["verify"]).ok();
        let center = self.pair.site.center(&["verify"]).ok();
        assert_eq!(center["leaves_changed"], 0, "{center}");
        self.counts.verified += 1;
        self.pair.clock.add("verify", begun);
    }

    /// The center's first walk is killed; then everything is done once, and
    /// timed.
    fn first_steps(&mut self) {
        let mut scan = self.pair.site.spawn_logged("center", &["scan"]);
        kill_after(&mut scan, Duration::from_millis(30));
        for change in [Change::Anew].iter().chain(&CHANGES) {
            self.pair.change(*change);
            let (took, _) = self.pair.recover(|_| ());
            self.pair.time_sync(*change, took);
        }
        let works = self.works.clone();
        self.pair.time_works(&works);
    }

    fn cycle(&mut self, at: u64) {
        let change = match at.is_multiple_of(ANEW_EVERY) {
            true => Change::Anew,
            false => self.pair.chance.draw(&CHANGES),
        };
        self.pair.change(change);
        let work = self.pair.chance.work(&self.works);
        let (syncs, again) = (self.counts.hits_in_sync, self.counts.again);
        let begun = Instant::now();
        self.kill(&work, change);
        self.pair.clock.add("work and kill", begun);
        self.pair.assert_whole_files();
        let (took, _) = self.pair.recover(|_| ());
        if (syncs, again) == (self.counts.hits_in_sync, self.counts.again) && work.alone().is_some()
        {
            // Nobody had begun this sync before.
            self.pair.time_sync(change, took);
        }
        if at.is_multiple_of(VERIFY_EVERY) {
            self.verify();
        }
    }

    /// The site goes, its counts stay.
    fn end(mut self) -> Counts {
        self.verify();
        let Pair {
            days,
            rebuilt,
            syncs_resumed,
            leaves_resumed,
            leaves_recovered,
            ..
        } = self.pair;
        self.counts.days += days;
        self.counts.rebuilt += rebuilt;
        self.counts.syncs_resumed += syncs_resumed;
        self.counts.leaves_resumed += leaves_resumed;
        self.counts.leaves_recovered += leaves_recovered;
        self.counts
    }
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
        std::thread::sleep(Duration::from_millis(5));
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
    let works = Work::known(&WORKS);
    let begun = Instant::now();
    let mut counts = Counts::default();
    let (mut cycles, mut sites) = (0, 0);
    while counts.hits < kills {
        let before = Instant::now();
        let mut run = Run::new(Chance::new(seed + sites), works.clone(), counts);
        run.first_steps();
        eprintln!("site {sites}: first steps {:.1?}", before.elapsed());
        sites += 1;
        let before = Instant::now();
        let first = cycles;
        while run.counts.hits < kills && cycles < sites * NEW_SITE_EVERY {
            cycles += 1;
            assert!(
                cycles < 20 + 2 * kills,
                "too few kills came in time: {:?}",
                run.counts.kills
            );
            run.cycle(cycles);
        }
        eprintln!("cycle {cycles}: {} kills", run.counts.hits);
        run.pair.clock.report(cycles - first, before.elapsed());
        counts = run.end();
    }
    report(&counts, cycles, begun.elapsed());
    assert!(counts.hits_in_sync * 2 > counts.hits, "{:?}", counts.kills);
}

fn report(counts: &Counts, cycles: u64, took: Duration) {
    println!(
        "{} kills of a process at work, {} of them during a sync, in {cycles} cycles, \
         {took:.0?}, {:.2} kills per second:",
        counts.hits,
        counts.hits_in_sync,
        counts.hits as f64 / took.as_secs_f64(),
    );
    for ((work, moment), count) in &counts.kills {
        println!("  {work}, {moment}: {count}");
    }
    println!("  once more while it started again: {}", counts.again);
    println!(
        "{} days of changes; {} syncs went on with {} leaves of a broken one; \
         {} leaves of the tree were recovered; {} times an index was rebuilt; \
         {} times everything was verified",
        counts.days,
        counts.syncs_resumed,
        counts.leaves_resumed,
        counts.leaves_recovered,
        counts.rebuilt,
        counts.verified,
    );
}
