//! A store in memory, of which every byte can be changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hikae::disk::{DiskError, OpenFile, StoreFiles};
use hikae::segment::SegmentFolder;
use rustix::io::Errno;

#[derive(Debug, Default)]
pub struct Memory(pub Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    /// An empty store, always of the same id.
    pub fn store() -> (Arc<Memory>, SegmentFolder) {
        static ID: Mutex<Option<Vec<u8>>> = Mutex::new(None);
        let files = Arc::new(Memory::default());
        let mut id = ID.lock().expect("no panic");
        if let Some(id) = &*id {
            files.edit("segments/store.id", |bytes| *bytes = id.clone());
        }
        let folder = SegmentFolder::open(files.clone(), None).expect("a new store opens");
        let written = files.0.lock().expect("no panic")["segments/store.id"].clone();
        *id = Some(written);
        drop(id);
        (files, folder)
    }

    /// Changes the bytes of a file, which is made if it is not there.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.0.lock().expect("no panic").entry(name.into()).or_default());
    }

    fn with<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Vec<u8>) -> Option<T>,
    ) -> Result<T, DiskError> {
        let mut files = self.0.lock().expect("no panic");
        let done = files.get_mut(name).and_then(work);
        done.ok_or_else(|| DiskError::at("use", &PathBuf::from(name), Errno::IO))
    }
}

#[derive(Debug)]
struct Frozen(Vec<u8>);

impl OpenFile for Frozen {
    fn length(&self) -> Result<u64, DiskError> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let found = usize::try_from(offset).ok();
        let found = found.and_then(|from| self.0.get(from..from.checked_add(buffer.len())?));
        let short = || DiskError::at("read", &PathBuf::from("frozen"), Errno::IO);
        buffer.copy_from_slice(found.ok_or_else(short)?);
        Ok(())
    }
}

impl StoreFiles for Memory {
    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        let files = self.0.lock().expect("no panic");
        let names = files.keys().filter_map(|name| match (folder, name.rsplit_once('/')) {
            ("", None) => Some(name.clone()),
            (folder, Some((above, name))) if above == folder => Some(name.into()),
            _ => None,
        });
        Ok(names.collect())
    }

    fn length(&self, name: &str) -> Result<Option<u64>, DiskError> {
        let files = self.0.lock().expect("no panic");
        Ok(files.get(name).map(|bytes| bytes.len() as u64))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.with(name, |bytes| {
            let from = usize::try_from(offset).ok()?;
            let found = bytes.get(from..from.checked_add(buffer.len())?)?;
            buffer.copy_from_slice(found);
            Some(())
        })
    }

    fn open(&self, name: &str) -> Result<Option<Box<dyn OpenFile>>, DiskError> {
        let files = self.0.lock().expect("no panic");
        let bytes = files.get(name).cloned();
        Ok(bytes.map(|bytes| Box::new(Frozen(bytes)) as Box<dyn OpenFile>))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.edit(name, |file| *file = bytes.to_vec());
        Ok(())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.with(name, |file| {
            file.extend_from_slice(bytes);
            Some(())
        })
    }

    fn truncate(&self, name: &str, length: u64) -> Result<(), DiskError> {
        self.with(name, |file| {
            file.resize(length as usize, 0);
            Some(())
        })
    }

    fn sync(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_folder(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut files = self.0.lock().expect("no panic");
        let bytes = files.remove(from).unwrap_or_default();
        files.insert(to.into(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.0.lock().expect("no panic").remove(name);
        Ok(())
    }
}
