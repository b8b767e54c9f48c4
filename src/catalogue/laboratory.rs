//! The crash laboratory: a store on a disk that forgets, at a power cut, any
//! part of what was not synced. Whatever was acknowledged must be there again.
//!
//! `HIKAE_LAB_CYCLES` (default 300) and `HIKAE_LAB_SEED` choose how many
//! random histories are cut and which. The laboratory proves itself: with one
//! safeguard taken away it must notice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::io::Errno;

use super::tests::commit;
use super::*;
use crate::disk::{Record, StoreFiles, read_record, write_record};
use crate::progress::Silent;
use crate::segment::sabotage;

/// Bytes that a disk writes or does not.
const SECTOR_BYTES: usize = 512;
/// A record beside the segments, as the other marks are.
const MARK: &str = "mark";

/// A safeguard that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    None,
    /// Files are not synced.
    FileSync,
    /// Folders are not synced.
    FolderSync,
    /// What was synced becomes durable only later.
    EarlyAcknowledge,
    /// Blocks are believed without their digest.
    HashCheck,
}

#[derive(Debug, Clone, Default)]
struct FileState {
    durable: Vec<u8>,
    now: Vec<u8>,
}

/// A change of names that a folder was not synced after.
#[derive(Debug, Clone)]
struct NameChange {
    folder: String,
    removed: Option<String>,
    set: Option<(String, usize)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((name, file)) = &self.set {
            names.insert(name.clone(), *file);
        }
    }
}

#[derive(Debug, Default)]
struct DiskState {
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    /// Operations that change something, until the power is cut.
    left: Option<u64>,
    operations: u64,
    /// Files whose sync was put off.
    put_off: Vec<usize>,
}

/// A disk with a volatile cache.
#[derive(Debug)]
struct VolatileFiles {
    state: Mutex<DiskState>,
    sabotage: Sabotage,
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl VolatileFiles {
    fn new(sabotage: Sabotage) -> Arc<VolatileFiles> {
        Arc::new(VolatileFiles {
            state: Mutex::default(),
            sabotage,
        })
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, action: &'static str, name: &str, errno: Errno) -> DiskError {
        DiskError::at(action, &self.path(name), errno)
    }

    /// One operation that changes something; an error once the power is cut.
    fn operation(&self, name: &str) -> Result<MutexGuard<'_, DiskState>, DiskError> {
        let mut state = self.state();
        match &mut state.left {
            Some(0) => return Err(self.error("reach", name, Errno::IO)),
            Some(left) => *left -= 1,
            None => {}
        }
        state.operations += 1;
        for file in std::mem::take(&mut state.put_off) {
            let file = &mut state.files[file];
            file.durable = file.now.clone();
        }
        Ok(state)
    }

    /// Cuts the power after this many more operations.
    fn cut_after(&self, operations: u64) {
        self.state().left = Some(operations);
    }

    /// The power comes back: of what was not synced any part is there.
    /// `keep` decides for each part.
    fn restart(&self, mut keep: impl FnMut() -> bool) {
        let mut state = self.state();
        state.left = None;
        state.put_off.clear();
        let changes = std::mem::take(&mut state.changes);
        for change in changes {
            if keep() {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            let mut kept = file.durable.clone();
            let same = kept
                .iter()
                .zip(&file.now)
                .take_while(|(one, two)| one == two);
            let synced = same.count();
            if kept.len() > file.now.len() && keep() {
                kept.truncate(file.now.len());
            }
            // The length and each sector by itself.
            for at in (synced..file.now.len()).step_by(SECTOR_BYTES) {
                let end = file.now.len().min((at / SECTOR_BYTES + 1) * SECTOR_BYTES);
                if keep() {
                    kept.resize(kept.len().max(end), 0);
                    if keep() {
                        kept[at..end].copy_from_slice(&file.now[at..end]);
                    }
                }
            }
            file.now = kept.clone();
            file.durable = kept;
        }
    }
}

impl StoreFiles for VolatileFiles {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("volatile").join(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        let state = self.state();
        let names = state.names.keys().filter(|name| folder_of(name) == folder);
        Ok(names
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_string())
            .collect())
    }

    fn length(&self, name: &str) -> Result<Option<u64>, DiskError> {
        let state = self.state();
        let file = state.names.get(name);
        Ok(file.map(|&file| state.files[file].now.len() as u64))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let state = self.state();
        let file = state.names.get(name);
        let file = *file.ok_or_else(|| self.error("read", name, Errno::NOENT))?;
        let from = offset as usize;
        let bytes = state.files[file].now.get(from..from + buffer.len());
        buffer.copy_from_slice(bytes.ok_or_else(|| self.error("read", name, Errno::IO))?);
        Ok(())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.operation(name)?;
        if state.names.contains_key(name) {
            return Err(self.error("create", name, Errno::EXIST));
        }
        let file = state.files.len();
        state.files.push(FileState {
            durable: vec![],
            now: bytes.to_vec(),
        });
        state.change(name, None, Some((name.to_string(), file)));
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.operation(name)?;
        let file = *state
            .names
            .get(name)
            .ok_or_else(|| self.error("append to", name, Errno::NOENT))?;
        state.files[file].now.extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&self, name: &str, length: u64) -> Result<(), DiskError> {
        let mut state = self.operation(name)?;
        let file = *state
            .names
            .get(name)
            .ok_or_else(|| self.error("truncate", name, Errno::NOENT))?;
        state.files[file].now.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.operation(name)?;
        let file = *state
            .names
            .get(name)
            .ok_or_else(|| self.error("sync", name, Errno::NOENT))?;
        match self.sabotage {
            Sabotage::FileSync => {}
            Sabotage::EarlyAcknowledge => state.put_off.push(file),
            _ => state.files[file].durable = state.files[file].now.clone(),
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> Result<(), DiskError> {
        let mut state = self.operation(folder)?;
        if self.sabotage == Sabotage::FolderSync {
            return Ok(());
        }
        let (synced, others): (Vec<_>, Vec<_>) = std::mem::take(&mut state.changes)
            .into_iter()
            .partition(|change| change.folder == folder);
        state.changes = others;
        for change in synced {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut state = self.operation(from)?;
        let file = *state
            .names
            .get(from)
            .ok_or_else(|| self.error("rename", from, Errno::NOENT))?;
        state.change(to, Some(from.to_string()), Some((to.to_string(), file)));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut state = self.operation(name)?;
        if state.names.contains_key(name) {
            state.change(name, Some(name.to_string()), None);
        }
        Ok(())
    }
}

impl DiskState {
    fn change(&mut self, name: &str, removed: Option<String>, set: Option<(String, usize)>) {
        let change = NameChange {
            folder: folder_of(name).to_string(),
            removed,
            set,
        };
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

/// One store and what it acknowledged.
struct Subject {
    files: Arc<VolatileFiles>,
    folder: tempfile::TempDir,
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
    fn new(sabotage: Sabotage) -> Subject {
        Subject {
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
        let names: Vec<&String> = names.iter().filter(|name| name.ends_with(".seg")).collect();
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
    Mark,
    Reopen,
}

fn stage(catalogue: &Catalogue) -> Result<(), CatalogueError> {
    let key = hikae_protocol::objectpath::LeafKey::parse(b"F/L/staged").unwrap();
    catalogue.stage(vec![LeafRecord::empty(key)])
}

fn history(random: &mut ChaCha8Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..random.random_range(1..6) {
        let step = match random.random_range(0..8) {
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
    let mut subject = Subject::new(sabotage);
    sabotage::believe_all(sabotage == Sabotage::HashCheck);
    let result = (0..random.random_range(1..5)).try_for_each(|_| {
        let steps = history(&mut random);
        subject.files.cut_after(random.random_range(0..60));
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
    let steps = [
        Step::Commit(vec![("F/L/a".into(), b"first".to_vec())]),
        Step::Mark,
        Step::Commit(vec![("F/L/a".into(), vec![7; 700])]),
    ];
    let mut all = Subject::new(Sabotage::None);
    all.work(&steps);
    let operations = all.files.state().operations;
    let mut cuts = 0;
    for cut in 0..=operations {
        for choice in 0_u64.. {
            let mut subject = Subject::new(Sabotage::None);
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
