//! A storage that does not hold still: fifty changes a second throughout a
//! first copy and throughout a time of following. It converges, and nothing is
//! skipped.
//!
//! HIKAE_MOVING_SECONDS sets how long the backup follows.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Chance, Site, folders, look, number};

/// Between two changes.
const PAUSE: Duration = Duration::from_millis(20);

/// What gateways do to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    /// The old version gets another name, a new one is written.
    Update,
    /// All versions get another name, a tombstone is written.
    Delete,
    /// Another content of the same length, twice within one tick of the
    /// clock, and the old time again.
    Rewrite,
    /// Written in pieces, in place.
    Grow,
    /// A patient who was not there.
    New,
    /// There and back again.
    Swap,
}

const MOVES: [Move; 6] = [
    Move::Update,
    Move::Delete,
    Move::Rewrite,
    Move::Grow,
    Move::New,
    Move::Swap,
];

/// Gateways at work.
struct Gateway {
    root: PathBuf,
    chance: Chance,
    /// Valid records of the standard storage.
    records: Vec<PathBuf>,
    rows: Child,
    count: u64,
    done: std::collections::BTreeMap<Move, u64>,
}

impl Gateway {
    fn of(site: &Site) -> Gateway {
        let mut records = Vec::new();
        for folder in folders(&site.volumes()) {
            for item in fs::read_dir(folder).unwrap() {
                let path = item.unwrap().path();
                let text = path.to_str().unwrap_or_default();
                if path.is_file() && text.contains("/STD01/") && text.ends_with("_1") {
                    records.push(path);
                }
            }
        }
        assert!(records.len() > 500);
        records.sort();
        let mut rows = Command::new("sqlite3")
            .arg(site.path("storage/index.db"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let settings = b".timeout 20000\nPRAGMA synchronous = off;\n";
        rows.stdin.as_mut().unwrap().write_all(settings).unwrap();
        Gateway {
            root: site.volumes(),
            chance: Chance::new(number("HIKAE_MOVING_SEED", 1)),
            records,
            rows,
            count: 0,
            done: std::collections::BTreeMap::new(),
        }
    }

    /// Changes the storage until told to stop; gives how often.
    fn work(&mut self, stop: &AtomicBool) -> u64 {
        let begun = Instant::now();
        let before = self.count;
        while !stop.load(Ordering::Relaxed) {
            self.count += 1;
            self.change();
            // Kept up, however long one change took.
            let due = PAUSE * u32::try_from(self.count - before).unwrap();
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        self.count - before
    }

    fn change(&mut self) {
        let what = self.chance.draw(&MOVES);
        let at = self.chance.below(self.records.len() as u64) as usize;
        let path = self.records[at].clone();
        *self.done.entry(what).or_default() += 1;
        let changed = match what {
            Move::Update => {
                fs::rename(&path, flagged(&path, '2')).unwrap();
                let next = self.next_version(&path);
                fs::write(&next, self.content()).unwrap();
                self.records[at] = next.clone();
                next
            }
            Move::Delete => {
                let old = flagged(&path, '0');
                fs::rename(&path, &old).unwrap();
                let tombstone = flagged(&self.next_version(&path), '0');
                fs::write(&tombstone, self.content()).unwrap();
                self.records.swap_remove(at);
                tombstone
            }
            Move::Rewrite => {
                let found = fs::metadata(&path).unwrap();
                let mut file = File::options().write(true).open(&path).unwrap();
                for _ in 0..2 {
                    use std::io::{Seek, SeekFrom};
                    let byte = b'a' + self.chance.below(26) as u8;
                    let content = vec![byte; found.len() as usize];
                    file.seek(SeekFrom::Start(0)).unwrap();
                    file.write_all(&content).unwrap();
                    file.set_modified(found.modified().unwrap()).unwrap();
                }
                path
            }
            Move::Grow => {
                let mut file = File::options().append(true).open(&path).unwrap();
                for _ in 0..3 {
                    file.write_all(self.content().as_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
                path
            }
            Move::New => {
                let patient = format!("{:07}", 9_000_000 + self.count);
                let volume = path.ancestors().nth(6).unwrap();
                let record = volume.join(crate::harness::record(&patient, self.count));
                fs::create_dir_all(record.parent().unwrap()).unwrap();
                fs::write(&record, self.content()).unwrap();
                self.records.push(record.clone());
                record
            }
            Move::Swap => {
                let aside = flagged(&path, '2');
                fs::rename(&path, &aside).unwrap();
                fs::rename(&aside, &path).unwrap();
                path
            }
        };
        self.row(&changed);
    }

    fn content(&mut self) -> String {
        format!("change {} {}\r", self.count, self.chance.below(1 << 40))
    }

    /// The name of the next version: a timestamp that no other has.
    fn next_version(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut fields: Vec<String> = name.split('_').map(ToOwned::to_owned).collect();
        let at = fields.len() - 3;
        fields[at] = format!("20990101{:09}", self.count);
        path.with_file_name(fields.join("_"))
    }

    /// Tells of the directory, as gateways do behind the change.
    fn row(&mut self, path: &Path) {
        let below = path.strip_prefix(&self.root).unwrap().to_str().unwrap();
        let (volume, name) = below.rsplit_once('/').unwrap();
        let mut parts = volume.splitn(3, '/');
        let [facility, label, directory] = [(); 3].map(|()| parts.next().unwrap());
        let statement = format!(
            "INSERT INTO SSMIXIDX (FacilityID, VolumeLabel, OutRelDirectory, FileName, \
             UpdateDatetime) VALUES ('{facility}', '{label}', '{directory}', '{name}', \
             strftime('%Y-%m-%d %H:%M:%f', 'now'));\n"
        );
        let input = self.rows.stdin.as_mut().unwrap();
        input.write_all(statement.as_bytes()).unwrap();
    }

    /// Waits until all rows are written.
    fn end(mut self) {
        drop(self.rows.stdin.take());
        assert!(self.rows.wait().unwrap().success());
        println!("{:?}", self.done);
        assert_eq!(self.done.len(), MOVES.len());
    }
}

/// The same version with another flag.
fn flagged(path: &Path, flag: char) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    let stem = name.strip_suffix(['0', '1', '2']).unwrap();
    path.with_file_name(format!("{stem}{flag}"))
}

/// Ends the changes, also where a check fails beside them.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_storage_that_does_not_hold_still_converges_and_nothing_is_skipped() {
    let site = Site::generated(2, 300, 4_000);
    let mut gateway = Gateway::of(&site);
    let stop = AtomicBool::new(false);
    let _center = site.serve();
    let seconds = number("HIKAE_MOVING_SECONDS", 6);
    let begun = Instant::now();
    let (changes, following) = std::thread::scope(|threads| {
        let gateway = &mut gateway;
        let stop = &stop;
        let worker = threads.spawn(move || gateway.work(stop));
        let _stop = Stop(stop);
        // The first walk and the first copy, of what moves under them. What
        // could not be had is named, and is asked for again.
        let first = site.backup(&["sync"]);
        assert!(matches!(first.code, Some(0 | 1)), "{}", first.json);
        assert_eq!(first.json["roots_equal"], true, "{}", first.json);
        assert!(first.json["entries"].as_u64().unwrap() > 3_000);
        println!(
            "first copy beside changes: {:?}, {} contents not to be had",
            begun.elapsed(),
            first.json["left_out_total"]
        );
        let following = site.spawn_logged("backup", &["sync", "--follow"]);
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        (worker.join().unwrap(), following)
    });
    let rate = changes as f64 / begun.elapsed().as_secs_f64();
    println!("{changes} changes, {rate:.0} a second");
    gateway.end();
    // By hints alone, without another walk.
    let still = Instant::now();
    let files = look(&site.volumes()).len();
    loop {
        let (center, backup) = (site.status("center"), site.status("backup"));
        let same = center["snapshot"]["entries"] == files
            && center["snapshot"]["root"] == backup["snapshot"]["root"]
            && backup["is_published"] == true
            && center["last_refresh"]["directories_again"] == 0;
        if same {
            break;
        }
        let late = still.elapsed() > Duration::from_secs(60);
        assert!(!late, "{}\n{center}\n{backup}", site.log("backup"));
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("at rest {:?} after the last change", still.elapsed());
    following.end();
    site.assert_equal();
    let walked = site.center(&["scan", "--walk"]).ok();
    for count in ["files_added", "files_removed"] {
        assert_eq!(walked[count], 0, "skipped by the hints: {walked}");
    }
    let reread = site.center(&["verify"]).ok();
    assert_eq!(reread["files_added"], 0, "{reread}");
    site.backup(&["verify"]).ok();
}
