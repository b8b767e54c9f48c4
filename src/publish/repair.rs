//! Repair of the tree: leaves of it are made again what they are to show, from
//! the store. What is not ours is moved aside, not removed.

use std::path::Path;

use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, ObjectPath, PathText, split_last};
use serde::Serialize;

use super::leaf::LeafTask;
use super::staging::Staging;
use super::{Pin, Publication, PublishError, open_tree, wanted};
use crate::catalogue::{Catalogue, LeafRecord};
use crate::disk::{Directory, ItemKind, join};
use crate::progress::Monitor;
use crate::walk::look_at;

/// The folder of the tree's root in which a repair keeps what is not ours. No
/// facility has it: it begins with a dot.
pub const ASIDE: &[u8] = b".hikae-aside";

/// A leaf that is repaired, and what the tree is to show of it.
#[derive(Debug, Clone)]
pub struct LeafRepair {
    /// Which.
    pub key: LeafKey,
    /// The node's own commit.
    pub commit: u64,
    /// What was rejected.
    pub pins: Vec<Pin>,
}

/// What a repair of the tree did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TreeRepair {
    /// Leaves that were gone through.
    pub leaves: u64,
    /// Files that were written again.
    pub files_written: u64,
    /// Files and folders that were moved aside: where they were.
    pub aside: Vec<String>,
    /// The folder that they are in now.
    pub aside_folder: Option<String>,
}

impl TreeRepair {
    /// Counts another one in.
    pub fn add(&mut self, other: TreeRepair) {
        self.leaves += other.leaves;
        self.files_written += other.files_written;
        self.aside.extend(other.aside);
        self.aside_folder = other.aside_folder.or(self.aside_folder.take());
    }
}

/// Makes leaves of the tree what they are to show, and moves the files and
/// folders `unknown` aside; `time` names the folder that they come to.
///
/// Errors: `PublishError`.
pub fn repair(
    catalogue: &Catalogue,
    tree: &Path,
    leaves: &[LeafRepair],
    unknown: &[Vec<u8>],
    time: &str,
    monitor: &dyn Monitor,
) -> Result<TreeRepair, PublishError> {
    let root = open_tree(tree)?;
    let mut aside = Aside {
        root: &root,
        folder: join(ASIDE, time.as_bytes()),
        moved: Vec::new(),
    };
    for path in unknown {
        aside.take(path)?;
    }
    for leaf in leaves {
        aside.clear_way(&leaf.key)?;
        aside.take_foreign(catalogue, leaf)?;
    }
    monitor.stage("repair the tree", Some(leaves.len() as u64));
    let tasks: Vec<LeafTask> = leaves
        .iter()
        .map(|leaf| LeafTask {
            key: leaf.key.clone(),
            from: leaf.commit,
            to: leaf.commit,
            pins: &leaf.pins,
            look: true,
        })
        .collect();
    let publication = Publication {
        catalogue,
        root: &root,
        staging: &Staging::open(&root)?,
        lenient: true,
        unread: false,
        monitor,
    };
    let done = publication.run(&tasks)?;
    let folder = join(tree.as_os_str().as_encoded_bytes(), &aside.folder);
    Ok(TreeRepair {
        leaves: tasks.len() as u64,
        files_written: done.files_written,
        aside_folder: (!aside.moved.is_empty()).then(|| PathText::new(&folder).to_string()),
        aside: aside.moved,
    })
}

struct Aside<'a> {
    root: &'a Directory,
    folder: Vec<u8>,
    moved: Vec<String>,
}

impl Aside<'_> {
    /// Moves a file or folder aside, by its path in the tree.
    fn take(&mut self, path: &[u8]) -> Result<(), PublishError> {
        let (above, name) = split_last(path);
        let parent = match self.root.open(above) {
            Ok(parent) => parent,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let to = self.root.open_or_create(&join(&self.folder, above))?;
        match parent.rename(name, &to, name) {
            Ok(()) => self.moved.push(PathText::new(path).to_string()),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Moves aside what is no folder on the way to a leaf.
    fn clear_way(&mut self, key: &LeafKey) -> Result<(), PublishError> {
        let mut directory = self.root.clone();
        let mut path = Vec::new();
        for name in key.as_bytes().split(|&byte| byte == b'/') {
            let items = directory.list()?;
            path = join(&path, name);
            match items.iter().find(|item| item.name == name) {
                None => return Ok(()),
                Some(item) if item.kind == ItemKind::Directory => {}
                Some(_) => return self.take(&path),
            }
            directory = self.root.open(&path)?;
        }
        Ok(())
    }

    /// Moves aside what a leaf's folder has and is not to have.
    fn take_foreign(
        &mut self,
        catalogue: &Catalogue,
        leaf: &LeafRepair,
    ) -> Result<(), PublishError> {
        let directory = match self.root.open_listed(leaf.key.as_bytes()) {
            Ok(directory) => directory,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let newest = catalogue.leaf_record(&leaf.key)?;
        let newest = newest.unwrap_or_else(|| LeafRecord::empty(leaf.key.clone()));
        let shown = LeafRecord {
            files: wanted(catalogue, &newest, leaf.commit, &leaf.pins)?.files,
            ..LeafRecord::empty(leaf.key.clone())
        };
        let look = look_at(&shown, b"", Some(&directory), true, &mut Vec::new());
        let foreign = look.added.iter().filter(|added| {
            let own = shown.file(&added.entry.path);
            own.is_none_or(|own| own.entry.digest != added.entry.digest)
        });
        let mut paths: Vec<Vec<u8>> = foreign
            .map(|file| join(leaf.key.as_bytes(), file.entry.path.as_bytes()))
            .collect();
        strangers(&directory.0, b"", &shown, &mut paths)?;
        paths.iter().try_for_each(|path| self.take(path))
    }
}

/// What lies in a leaf's folder by names that the leaf does not have, or as no
/// regular file.
fn strangers(
    directory: &Directory,
    below: &[u8],
    shown: &LeafRecord,
    paths: &mut Vec<Vec<u8>>,
) -> Result<(), PublishError> {
    for item in directory.list()? {
        let path = join(below, &item.name);
        let is_known = || {
            let parsed = ObjectPath::parse(&path).ok();
            parsed.is_some_and(|path| shown.file(&path).is_some())
        };
        match item.kind {
            // Of a leaf higher up these are other leaves.
            ItemKind::Directory if shown.key.depth() < LEAF_DEPTH_MAX => {}
            ItemKind::Directory if is_known() => paths.push(join(shown.key.as_bytes(), &path)),
            ItemKind::Directory => {
                strangers(&directory.open(&item.name)?, &path, shown, paths)?;
            }
            ItemKind::File if is_known() => {}
            ItemKind::File | ItemKind::Special => paths.push(join(shown.key.as_bytes(), &path)),
        }
    }
    Ok(())
}
