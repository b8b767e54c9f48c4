//! What somebody opens, seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::skipped;

/// Sees from outside, by inotify, which folders somebody opens, and what in
/// them.
pub struct Watch {
    inotify: rustix::fd::OwnedFd,
    folders: BTreeMap<i32, PathBuf>,
}

/// What a watch saw.
#[derive(Debug, Default)]
pub struct Opened {
    /// Folders that were opened.
    pub folders: BTreeSet<PathBuf>,
    /// Files and folders that were opened, by the watched folder that they
    /// are in.
    pub items: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches these folders. None, and a loud word, if the system allows no
    /// so many.
    pub fn of(test: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<Watch> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let flags = WatchFlags::OPEN | WatchFlags::ONLYDIR;
        let mut watched = BTreeMap::new();
        for folder in folders {
            match add_watch(&inotify, &folder, flags) {
                Ok(id) => watched.insert(id, folder),
                Err(rustix::io::Errno::NOSPC) => {
                    skipped(test, "fs.inotify.max_user_watches is too small");
                    return None;
                }
                Err(error) => panic!("{}: {error}", folder.display()),
            };
        }
        Some(Watch {
            inotify,
            folders: watched,
        })
    }

    /// How many folders are watched.
    pub fn len(&self) -> usize {
        self.folders.len()
    }

    /// What was opened while `work` ran.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Opened) {
        self.take(&mut Vec::new());
        let ended = AtomicBool::new(false);
        let (done, events) = std::thread::scope(|threads| {
            // The system keeps few events: they are taken at once, and
            // understood later.
            let watching = threads.spawn(|| {
                let mut events = Vec::new();
                loop {
                    let last = ended.load(Ordering::SeqCst);
                    self.take(&mut events);
                    if last {
                        return events;
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            let done = catch_unwind(AssertUnwindSafe(work));
            ended.store(true, Ordering::SeqCst);
            (done, watching.join())
        });
        let done = done.unwrap_or_else(|panic| resume_unwind(panic));
        let mut opened = Opened::default();
        for (id, name) in events.unwrap_or_else(|panic| resume_unwind(panic)) {
            let Some(folder) = self.folders.get(&id) else {
                panic!("more events than the system keeps");
            };
            match name {
                None => opened.folders.insert(folder.clone()),
                Some(name) => opened.items.insert(folder.join(OsStr::from_bytes(&name))),
            };
        }
        (done, opened)
    }

    /// Takes the events that are there: the folder, and the name in it.
    fn take(&self, taken: &mut Vec<(i32, Option<Vec<u8>>)>) {
        use rustix::fs::inotify::Reader;
        let mut buffer = vec![MaybeUninit::uninit(); 256 * 1024];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes().to_vec());
                    taken.push((event.wd(), name));
                }
                Err(rustix::io::Errno::AGAIN) => return,
                Err(error) => panic!("inotify: {error}"),
            }
        }
    }
}
