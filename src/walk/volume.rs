//! Walks a volume, or looks at hinted directories of it, in parallel.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, PathText, split_last};
use rayon::Scope as Tasks;

use super::leaf::{LeafLook, look_at};
use super::{LeftOut, LeftOutReason};
use crate::catalogue::{Catalogue, CatalogueError, LeafRecord};
use crate::disk::{Directory, DiskError, Item, ItemKind, join};

/// What of a volume is looked at.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All of it.
    Whole,
    /// Parts of it.
    Parts(Parts),
}

/// Parts of a volume that are looked at.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Directories with what is below them, relative to the root.
    pub directories: Vec<Vec<u8>>,
    /// Directories of leaves, relative to the leaf.
    pub leaves: BTreeMap<LeafKey, BTreeSet<Vec<u8>>>,
}

/// A look at a volume: finds differences from the catalogue and hands them on.
pub struct VolumeWalk<'a> {
    /// `facility/label`.
    pub volume: &'a [u8],
    /// The volume's root.
    pub root: &'a Directory,
    /// What is known of it.
    pub catalogue: &'a Catalogue,
    /// Gets every look; called from several threads.
    pub found: &'a (dyn Fn(Result<LeafLook, CatalogueError>) + Sync),
    /// Read contents even where the times are as recorded.
    pub reread: bool,
}

impl<'a> VolumeWalk<'a> {
    /// Looks at everything in `scope`; returns when all was handed on. Must
    /// run on the pool that shares the work.
    pub fn run(&'a self, scope: Scope) {
        rayon::scope(|tasks| match scope {
            Scope::Whole => self.prefix(tasks, vec![]),
            Scope::Parts(parts) => {
                self.hinted(tasks, parts.directories);
                for (key, below) in parts.leaves {
                    let below: Vec<Vec<u8>> = below.into_iter().collect();
                    tasks.spawn(move |_| (self.found)(self.leaf(key, &below)));
                }
            }
        });
    }

    fn record(&self, key: &LeafKey) -> Result<LeafRecord, CatalogueError> {
        let value = match self.catalogue.staged(key)? {
            Some(value) => Some(value),
            None => self.catalogue.leaf(key)?,
        };
        match value {
            Some(value) => self.catalogue.record(value.place),
            None => Ok(LeafRecord::empty(key.clone())),
        }
    }

    fn key(&self, directory: &[u8]) -> Option<LeafKey> {
        LeafKey::parse(&join(self.volume, directory)).ok()
    }

    /// Hints, by leaf; a hint above the leaves is a walk of what is below it.
    fn hinted(&'a self, tasks: &Tasks<'a>, mut directories: Vec<Vec<u8>>) {
        // By component, so that what lies below a directory follows it.
        directories.sort_by(|one, two| {
            one.split(|&byte| byte == b'/')
                .cmp(two.split(|&byte| byte == b'/'))
        });
        directories.dedup();
        let mut leaves: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        let mut covered: Option<Vec<u8>> = None;
        for directory in directories {
            let inside = |above: &Vec<u8>| {
                above.is_empty()
                    || directory == *above
                    || directory.starts_with(&[above, &b"/"[..]].concat())
            };
            if covered.as_ref().is_some_and(inside) {
                continue;
            }
            covered = Some(directory.clone());
            let components = directory.split(|&byte| byte == b'/').count();
            if directory.is_empty() || components < LEAF_DEPTH_MAX {
                self.look_up_prefix(tasks, directory);
                continue;
            }
            let separators = directory
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'/');
            let cut = separators.map(|(at, _)| at).nth(LEAF_DEPTH_MAX - 1);
            let (leaf, below) = match cut {
                Some(cut) => (directory[..cut].to_vec(), directory[cut + 1..].to_vec()),
                None => (directory, vec![]),
            };
            leaves.entry(leaf).or_default().push(below);
        }
        for (leaf, below) in leaves {
            tasks.spawn(move |_| {
                if let Some(key) = self.key(&leaf) {
                    (self.found)(self.leaf(key, &below));
                }
            });
        }
    }

    /// Directories of a leaf as the disk names them: one that is not there may
    /// be written in another character set where it was hinted, so the
    /// directory above its first name beyond ASCII stands for it.
    fn readable(&self, leaf: &[u8], below: &[Vec<u8>]) -> Vec<Vec<u8>> {
        if below.iter().all(|below| below.is_ascii()) {
            return below.to_vec();
        }
        let ascii = |below: &Vec<u8>| {
            let is_there = || self.root.open(&join(leaf, below)).is_ok();
            let Some(other) = below.iter().position(|byte| !byte.is_ascii()) else {
                return below.clone();
            };
            match is_there() {
                true => below.clone(),
                false => split_last(&below[..other]).0.to_vec(),
            }
        };
        let all: BTreeSet<Vec<u8>> = below.iter().map(ascii).collect();
        let is_covered = |below: &&Vec<u8>| {
            let mut above = below.as_slice();
            while !above.is_empty() {
                above = split_last(above).0;
                if all.contains(above) {
                    return true;
                }
            }
            false
        };
        let kept = all.iter().filter(|below| !is_covered(below));
        kept.cloned().collect()
    }

    /// Looks at some directories of one leaf.
    fn leaf(&self, key: LeafKey, below: &[Vec<u8>]) -> Result<LeafLook, CatalogueError> {
        let record = self.record(&key)?;
        let below = self.readable(key.directory(), below);
        let mut whole = LeafLook::new(key);
        let mut buffer = Vec::new();
        for below in &below {
            let path = join(whole.key.directory(), below);
            let directory = match self.open(&path) {
                Ok(directory) => directory,
                Err(error) => {
                    whole.left_out.push(left_out(self.volume, &path, &error));
                    whole.again.insert(below.clone());
                    continue;
                }
            };
            whole.counts.directories_absent += u64::from(directory.is_none());
            let look = look_at(&record, below, directory.as_ref(), self.reread, &mut buffer);
            whole.removed.extend(look.removed);
            whole.added.extend(look.added);
            whole.restated.extend(look.restated);
            whole.left_out.extend(look.left_out);
            whole.empty.extend(look.empty);
            whole.again.extend(look.again);
            whole.counts.add(&look.counts);
        }
        Ok(whole)
    }

    /// Opens and lists a directory; none if it is absent while the nearest directory
    /// above that is there was read and does not list it.
    fn open(&self, path: &[u8]) -> Result<Option<(Directory, Vec<Item>)>, DiskError> {
        let error = match self.root.open_listed(path) {
            Ok(listed) => return Ok(Some(listed)),
            Err(error) if error.is_absent() => error,
            Err(error) => return Err(error),
        };
        let mut missing = path;
        loop {
            let (above, name) = split_last(missing);
            match self.root.open_listed(above) {
                Ok((_, items)) => {
                    let listed = items
                        .iter()
                        .any(|item| item.name == name && item.kind == ItemKind::Directory);
                    return if listed { Err(error) } else { Ok(None) };
                }
                Err(above_error) if above_error.is_absent() && !above.is_empty() => missing = above,
                Err(above_error) => return Err(above_error),
            }
        }
    }

    fn look_up_prefix(&'a self, tasks: &Tasks<'a>, directory: Vec<u8>) {
        match self.open(&directory) {
            Ok(Some(_)) => self.prefix(tasks, directory),
            Ok(None) => self.gone(&directory),
            Err(error) => self.unreadable(&directory, &error),
        }
    }

    /// A directory above the leaves: its own files are a leaf, its
    /// subdirectories go on; what the catalogue has and it has not is gone.
    fn prefix(&'a self, tasks: &Tasks<'a>, path: Vec<u8>) {
        let listed = match self.root.open_listed(&path) {
            Ok(listed) => listed,
            Err(error) => return self.unreadable(&path, &error),
        };
        if let Some(key) = self.key(&path) {
            let look = self
                .record(&key)
                .map(|record| look_at(&record, b"", Some(&listed), self.reread, &mut Vec::new()));
            (self.found)(look);
        }
        let (_, items) = listed;
        let is_there = |name: &[u8]| {
            let found = items.binary_search_by(|item| item.name.as_slice().cmp(name));
            found.is_ok_and(|at| items[at].kind == ItemKind::Directory)
        };
        match self.catalogue.names_below(&join(self.volume, &path)) {
            Ok(names) => {
                for name in names.iter().filter(|name| !is_there(name)) {
                    self.gone(&join(&path, name));
                }
            }
            Err(error) => (self.found)(Err(error)),
        }
        let depth = 1 + match path.is_empty() {
            true => 0,
            false => path.split(|&byte| byte == b'/').count(),
        };
        for item in items
            .into_iter()
            .filter(|item| item.kind == ItemKind::Directory)
        {
            let path = join(&path, &item.name);
            tasks.spawn(move |tasks| match depth < LEAF_DEPTH_MAX {
                true => self.prefix(tasks, path),
                false => {
                    if let Some(key) = self.key(&path) {
                        (self.found)(self.leaf(key, &[vec![]]));
                    }
                }
            });
        }
    }

    /// Every file below a directory that is gone is removed.
    fn gone(&self, path: &[u8]) {
        let leaves = self.catalogue.view().leaves_below(&join(self.volume, path));
        let leaves = match leaves {
            Ok(leaves) => leaves,
            Err(error) => return (self.found)(Err(error)),
        };
        for (key, value) in leaves {
            if value.entries > 0 {
                let look = self
                    .record(&key)
                    .map(|record| look_at(&record, b"", None, false, &mut Vec::new()));
                (self.found)(look);
            }
        }
    }

    fn unreadable(&self, path: &[u8], error: &DiskError) {
        if let Some(key) = self.key(path).or_else(|| self.key(b"")) {
            let mut look = LeafLook::new(key);
            look.left_out.push(left_out(self.volume, path, error));
            look.missed.push(path.to_vec());
            (self.found)(Ok(look));
        }
    }
}

fn left_out(volume: &[u8], path: &[u8], error: &DiskError) -> LeftOut {
    LeftOut {
        path: PathText::new(&join(volume, path)).to_string(),
        reason: LeftOutReason::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::progress::Silent;
    use hikae_protocol::objectpath::ObjectPath;

    /// [S3-5] each file is listed in its leaf and in no other, whether all is
    /// walked or a directory is hinted.
    #[test]
    fn each_file_is_listed_in_its_leaf_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("volume");
        let mut expected = BTreeSet::new();
        let mut above = String::new();
        for depth in 0..7 {
            for name in ["one", "two"] {
                let path = format!("{above}{name}");
                let file = root.join(&path);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, name).unwrap();
                expected.insert(LeafKey::of_file(b"F/L", path.as_bytes()).unwrap());
            }
            above = format!("{above}d{depth}/");
        }
        let catalogue = Catalogue::open(&folder.path().join("store"), None, &Silent).unwrap();
        let root = Directory::open_root(&root).unwrap();
        let listed = |scope| {
            let found = Mutex::new(Vec::new());
            let walk = VolumeWalk {
                volume: b"F/L",
                root: &root,
                catalogue: &catalogue,
                found: &|look| found.lock().unwrap().push(look.unwrap()),
                reread: false,
            };
            walk.run(scope);
            let mut files: Vec<(LeafKey, ObjectPath)> = Vec::new();
            for look in found.into_inner().unwrap() {
                assert!(look.left_out.is_empty(), "{:?}", look.left_out);
                let paths = look.added.into_iter().map(|file| file.entry.path);
                files.extend(paths.map(|path| (look.key.clone(), path)));
            }
            let each: BTreeSet<_> = files.iter().cloned().collect();
            assert_eq!(each.len(), files.len(), "a file is listed twice");
            each
        };
        assert_eq!(listed(Scope::Whole), expected);
        for hinted in ["", "d0", "d0/d1", "d0/d1/d2", "d0/d1/d2/d3/d4"] {
            let parts = Parts {
                directories: vec![hinted.into()],
                ..Parts::default()
            };
            let below = format!("{hinted}/");
            let inside = |(key, path): &&(LeafKey, ObjectPath)| {
                let file = join(key.directory(), path.as_bytes());
                hinted.is_empty() || file.starts_with(below.as_bytes())
            };
            let expected: BTreeSet<_> = expected.iter().filter(inside).cloned().collect();
            assert!(!expected.is_empty());
            assert_eq!(listed(Scope::Parts(parts)), expected, "{hinted}");
        }
    }
}
