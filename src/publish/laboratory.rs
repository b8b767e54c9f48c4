//! The laboratory of links: somebody who may write in the tree replaces
//! folders and files of it, its root, or its hidden folder by symbolic links to
//! a victim's folder, between publications and while one runs. Nothing of the
//! victim's is ever changed; a link that is in the way is named or replaced,
//! and when the links are gone the tree can be made equal again.
//!
//! `HIKAE_LINK_CYCLES` (default 60) and `HIKAE_LINK_SEED` choose how many
//! random histories and which. The laboratory proves itself: when links are
//! followed it must notice.
//!
//! Not covered: hard links and mounts, which need more rights than a folder
//! gives, and whoever changes files of the tree by themselves.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use hikae_protocol::digest::Digest;
use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use hikae_protocol::pack::PackBuilder;
use hikae_protocol::snapshot::{Cursor, Epoch, Snapshot, VerifiedSnapshot};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::catalogue::{ContentPlace, FileRecord, LeafRecord};
use crate::disk::sabotage;
use crate::progress::Silent;

/// Leaves of every depth.
const LEAVES: [&str; 5] = [
    "0410000001/STD01/100/000/1000001",
    "0410000001/STD01/100/000/1000002",
    "0410000001/STD01/200/000/2000001",
    "0410000002/STD01/100/000/1000001",
    "0410000002/REG01",
];

/// What a publication must never do.
type Broken = String;

/// Content and modification time.
type Files = BTreeMap<String, (Vec<u8>, i64)>;

/// A store, its tree, and a victim's folder beside it.
struct Subject {
    folder: tempfile::TempDir,
    catalogue: Catalogue,
    sequence: u64,
    /// What the tree must show, by its path.
    wanted: Files,
    /// What somebody moved away, to be put back: (where it was, where it is).
    moved: Vec<(PathBuf, PathBuf)>,
    /// Publications that a link stopped.
    stopped: Cell<u64>,
}

impl Subject {
    fn new(follow: bool) -> Subject {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        for name in ["store", "tree", "away", "victim"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let tree = folder.path().join("tree");
        sabotage::follow_links_below(&tree, follow);
        Subject {
            catalogue: Catalogue::open(&folder.path().join("store"), None, &Silent).unwrap(),
            folder,
            sequence: 0,
            wanted: Files::new(),
            moved: Vec::new(),
            stopped: Cell::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    /// Some files of some leaves come, change, get another name, time or
    /// content, or go; all of it is committed.
    fn change(&mut self, random: &mut ChaCha8Rng) {
        self.sequence += 1;
        for leaf in LEAVES {
            if random.random_range(0..3) == 0 {
                continue;
            }
            for _ in 0..random.random_range(1..4) {
                let path = format!("{leaf}/{}", name(random));
                match random.random_range(0..6) {
                    0 => drop(self.wanted.remove(&path)),
                    1 => {
                        // Another name for the same content.
                        let old = self.wanted.keys().find(|path| path.starts_with(leaf));
                        if let Some(file) = old.cloned().and_then(|old| self.wanted.remove(&old)) {
                            self.wanted.insert(path, file);
                        }
                    }
                    2 => {
                        if let Some(file) = self.wanted.get_mut(&path) {
                            file.1 += 1_000_000_000;
                        }
                    }
                    _ => {
                        let mut content = vec![0; random.random_range(0..600)];
                        random.fill(&mut content[..]);
                        let mtime = random.random_range(1..1_000_000) * 1_000_000_000;
                        self.wanted.insert(path, (content, mtime));
                    }
                }
            }
        }
        self.commit().unwrap();
    }

    fn commit(&self) -> Result<(), CatalogueError> {
        let mut records = Vec::new();
        for leaf in LEAVES {
            let key = LeafKey::parse(leaf.as_bytes()).unwrap();
            let old = self.catalogue.leaf_record(&key)?;
            let mut record = old.unwrap_or_else(|| LeafRecord::empty(key));
            let mut added = Vec::new();
            for (path, (content, mtime_ns)) in &self.wanted {
                let Some(path) = path.strip_prefix(&format!("{leaf}/")) else {
                    continue;
                };
                let entry = Entry {
                    path: ObjectPath::parse(path.as_bytes()).unwrap(),
                    size: content.len() as u64,
                    mtime_ns: *mtime_ns,
                    digest: Digest::of_content(content),
                };
                if record.files.iter().any(|file| file.entry == entry) {
                    continue;
                }
                let mut pack = PackBuilder::default();
                pack.push(content);
                let pack = pack.finish(1).unwrap();
                let block = self.catalogue.append_contents(&pack)?;
                added.push(FileRecord {
                    entry,
                    sequence: self.sequence,
                    content: ContentPlace::Item { block, index: 0 },
                    stat: None,
                });
            }
            let is_gone = |file: &&FileRecord| {
                let path = format!("{leaf}/{}", file.entry.path.text());
                !self.wanted.contains_key(&path)
            };
            let gone: Vec<ObjectPath> = record.files.iter().filter(is_gone).map(path_of).collect();
            if !added.is_empty() || !gone.is_empty() {
                record.change(&gone, added, self.sequence);
                records.push(record);
            }
        }
        self.catalogue.stage(records)?;
        let (update, totals) = self.catalogue.with_staged()?;
        let snapshot = Snapshot {
            cursor: Cursor {
                epoch: Epoch {
                    counter: 1,
                    random: [7; 16],
                },
                sequence: self.sequence,
            },
            root: update.root,
            leaves: totals.leaves,
            entries: totals.entries,
            bytes: totals.bytes,
            time_ms: 0,
            previous: None,
        };
        let signed = VerifiedSnapshot::sign(snapshot, &SigningKey::from_bytes(&[1; 32])).unwrap();
        self.catalogue.commit((&update, totals), &signed, 5)?;
        Ok(())
    }

    /// The victim has other files of the same names, wherever a link leads.
    fn lay_out_the_victim(&self) {
        let victim = self.path("victim");
        fs::remove_dir_all(&victim).unwrap();
        fs::create_dir(&victim).unwrap();
        for leaf in LEAVES {
            let folder = victim.join(leaf);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("own"), "the victim's").unwrap();
        }
        for lane in 0..2 {
            let folder = victim.join(format!(".hikae/{lane}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("0"), "the victim's").unwrap();
        }
        for path in self.wanted.keys() {
            let path = victim.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "the victim's").unwrap();
        }
    }

    /// Anything of the tree, its root and its hidden folder among it.
    fn target(&self, random: &mut ChaCha8Rng) -> PathBuf {
        let tree = self.tree();
        match random.random_range(0..12) {
            0 => tree,
            1 | 2 => tree.join(".hikae"),
            3 => tree.join(".hikae/0"),
            choice => {
                let paths: Vec<&String> = self.wanted.keys().collect();
                let path = paths.choose(random).map_or(LEAVES[0], |path| path.as_str());
                let depth = path.split('/').count();
                let up = match choice {
                    4 => 0,
                    _ => random.random_range(1..depth),
                };
                let path: Vec<&str> = path.split('/').take(depth - up).collect();
                tree.join(path.join("/"))
            }
        }
    }

    /// Replaces something by a link to the victim's of the same name; says
    /// whether there is a link now.
    fn link(&mut self, target: &Path, number: usize) -> bool {
        let below = target.strip_prefix(self.tree()).unwrap().to_path_buf();
        let victim = self.path("victim").join(below);
        let away = self
            .path("away")
            .join(format!("{number}-{}", self.moved.len()));
        if fs::rename(target, &away).is_ok() {
            self.moved.push((target.to_path_buf(), away));
        }
        symlink(victim, target).is_ok()
    }

    /// Takes the links away and puts back what was there, where nothing else
    /// came.
    fn put_back(&mut self) {
        for (target, away) in std::mem::take(&mut self.moved).into_iter().rev() {
            if fs::symlink_metadata(&target).is_ok_and(|found| found.is_symlink()) {
                fs::remove_file(&target).unwrap();
            }
            let _ = fs::rename(away, target);
        }
        remove_links(&self.tree());
    }

    fn publish(&self) -> Result<PublishReport, String> {
        let done = publish(&self.catalogue, &self.tree(), &Targets::new(), &Silent);
        done.map_err(|error| {
            self.stopped.set(self.stopped.get() + 1);
            error.to_string()
        })
    }

    /// Links between publications: named, or replaced.
    fn between(&mut self, random: &mut ChaCha8Rng) -> Result<(), Broken> {
        let mut links = Vec::new();
        for number in 0..random.random_range(1..4) {
            let target = self.target(random);
            if self.link(&target, number) {
                links.push(target);
            }
        }
        self.check_victim(|subject| {
            let Err(error) = subject.publish() else {
                return Ok(());
            };
            let named = links
                .iter()
                .any(|link| error.contains(link.to_str().unwrap()));
            match named {
                true => Ok(()),
                false => Err(format!("{links:?} are links, and the error is: {error}")),
            }
        })
    }

    /// Links that come and go while a publication runs.
    fn during(&mut self, random: &mut ChaCha8Rng) -> Result<(), Broken> {
        let targets: Vec<PathBuf> = (0..8).map(|_| self.target(random)).collect();
        let pauses: Vec<u64> = (0..8).map(|_| random.random_range(0..300)).collect();
        let (tree, victim, away) = (self.tree(), self.path("victim"), self.path("away"));
        self.check_victim(|subject| {
            let ended = AtomicBool::new(false);
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    let flips = targets.iter().zip(&pauses).cycle();
                    for (number, (target, pause)) in flips.enumerate() {
                        let pause = Duration::from_micros(*pause);
                        let away = away.join(format!("during-{number}"));
                        let below = target.strip_prefix(&tree).unwrap();
                        if fs::rename(target, &away).is_ok() {
                            let linked = symlink(victim.join(below), target).is_ok();
                            std::thread::sleep(pause);
                            if linked {
                                let _ = fs::remove_file(target);
                            }
                            let _ = fs::rename(&away, target);
                        }
                        std::thread::sleep(pause);
                        if ended.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
                let published = subject.publish();
                ended.store(true, Ordering::SeqCst);
                let tree = tree.to_str().unwrap();
                match published {
                    Err(error) if !error.contains(tree) => Err(format!("names nothing: {error}")),
                    _ => Ok(()),
                }
            })
        })
    }

    /// Whatever is done, the victim has what it had.
    fn check_victim(
        &self,
        work: impl FnOnce(&Subject) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let before = everything(&self.path("victim"));
        let done = work(self);
        let after = everything(&self.path("victim"));
        match before == after {
            true => done,
            false => {
                let is_other = |path: &&PathBuf| before.get(*path) != after.get(*path);
                let all = before.keys().chain(after.keys());
                let other: Vec<&PathBuf> = all.filter(is_other).take(3).collect();
                Err(format!("the victim's {other:?} was changed"))
            }
        }
    }

    /// The links are gone: what is published anew shows everything.
    fn recover(&mut self) -> Result<(), Broken> {
        self.put_back();
        let mark = self.path("store/published");
        if mark.exists() {
            fs::remove_file(mark).unwrap();
        }
        self.publish()?;
        let tree = self.tree();
        for (path, (content, mtime_ns)) in &self.wanted {
            let found = fs::symlink_metadata(tree.join(path))
                .map_err(|error| format!("{path}: {error}"))?;
            let mtime = found.mtime() * 1_000_000_000 + found.mtime_nsec();
            let same = fs::read(tree.join(path)).unwrap() == *content && mtime == *mtime_ns;
            if !same || !found.is_file() {
                return Err(format!("{path} is another"));
            }
        }
        match tree.join(".hikae").exists() {
            true => Err(".hikae is left".into()),
            false => Ok(()),
        }
    }
}

fn path_of(file: &FileRecord) -> ObjectPath {
    file.entry.path.clone()
}

/// One of few names, so that they meet again.
fn name(random: &mut ChaCha8Rng) -> String {
    let [day, order, flag] = [2, 3, 3].map(|below| random.random_range(0..below));
    let name = format!("1000001_2025040{day}_OMP-01_{order:015}_20250401120000000_01_{flag}");
    match random.random_range(0..4) {
        0 => format!("other{order}"),
        _ => format!("2025040{day}/OMP-01/{name}"),
    }
}

fn remove_links(folder: &Path) {
    for item in fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        let kind = item.file_type().unwrap();
        if kind.is_symlink() {
            fs::remove_file(item.path()).unwrap();
        } else if kind.is_dir() {
            remove_links(&item.path());
        }
    }
}

/// All that a folder holds: contents, times, modes; links are not followed.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)> {
    let mut all = BTreeMap::new();
    for item in walkdir::WalkDir::new(folder) {
        let item = item.unwrap();
        let found = item.metadata().unwrap();
        let content = match found.is_file() {
            true => fs::read(item.path()).unwrap(),
            false => vec![],
        };
        let seen = (content, found.mtime(), found.mtime_nsec(), found.mode());
        all.insert(item.path().to_path_buf(), seen);
    }
    all
}

/// A random history; links come between two publications, or during one. Says
/// how many publications they stopped.
fn cycle(seed: u64, follow: bool) -> Result<u64, Broken> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut subject = Subject::new(follow);
    subject.change(&mut random);
    subject.publish().unwrap();
    let result = (0..random.random_range(1..4)).try_for_each(|_| {
        subject.change(&mut random);
        subject.lay_out_the_victim();
        match random.random_bool(0.5) {
            true => subject.between(&mut random)?,
            false => subject.during(&mut random)?,
        }
        subject.recover()
    });
    sabotage::follow_links_below(&subject.tree(), false);
    match result {
        Ok(()) => Ok(subject.stopped.get()),
        Err(broken) => Err(format!("seed {seed}: {broken}")),
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// [S11-1] nothing is changed but beneath the tree's root.
#[test]
fn links_in_the_tree_lead_nowhere() {
    let (cycles, seed) = (
        number("HIKAE_LINK_CYCLES", 60),
        number("HIKAE_LINK_SEED", 1),
    );
    let mut broken = Vec::new();
    let mut stopped = 0;
    for seed in seed..seed + cycles {
        match cycle(seed, false) {
            Ok(publications) => stopped += publications,
            Err(what) => broken.push(what),
        }
    }
    println!(
        "{cycles} histories with links, seeds from {seed}: {} broken; \
         links stopped {stopped} publications",
        broken.len()
    );
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(stopped > cycles / 4, "links were hardly ever in the way");
}

/// Where links are followed the laboratory notices within 100 cycles.
#[test]
fn the_laboratory_notices_that_links_are_followed() {
    let noticed = (1..=100).find_map(|seed| Some((seed, cycle(seed, true).err()?)));
    println!("FollowLinks: noticed in cycle {noticed:?}");
    let (_, broken) = noticed.expect("it was not noticed");
    assert!(broken.contains("victim"), "{broken}");
}
