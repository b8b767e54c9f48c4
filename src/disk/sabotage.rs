//! For the laboratory of links, which must notice when they are followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, ResolveFlags};

/// Roots below which links are followed. By root and not by thread: a
/// publication has threads of its own.
static ROOTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn roots() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    ROOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes away what keeps links below `root` from being followed, or gives it
/// back.
pub(crate) fn follow_links_below(root: &Path, follow: bool) {
    match follow {
        true => roots().insert(root.to_path_buf()),
        false => roots().remove(root),
    };
}

/// How something below `root` is opened.
pub(super) fn of(root: &Path, flags: OFlags, resolve: ResolveFlags) -> (OFlags, ResolveFlags) {
    match roots().contains(root) {
        true => (flags.difference(OFlags::NOFOLLOW), ResolveFlags::empty()),
        false => (flags, resolve),
    }
}
