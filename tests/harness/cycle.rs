//! A center and a backup that are stopped hard, again and again, while they
//! work: what kills and power cuts have in common.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{Looker, Process, Seen, Site, assert_same_files, assert_whole_files, binary, look};

/// A number of the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What befalls the storage, or the backup, before somebody is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing since the last sync.
    Nothing,
    /// A day of so many changes.
    Day(u64),
    /// Only times of files.
    Times,
    /// Nothing; the backup begins anew.
    Anew,
}

/// Files whose time changes.
const TIMES: usize = 20;

/// Who is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Center,
    Backup,
}

impl Side {
    pub fn home(self) -> &'static str {
        match self {
            Side::Center => "center",
            Side::Backup => "backup",
        }
    }
}

/// Which part of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// While the backup connects and pulls.
    Pulling,
    /// While it publishes.
    Publishing,
}

/// What is done when somebody is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The backup syncs, the center answers.
    Sync(Part),
    /// The same; the backup is not stopped, and has to notice.
    SyncNoticed,
    /// A command of the side that is stopped, by itself.
    Alone(&'static [&'static str]),
    /// The same after an unclean stop: the index is made anew.
    Rebuild(&'static [&'static str]),
    /// A sync or scan has just returned, and its process has ended.
    After,
    /// The same, while the process that did it goes on.
    Following,
}

/// A line of a table of works. One more work is one more line; where the
/// binary has no such command the line is left out, and that is said.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// How often it is drawn.
    pub chances: u64,
    pub name: &'static str,
    pub sides: &'static [Side],
    pub act: Act,
}

impl Work {
    /// The command that is at work by itself.
    pub fn alone(&self) -> Option<(Side, &'static [&'static str])> {
        match self.act {
            Act::Alone(command) | Act::Rebuild(command) => Some((self.sides[0], command)),
            _ => None,
        }
    }

    /// The lines whose commands the binary has.
    pub fn known(table: &[Work]) -> Vec<Work> {
        let is_known = |work: &&Work| {
            let Some((_, [command, ..])) = work.alone() else {
                return true;
            };
            let asked = Command::new(binary())
                .args([command, "--help"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            let is_known = asked.unwrap().success();
            if !is_known {
                eprintln!("*** LEFT OUT: {}: the binary has no {command}", work.name);
            }
            is_known
        };
        table.iter().filter(is_known).copied().collect()
    }
}

/// Draws.
pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    pub fn one_of(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub fn draw<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    pub fn work(&mut self, works: &[Work]) -> Work {
        let mut left = self.below(works.iter().map(|work| work.chances).sum());
        let drawn = works.iter().find(|work| {
            let is_drawn = left < work.chances;
            left = left.saturating_sub(work.chances);
            is_drawn
        });
        *drawn.unwrap()
    }

    /// A moment between two others.
    pub fn moment(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_micros().max(1) as u64;
        from + Duration::from_micros(self.below(span))
    }
}

/// Where the time goes.
#[derive(Debug, Default)]
pub struct Clock(BTreeMap<&'static str, Duration>);

impl Clock {
    pub fn add(&mut self, what: &'static str, begun: Instant) {
        *self.0.entry(what).or_default() += begun.elapsed();
    }

    pub fn report(&self, cycles: u64, took: Duration) {
        println!(
            "  {:.2} cycles per second; of a cycle on average:",
            cycles as f64 / took.as_secs_f64()
        );
        for (what, sum) in &self.0 {
            println!(
                "    {what}: {:.0} ms",
                sum.as_secs_f64() * 1000.0 / cycles as f64
            );
        }
    }
}

/// What a whole sync took, its process's start and end included, and the part
/// of it at the end that publishes.
#[derive(Debug, Default, Clone, Copy)]
pub struct SyncTime {
    pub whole: Duration,
    pub publish: Duration,
}

/// A center and a backup, what their works took when nobody was stopped, and
/// the storage as it was at the last equal sync and as it is.
pub struct Pair {
    pub site: Site,
    /// The backup's.
    pub store: PathBuf,
    pub tree: PathBuf,
    pub center_store: PathBuf,
    pub chance: Chance,
    syncs: BTreeMap<Change, SyncTime>,
    alone: BTreeMap<&'static str, Duration>,
    /// Until a center has started, rebuilt its index and refreshed.
    start: Duration,
    pub before: BTreeMap<Vec<u8>, Seen>,
    pub now: BTreeMap<Vec<u8>, Seen>,
    storage_look: Looker,
    tree_look: Looker,
    pub clock: Clock,
    pub days: u64,
    pub rebuilt: u64,
    pub syncs_resumed: u64,
    pub leaves_resumed: u64,
    pub leaves_recovered: u64,
}

impl Pair {
    pub fn new(site: Site, chance: Chance) -> Pair {
        Pair {
            store: site.path("backup/store"),
            tree: site.tree(),
            center_store: site.path("center/store"),
            chance,
            syncs: BTreeMap::new(),
            alone: BTreeMap::new(),
            start: Duration::ZERO,
            before: BTreeMap::new(),
            now: look(&site.volumes()),
            storage_look: Looker::default(),
            tree_look: Looker::default(),
            clock: Clock::default(),
            days: 0,
            rebuilt: 0,
            syncs_resumed: 0,
            leaves_resumed: 0,
            leaves_recovered: 0,
            site,
        }
    }

    pub fn serve(&self) -> Process {
        let mut center = self.site.spawn_logged("center", &["serve"]);
        center.wait_for_port(self.site.port);
        center
    }

    /// Changes the storage, or takes the backup's copy away.
    pub fn change(&mut self, change: Change) {
        let begun = Instant::now();
        match change {
            Change::Nothing => {}
            Change::Day(changes) => {
                self.site.day(changes);
                self.days += 1;
                self.look_at_storage();
            }
            Change::Times => {
                self.change_times();
                self.look_at_storage();
            }
            Change::Anew => {
                for folder in [&self.store, &self.tree] {
                    if folder.exists() {
                        fs::remove_dir_all(folder).unwrap();
                    }
                }
            }
        }
        self.clock.add("change", begun);
    }

    fn look_at_storage(&mut self) {
        self.now = self.storage_look.look(&self.site.volumes()).clone();
    }

    /// No row of the INDEX DB says so; a walk sees it.
    fn change_times(&mut self) {
        let paths: Vec<Vec<u8>> = self.now.keys().cloned().collect();
        for _ in 0..TIMES {
            let path = &paths[self.chance.below(paths.len() as u64) as usize];
            let seconds = self.chance.below(1_700_000_000);
            let path = self.site.volumes().join(OsStr::from_bytes(path));
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
                .unwrap();
        }
        self.site.center(&["scan", "--walk"]).ok();
    }

    /// When to stop somebody, after the begin of the work.
    pub fn moment(&mut self, work: &Work, change: Change) -> Duration {
        let SyncTime { whole, publish } = self.syncs[&change];
        let pulled = whole.saturating_sub(publish);
        let (from, to) = match work.act {
            Act::Alone(["serve"]) => (Duration::ZERO, self.start),
            Act::Alone(_) | Act::Rebuild(_) => (Duration::ZERO, self.alone[work.name]),
            Act::Sync(Part::Pulling) => (Duration::ZERO, pulled),
            Act::Sync(Part::Publishing) => (pulled, whole),
            _ => (Duration::ZERO, whole),
        };
        self.chance.moment(from, to)
    }

    /// It had returned before it was stopped: the next time is an earlier one.
    /// What works take depends on who else works at this machine.
    pub fn too_late(&mut self, work: &Work, change: Change) {
        const SHORTER: f64 = 0.85;
        if work.act == Act::Alone(&["serve"]) {
            self.start = self.start.mul_f64(SHORTER);
        } else if let Some(alone) = self.alone.get_mut(work.name) {
            *alone = alone.mul_f64(SHORTER);
        } else if let Some(sync) = self.syncs.get_mut(&change) {
            sync.whole = sync.whole.mul_f64(SHORTER);
            sync.publish = sync.publish.mul_f64(SHORTER);
        }
    }

    /// When to stop somebody who starts again.
    pub fn moment_again(&mut self, side: Side, change: Change) -> Duration {
        let longest = match side {
            Side::Backup => self.syncs[&change].whole,
            Side::Center => self.start,
        };
        self.chance.moment(Duration::ZERO, longest)
    }

    /// Every work that is a command by itself is done once, and timed.
    pub fn time_works(&mut self, works: &[Work]) {
        for work in works {
            let Some((side, command)) = work.alone() else {
                continue;
            };
            if command != ["serve"] {
                self.forget_if_rebuild(work);
                let begun = Instant::now();
                let ran = match side {
                    Side::Center => self.site.center(command),
                    Side::Backup => self.site.backup(command),
                };
                ran.ok();
                self.alone.insert(work.name, begun.elapsed());
            }
        }
    }

    /// What a sync took that nobody had begun before.
    pub fn time_sync(&mut self, change: Change, took: SyncTime) {
        self.syncs.insert(change, took);
    }

    /// Starts a work that is a command by itself.
    pub fn start_alone(&self, work: &Work) -> Process {
        self.forget_if_rebuild(work);
        let (side, command) = work.alone().unwrap();
        self.site.spawn_logged(side.home(), command)
    }

    fn forget_if_rebuild(&self, work: &Work) {
        let store = match work.sides[0] {
            Side::Center => &self.center_store,
            Side::Backup => &self.store,
        };
        let clean = store.join("clean");
        if matches!(work.act, Act::Rebuild(_)) && clean.exists() {
            fs::remove_file(clean).unwrap();
            // As if it had never been written.
            File::open(store).unwrap().sync_all().unwrap();
        }
    }

    /// A store that was stopped hard opens without damage.
    #[track_caller]
    pub fn opened(&mut self, home: &str) -> Value {
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

    /// [R2] every file that is seen is whole.
    #[track_caller]
    pub fn assert_whole_files(&mut self) {
        let begun = Instant::now();
        let tree = self.tree_look.look(&self.tree);
        assert_whole_files(tree, &[&self.before, &self.now]);
        self.clock.add("look for half files", begun);
    }

    /// The power was cut: the disk is read again.
    pub fn forget_tree(&mut self) {
        self.tree_look.forget();
    }

    /// The tree shows the storage, and no name for work.
    #[track_caller]
    pub fn assert_equal(&mut self) {
        let begun = Instant::now();
        assert_same_files(&self.now, self.tree_look.look(&self.tree));
        let hidden = self.tree.join(".hikae");
        assert!(!hidden.exists(), "{hidden:?} is still there");
        self.clock.add("compare", begun);
    }

    /// Both start again and sync once: all is equal. `at_center` asks the
    /// center while it still serves.
    #[track_caller]
    pub fn recover(&mut self, at_center: impl FnOnce(&Pair)) -> (SyncTime, Value) {
        let begun = Instant::now();
        let center = self.serve();
        // The first refresh runs; a status does not wait for it, a scan does.
        self.clock.add("recover: start", begun);
        let scan = self.site.center(&["scan"]).ok();
        self.start = begun.elapsed();
        self.clock.add("recover: start and scan", begun);
        let sync_begun = Instant::now();
        let sync = self.site.backup(&["sync"]).ok();
        let whole = sync_begun.elapsed();
        self.clock.add("recover: sync", sync_begun);
        assert_eq!(sync["roots_equal"], true, "{sync}");
        assert_eq!(sync["root"], scan["root"], "{sync}");
        let end_begun = Instant::now();
        self.opened("center");
        at_center(self);
        self.clock.add("recover: center's status", end_begun);
        let end_begun = Instant::now();
        center.end();
        self.clock.add("recover: center's end", end_begun);
        let status = self.site.status("backup");
        assert_eq!(status["is_published"], true, "{status}");
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let resumed = count(&sync["pull"]["leaves_resumed"]);
        self.syncs_resumed += u64::from(resumed > 0);
        self.leaves_resumed += resumed;
        self.leaves_recovered += count(&sync["publish"]["leaves_recovered"]);
        let publish = sync["publish"]["seconds"].as_f64().unwrap_or(0.0);
        let publish = Duration::from_secs_f64(publish).min(whole);
        self.clock.add("recover", begun);
        self.assert_equal();
        // A center keeps one of these until it next writes the same mark.
        let left = left_behind(&self.store);
        assert!(left.is_empty(), "{left:?} are left");
        self.before = self.now.clone();
        (SyncTime { whole, publish }, status)
    }
}

/// Names of a store for files that are not whole yet.
fn left_behind(store: &Path) -> Vec<String> {
    let folders = [store.to_path_buf(), store.join("segments")];
    let items = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let names = items.flatten().map(|item| item.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".new-") || name.starts_with(".hikae-"))
        .collect()
}
