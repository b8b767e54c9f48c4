//! Looks at one leaf directory, or at some directories in it, and says what
//! differs from its record.

use std::collections::BTreeSet;

use hikae_protocol::entry::Entry;
use hikae_protocol::limits::PATH_DEPTH_MAX;
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, ObjectPath, split_last};

use super::content::{Content, ReadError, read_content};
use super::{LeftOut, LeftOutReason};
use crate::catalogue::{ContentPlace, FileRecord, LeafRecord, StatRecord};
use crate::disk::{Directory, Item, ItemKind, join};

/// What a look cost and found, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Directories listed.
    pub directories_read: u64,
    /// Hinted directories that are not there.
    pub directories_absent: u64,
    /// Files whose times and size were compared with the record.
    pub files_compared: u64,
    /// Files whose content was read.
    pub files_read: u64,
    /// Bytes of those.
    pub bytes_read: u64,
    /// Directories without anything in them.
    pub empty_directories: u64,
    /// Links, devices, sockets and fifos.
    pub special_files: u64,
}

impl Counts {
    /// Adds another look's counts.
    pub fn add(&mut self, other: &Counts) {
        self.directories_read += other.directories_read;
        self.directories_absent += other.directories_absent;
        self.files_compared += other.files_compared;
        self.files_read += other.files_read;
        self.bytes_read += other.bytes_read;
        self.empty_directories += other.empty_directories;
        self.special_files += other.special_files;
    }
}

/// What differs from a leaf's record.
#[derive(Debug)]
pub struct LeafLook {
    /// Which leaf.
    pub key: LeafKey,
    /// Files that are no longer there.
    pub removed: Vec<ObjectPath>,
    /// New files, and those whose entry differs; the sequence is not set.
    pub added: Vec<FileRecord>,
    /// Files whose entry is as recorded and whose stat record is not.
    pub restated: Vec<FileRecord>,
    /// What can't be copied, and why.
    pub left_out: Vec<LeftOut>,
    /// Directories (relative to the leaf) without anything in them.
    pub empty: Vec<Vec<u8>>,
    /// Directories (relative to the leaf) that must be looked at again: a file
    /// in them was changing, vanished, or was changed just before.
    pub again: BTreeSet<Vec<u8>>,
    /// Directories above leaves (relative to the volume) that could not be
    /// read: everything below is to be looked at again.
    pub missed: Vec<Vec<u8>>,
    /// What it cost.
    pub counts: Counts,
}

impl LeafLook {
    /// A look that found nothing yet.
    pub fn new(key: LeafKey) -> LeafLook {
        LeafLook {
            key,
            removed: vec![],
            added: vec![],
            restated: vec![],
            left_out: vec![],
            empty: vec![],
            again: BTreeSet::new(),
            missed: vec![],
            counts: Counts::default(),
        }
    }

    /// Whether the manifest differs.
    pub fn is_changed(&self) -> bool {
        !self.removed.is_empty() || !self.added.is_empty()
    }
}

struct Look<'a> {
    record: &'a LeafRecord,
    /// Read contents even where the times are as recorded.
    reread: bool,
    found: BTreeSet<ObjectPath>,
    /// Directories of which nothing is known now: their files stay.
    unread: Vec<Vec<u8>>,
    look: LeafLook,
    buffer: &'a mut Vec<u8>,
}

/// Looks at the directory `below` (relative to the leaf; empty: the leaf
/// itself) of the leaf that `record` describes, through `directory`, which is
/// that directory and what it lists, or none if it is known to be absent.
pub fn look_at(
    record: &LeafRecord,
    below: &[u8],
    directory: Option<&(Directory, Vec<Item>)>,
    reread: bool,
    buffer: &mut Vec<u8>,
) -> LeafLook {
    let mut look = Look {
        record,
        reread,
        found: BTreeSet::new(),
        unread: vec![],
        look: LeafLook::new(record.key.clone()),
        buffer,
    };
    if let Some((directory, items)) = directory {
        look.directory(directory, items, below);
    }
    look.remove_absent(below);
    look.look
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || (path.starts_with(directory) && path.get(directory.len()) == Some(&b'/'))
}

impl Look<'_> {
    fn directory(&mut self, directory: &Directory, items: &[Item], below: &[u8]) {
        self.look.counts.directories_read += 1;
        if items.is_empty() {
            self.look.counts.empty_directories += 1;
            self.look.empty.push(below.to_vec());
        }
        for Item { name, kind } in items {
            let path = join(below, name);
            match kind {
                ItemKind::File => self.file(directory, name, &path),
                ItemKind::Directory if self.look.key.depth() < LEAF_DEPTH_MAX => {}
                ItemKind::Directory
                    if path.split(|&byte| byte == b'/').count() >= PATH_DEPTH_MAX =>
                {
                    let reason = "deeper than any path may be".to_string();
                    self.leave_out(&path, LeftOutReason::Name(reason));
                }
                ItemKind::Directory => match directory.open_listed(name) {
                    Ok((subdirectory, items)) => self.directory(&subdirectory, &items, &path),
                    Err(error) if error.is_absent() => self.again(&path),
                    Err(error) => self.unread(&path, error.to_string()),
                },
                ItemKind::Special => self.special(&path),
            }
        }
    }

    /// The directory of this file or directory is looked at again.
    fn again(&mut self, path: &[u8]) {
        let (directory, _) = split_last(path);
        if !self.look.again.contains(directory) {
            self.look.again.insert(directory.to_vec());
        }
    }

    fn leave_out(&mut self, path: &[u8], reason: LeftOutReason) {
        if matches!(
            reason,
            LeftOutReason::Unreadable(_) | LeftOutReason::Changing | LeftOutReason::Time
        ) {
            self.again(path);
        }
        let whole = join(self.look.key.as_bytes(), path);
        self.look.left_out.push(LeftOut {
            path: hikae_protocol::objectpath::PathText::new(&whole).to_string(),
            reason,
        });
    }

    fn unread(&mut self, directory: &[u8], reason: String) {
        self.leave_out(directory, LeftOutReason::Unreadable(reason));
        self.unread.push(directory.to_vec());
    }

    fn special(&mut self, path: &[u8]) {
        self.look.counts.special_files += 1;
        self.leave_out(path, LeftOutReason::Special);
    }

    fn file(&mut self, directory: &Directory, name: &[u8], path: &[u8]) {
        let path = match ObjectPath::parse(path) {
            Ok(path) => path,
            Err(error) => return self.leave_out(path, LeftOutReason::Name(error.to_string())),
        };
        let old = self.record.file(&path);
        if let Some(old) = old
            && !self.reread
        {
            self.look.counts.files_compared += 1;
            match directory.stat_file(name) {
                Ok(Some(stat)) if old.is_unchanged(&stat) => {
                    self.found.insert(path);
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    self.leave_out(
                        path.as_bytes(),
                        LeftOutReason::Unreadable(error.to_string()),
                    );
                    self.found.insert(path);
                    return;
                }
            }
        }
        match read_content(directory, name, self.buffer) {
            Ok(content) => self.content(path, &content, old),
            Err(ReadError::Vanished) => self.again(path.as_bytes()),
            Err(ReadError::Special) => self.special(path.as_bytes()),
            Err(ReadError::Time) => {
                self.leave_out(path.as_bytes(), LeftOutReason::Time);
                self.found.insert(path);
            }
            Err(ReadError::Changing) => {
                self.leave_out(path.as_bytes(), LeftOutReason::Changing);
                self.found.insert(path);
            }
            Err(ReadError::Disk(error)) => {
                self.leave_out(
                    path.as_bytes(),
                    LeftOutReason::Unreadable(error.to_string()),
                );
                self.found.insert(path);
            }
        }
    }

    fn content(&mut self, path: ObjectPath, content: &Content, old: Option<&FileRecord>) {
        self.look.counts.files_read += 1;
        self.look.counts.bytes_read += content.stat.size;
        if !content.settled {
            self.again(path.as_bytes());
        }
        let entry = Entry {
            path: path.clone(),
            size: content.stat.size,
            mtime_ns: content.mtime_ns,
            digest: content.digest,
        };
        let stat = Some(StatRecord {
            ctime_ns: content.stat.ctime_ns,
            inode: content.stat.inode,
            settled: content.settled,
        });
        self.found.insert(path);
        let same = old.filter(|old| old.entry == entry);
        let record = FileRecord {
            entry,
            sequence: same.map_or(0, |old| old.sequence),
            content: ContentPlace::Storage,
            stat,
        };
        match same {
            Some(old) if old.stat == stat => {}
            Some(_) => self.look.restated.push(record),
            None => self.look.added.push(record),
        }
    }

    fn remove_absent(&mut self, below: &[u8]) {
        for file in &self.record.files {
            let path = file.entry.path.as_bytes();
            let kept = self.found.contains(&file.entry.path)
                || !is_below(path, below)
                || self
                    .unread
                    .iter()
                    .any(|directory| is_below(path, directory));
            if !kept {
                self.look.removed.push(file.entry.path.clone());
            }
        }
    }
}
