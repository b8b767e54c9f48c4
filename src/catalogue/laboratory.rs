//! The crash laboratory: a store on a disk that forgets, at a power cut, any
//! part of what was not synced. Whatever was acknowledged must be there again.
//!
//! `HIKAE_LAB_CYCLES` (default 300) and `HIKAE_LAB_SEED` choose how many
//! random histories are cut and which. The laboratory proves itself: with one
//! safeguard taken away it must notice.

mod disk;

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use disk::{Sabotage, VolatileFiles};

use super::tests::commit;
use super::*;
use crate::disk::{Record, StoreFiles, read_record, write_record};
use crate::progress::Silent;
use crate::seal::SealOptions;
use crate::segment::sabotage;

/// A record beside the segments, as the other marks are.
const MARK: &str = "mark";

/// Small files, so that a short history has several segments, checkpoints and
/// something to compact.
const LIMITS: Limits = Limits {
    segment_bytes: 6 << 10,
    checkpoint_bytes: 8 << 10,
};

/// One store and what it acknowledged.
struct Subject {
    files: Arc<VolatileFiles>,
    folder: tempfile::TempDir,
    /// With what the store is sealed, if it is.
    seal: Option<SealOptions>,
    /// The last commit that was acknowledged, and the last that was tried.
    acknowledged: u64,
    tried: u64,
    /// The same of the mark.
    marked: u64,
    marking: u64,
}

/// What a store must never do.
type Broken = String;

impl Subject {
    fn new(sabotage: Sabotage, is_sealed: bool) -> Subject {
        Subject {
            seal: is_sealed.then(SealOptions::cheap),
            files: VolatileFiles::new(sabotage),
            folder: tempfile::tempdir().unwrap(),
            acknowledged: 0,
            tried: 0,
            marked: 0,
            marking: 0,
        }
    }

    fn open(&self) -> Result<Catalogue, CatalogueError> {
        Catalogue::open_files(
            self.files.clone(),
            &self.folder.path().join("index"),
            self.seal.as_ref(),
            LIMITS,
            &Silent,
        )
    }

    /// Works until the power is cut, or `steps` are done.
    fn work(&mut self, steps: &[Step]) {
        let Ok(mut catalogue) = self.open() else {
            return;
        };
        for step in steps {
            let done = match step {
                Step::Commit(leaves) => self.commit(&catalogue, leaves),
                Step::Stage => stage(&catalogue).is_ok(),
                Step::Unstage => catalogue.unstage(&[]).is_ok(),
                Step::Compact(back) => {
                    let oldest = catalogue.next_commit().saturating_sub(1 + back);
                    catalogue.compact(oldest, &Silent).is_ok()
                }
                Step::Mark => {
                    self.marking += 1;
                    let written = write_record(&*self.files, MARK, &self.marking).is_ok();
                    self.marked = if written { self.marking } else { self.marked };
                    written
                }
                Step::Reopen => match catalogue.close().map(|()| self.open()) {
                    Ok(Ok(opened)) => {
                        catalogue = opened;
                        true
                    }
                    _ => return,
                },
            };
            if !done {
                return;
            }
        }
    }

    fn commit(&mut self, catalogue: &Catalogue, leaves: &[(String, Vec<u8>)]) -> bool {
        self.tried += 1;
        let leaves: Vec<(&str, &[u8])> = leaves
            .iter()
            .map(|(key, content)| (key.as_str(), content.as_slice()))
            .collect();
        let committed = commit(catalogue, self.tried, &leaves).is_ok();
        self.acknowledged = if committed {
            self.tried
        } else {
            self.acknowledged
        };
        committed
    }

    /// A bit of a segment rots. Whatever a store then still hands out is
    /// right, or it names the damage.
    fn rot(&self, random: &mut ChaCha8Rng) -> Result<(), Broken> {
        let catalogue = self
            .open()
            .map_err(|error| format!("does not open: {error}"))?;
        let held = catalogue
            .snapshot()
            .map_or(0, |snapshot| snapshot.cursor.sequence);
        drop(catalogue);
        if held == 0 {
            return Ok(());
        }
        let segments = format!("{}/", crate::segment::SEGMENTS);
        let names = self.files.list(crate::segment::SEGMENTS).unwrap();
        let is_written = |name: &&String| {
            let length = self.files.length(&format!("{segments}{name}"));
            name.ends_with(".seg") && length.unwrap().unwrap() > 0
        };
        let names: Vec<&String> = names.iter().filter(is_written).collect();
        let name = format!("{segments}{}", names.choose(random).unwrap());
        let at = {
            let mut state = self.files.state();
            let file = state.names[&name];
            let file = &mut state.files[file];
            let at = random.random_range(0..file.now.len());
            file.now[at] ^= 1 << random.random_range(0..8);
            file.durable = file.now.clone();
            at
        };
        let wrong = |what: String| format!("{name} byte {at} rotten: {what}");
        let catalogue = self.open().map_err(|error| wrong(error.to_string()))?;
        let found = catalogue
            .snapshot()
            .map_or(0, |snapshot| snapshot.cursor.sequence);
        if found != held {
            return Err(wrong(format!("commit {held} is lost, {found} is held")));
        }
        contents_are_right(&catalogue, true).map_err(wrong)
    }

    /// Opens the store again and says what is wrong with it.
    fn check(&mut self) -> Result<(), Broken> {
        let catalogue = self
            .open()
            .map_err(|error| format!("does not open: {error}"))?;
        let held = catalogue
            .snapshot()
            .map_or(0, |snapshot| snapshot.cursor.sequence);
        if !(self.acknowledged..=self.tried).contains(&held) {
            let (acknowledged, tried) = (self.acknowledged, self.tried);
            return Err(format!(
                "commit {acknowledged} was acknowledged, {tried} tried, {held} is held"
            ));
        }
        // A commit that was not acknowledged and is there anyway counts.
        (self.acknowledged, self.tried) = (held, held);
        if catalogue
            .rebuilt()
            .is_some_and(|rebuilt| !rebuilt.root_matches)
        {
            return Err("the root is not the signed one".into());
        }
        if let Some(rebuilt) = catalogue.rebuilt()
            && !rebuilt.damages.is_empty()
        {
            return Err(format!("damage: {:?}", rebuilt.damages));
        }
        contents_are_right(&catalogue, false)?;
        let mark = match read_record::<u64>(&*self.files, MARK) {
            Ok(Record::Value(mark)) => mark,
            Ok(Record::Absent) => 0,
            other => return Err(format!("the mark: {other:?}")),
        };
        if !(self.marked..=self.marking).contains(&mark) {
            return Err(format!("mark {} was written, {mark} is there", self.marked));
        }
        (self.marked, self.marking) = (mark, mark);
        Ok(())
    }
}

/// Every content has its digest; in a rotten store it may also not be handed
/// out.
fn contents_are_right(catalogue: &Catalogue, rotten: bool) -> Result<(), Broken> {
    for (key, value) in catalogue.view().leaves_below(&[]).unwrap() {
        let record = match catalogue.record(value.place) {
            Err(CatalogueError::Segment(_) | CatalogueError::Missing { .. }) if rotten => continue,
            record => record.map_err(|error| error.to_string())?,
        };
        for file in &record.files {
            let mut content = Vec::new();
            let read = catalogue.content::<CatalogueError>(file.content, |piece| {
                content.extend_from_slice(piece);
                Ok(())
            });
            match read {
                Err(_) if rotten => continue,
                read => read.map_err(|error| error.to_string())?,
            }
            if hikae_protocol::digest::Digest::of_content(&content) != file.entry.digest {
                return Err(format!("{}: another content", key.text()));
            }
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(String, Vec<u8>)>),
    Stage,
    Unstage,
    /// All but so many of the last commits are forgotten.
    Compact(u64),
    Mark,
    Reopen,
}

fn stage(catalogue: &Catalogue) -> Result<(), CatalogueError> {
    let key = hikae_protocol::objectpath::LeafKey::parse(b"F/L/staged").unwrap();
    catalogue.stage(vec![LeafRecord::empty(key)])
}

fn history(random: &mut ChaCha8Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..random.random_range(1..8) {
        let step = match random.random_range(0..9) {
            8 => Step::Compact(random.random_range(0..3)),
            0 => Step::Stage,
            1 => Step::Unstage,
            2 => Step::Mark,
            3 => Step::Reopen,
            _ => {
                let leaves = (0..random.random_range(1..4)).map(|_| {
                    let key = ["F/L/a", "F/L/b", "G/L", "F/M/x/y/z"]
                        .choose(random)
                        .unwrap();
                    let mut content = vec![0; random.random_range(0..3000)];
                    random.fill(&mut content[..]);
                    (key.to_string(), content)
                });
                let leaves: BTreeMap<String, Vec<u8>> = leaves.collect();
                Step::Commit(leaves.into_iter().collect())
            }
        };
        steps.push(step);
    }
    steps
}

/// A random history, cut at a random operation, up to four times in a row:
/// recovery is cut too.
fn cycle(seed: u64, sabotage: Sabotage) -> Result<(), Broken> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Every third store is sealed.
    let mut subject = Subject::new(sabotage, seed.is_multiple_of(3));
    sabotage::believe_all(sabotage == Sabotage::HashCheck);
    let result = (0..random.random_range(1..5)).try_for_each(|_| {
        let steps = history(&mut random);
        subject.files.cut_after(random.random_range(0..90));
        subject.work(&steps);
        let share = random.random_range(0.0..1.0);
        subject.files.restart(|| random.random_bool(share));
        subject.check()
    });
    let result = result.and_then(|()| subject.rot(&mut random));
    sabotage::believe_all(false);
    result.map_err(|broken| format!("seed {seed}: {broken}"))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// [S9-6] [S9-11] [S10-2] what was acknowledged survives any power cut.
#[test]
fn random_histories_survive_power_cuts() {
    let (cycles, seed) = (number("HIKAE_LAB_CYCLES", 300), number("HIKAE_LAB_SEED", 1));
    let broken: Vec<Broken> = (seed..seed + cycles)
        .filter_map(|seed| cycle(seed, Sabotage::None).err())
        .collect();
    println!(
        "{cycles} histories cut, seeds from {seed}: {} broken",
        broken.len()
    );
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A short history, cut after each of its operations, with every part of what
/// was not synced kept or lost in every combination (1,024 at random where
/// there are more).
#[test]
fn a_short_history_survives_every_power_cut() {
    every_power_cut(false);
}

/// The same of a sealed store: id, key, copy of the key, then segments.
#[test]
fn a_short_history_of_a_sealed_store_survives_every_power_cut() {
    every_power_cut(true);
}

fn every_power_cut(is_sealed: bool) {
    let steps = [
        Step::Commit(vec![("F/L/a".into(), b"first".to_vec())]),
        Step::Mark,
        Step::Commit(vec![("F/L/a".into(), vec![7; 700])]),
    ];
    let mut all = Subject::new(Sabotage::None, is_sealed);
    all.work(&steps);
    let operations = all.files.state().operations;
    let mut cuts = 0;
    for cut in 0..=operations {
        for choice in 0_u64.. {
            let mut subject = Subject::new(Sabotage::None, is_sealed);
            subject.files.cut_after(cut);
            subject.work(&steps);
            let mut asked = 0;
            subject.files.restart(|| {
                asked += 1;
                choice >> (asked - 1) & 1 == 1
            });
            subject
                .check()
                .unwrap_or_else(|broken| panic!("cut {cut}, choice {choice:b}: {broken}"));
            cuts += 1;
            if asked > 10 || choice + 1 == 1 << asked {
                break;
            }
        }
    }
    println!("{operations} operations, {cuts} cuts");
    assert!(cuts > 2 * operations);
}

/// With one safeguard less the laboratory notices within 100 cycles.
#[test]
fn the_laboratory_notices_every_sabotage() {
    for sabotage in [
        Sabotage::FileSync,
        Sabotage::FolderSync,
        Sabotage::EarlyAcknowledge,
        Sabotage::HashCheck,
    ] {
        let noticed = (1..=100).position(|seed| cycle(seed, sabotage).is_err());
        println!("{sabotage:?}: noticed in cycle {noticed:?}");
        assert!(noticed.is_some(), "{sabotage:?} was not noticed");
    }
}
