//! A disk with a volatile cache: what was not synced may be forgotten, in any
//! part, when the power is cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::disk::{DiskError, OpenFile, StoreFiles};

/// Bytes that a disk writes or does not.
const SECTOR_BYTES: usize = 512;

/// A safeguard that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
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
pub(super) struct FileState {
    pub(super) durable: Vec<u8>,
    pub(super) now: Vec<u8>,
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
pub(super) struct DiskState {
    pub(super) files: Vec<FileState>,
    pub(super) names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    /// Operations that change something, until the power is cut.
    left: Option<u64>,
    pub(super) operations: u64,
    /// Files whose sync was put off.
    put_off: Vec<usize>,
}

/// A disk with a volatile cache.
#[derive(Debug)]
pub(super) struct VolatileFiles {
    state: Mutex<DiskState>,
    sabotage: Sabotage,
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl VolatileFiles {
    pub(super) fn new(sabotage: Sabotage) -> Arc<VolatileFiles> {
        Arc::new(VolatileFiles {
            state: Mutex::default(),
            sabotage,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, DiskState> {
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
    pub(super) fn cut_after(&self, operations: u64) {
        self.state().left = Some(operations);
    }

    /// The power comes back: of what was not synced any part is there.
    /// `keep` decides for each part.
    pub(super) fn restart(&self, mut keep: impl FnMut() -> bool) {
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

/// A file as it was when it was opened.
#[derive(Debug)]
struct FrozenFile(Vec<u8>);

impl OpenFile for FrozenFile {
    fn length(&self) -> Result<u64, DiskError> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let from = offset as usize;
        let bytes = self.0.get(from..from + buffer.len());
        let short = || DiskError::at("read", Path::new("volatile"), Errno::IO);
        buffer.copy_from_slice(bytes.ok_or_else(short)?);
        Ok(())
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

    fn open(&self, name: &str) -> Result<Option<Box<dyn OpenFile>>, DiskError> {
        let state = self.state();
        let file = state.names.get(name);
        Ok(file.map(|&file| {
            let bytes = state.files[file].now.clone();
            Box::new(FrozenFile(bytes)) as Box<dyn OpenFile>
        }))
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
