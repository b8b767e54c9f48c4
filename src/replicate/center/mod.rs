//! A center: the source's side. Brings the catalogue up to date with the
//! storage, signs snapshots, and hands contents to peers.

mod gate;
mod leftout;
mod mismatch;
mod refresh;
mod report;
mod state;
mod taker;
mod volumes;

pub use leftout::LeftOutSummary;
pub use report::{Asked, Look, RefreshReport};
pub use volumes::{RootError, VolumeRoot};

pub(crate) use report::digest_text;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hikae_protocol::digest::Digest;
use hikae_protocol::message::Acknowledge;
use hikae_protocol::objectpath::LeafKey;
use hikae_protocol::snapshot::{Epoch, NodeId, SignedSnapshot, Snapshot, VerifiedSnapshot};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::catalogue::{Catalogue, CatalogueError, FileRecord};
use crate::config::{Config, Peer};
use crate::disk::{Directory, DiskError, FileStat};
use crate::index::{IndexDatabase, IndexError};
use crate::progress::{Monitor, Silent};
use crate::replicate::epoch::next_epoch;
use crate::replicate::home::Home;
use crate::replicate::peers::PeerBook;
use crate::replicate::prune::{Keep, PruneReport, prune};
use crate::transfer::{ContentError, Holdings};
use gate::Gate;
use state::SourceState;

/// Threads that read the storage: a cold disk is waited for most of the time.
const READERS: usize = 16;

/// Why a center could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CenterError {
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An INDEX DB could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The center has no volumes configured.
    #[error("{0}: no volumes; name them in [volumes] or [[volume]]")]
    NoVolumes(PathBuf),
    /// A volume is named and discovered, at two places.
    #[error("volume {volume} has two roots: {one} and {two}")]
    Twice {
        /// Which volume.
        volume: hikae_protocol::objectpath::PathText,
        /// One root.
        one: PathBuf,
        /// The other.
        two: PathBuf,
    },
    /// Threads could not be started.
    #[error("threads could not be started: {0}")]
    Threads(String),
    /// A snapshot could not be signed.
    #[error("a snapshot could not be signed: {0}")]
    Sign(hikae_protocol::message::DecodeError),
    /// The key is another one.
    #[error(
        "node.key is not the key that signed this catalogue; restore it, or remove the store to \
         begin another life of the catalogue under the new key"
    )]
    Key,
    /// The catalogue lost leaves to damage, and they can't be seen now.
    #[error(
        "damage took leaves from the catalogue; nothing is signed until every volume could be \
         looked at whole: {0}"
    )]
    Damaged(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// An open center.
pub struct Center {
    home: Home,
    catalogue: Catalogue,
    indexes: Vec<IndexDatabase>,
    pool: ThreadPool,
    /// Held by a refresh, however long it takes; nobody else waits for it.
    state: Mutex<SourceState>,
    /// The end of the segments was lost: numbers of this epoch were given away.
    epoch_is_due: AtomicBool,
    /// Directories that a peer's request found changed, for the next refresh.
    noticed: Mutex<BTreeMap<LeafKey, BTreeSet<Vec<u8>>>>,
    /// What the last refresh, of this process or one before, left out.
    left_out: Mutex<LeftOutSummary>,
    roots: Mutex<BTreeMap<Vec<u8>, PathBuf>>,
    last: Mutex<Option<RefreshReport>>,
    peers: PeerBook,
    gate: Gate,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Center {
    /// Opens the store of a center's home.
    ///
    /// Errors: `CenterError`.
    pub fn open(home: Home, monitor: &dyn Monitor) -> Result<Center, CenterError> {
        let config = &home.config;
        if config.volumes.is_none() && config.volume.is_empty() {
            return Err(CenterError::NoVolumes(
                config.home.join(crate::config::FILE_NAME),
            ));
        }
        let indexes = config
            .index_db
            .iter()
            .filter_map(IndexDatabase::new)
            .collect();
        let catalogue = Catalogue::open(&config.store, None, monitor)?;
        let mut state = SourceState::load(catalogue.files())?;
        let last = catalogue.last_commit();
        let is_cut_off = state.commit > last;
        if is_cut_off {
            tracing::error!(
                last,
                remembered = state.commit,
                "the end of the segments is lost; everything is walked again, and the next epoch \
                 begins"
            );
            state = SourceState::default();
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(READERS)
            .thread_name(|at| format!("walk-{at}"))
            .build()
            .map_err(|error| CenterError::Threads(error.to_string()))?;
        Ok(Center {
            indexes,
            catalogue,
            pool,
            left_out: Mutex::new(refresh::left_out(&state)),
            state: Mutex::new(state),
            epoch_is_due: AtomicBool::new(is_cut_off),
            noticed: Mutex::new(BTreeMap::new()),
            roots: Mutex::new(BTreeMap::new()),
            last: Mutex::new(None),
            peers: PeerBook::new(&home.config),
            gate: Gate::default(),
            home,
        })
    }

    /// The catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.home.config
    }

    /// Its node id.
    pub fn id(&self) -> NodeId {
        crate::replicate::identity::node_id(&self.home.key)
    }

    /// Its key.
    pub fn key(&self) -> &ed25519_dalek::SigningKey {
        &self.home.key
    }

    /// The last refresh of this process.
    pub fn last_refresh(&self) -> Option<RefreshReport> {
        locked(&self.last).clone()
    }

    /// Who may pull, and what they told.
    pub(super) fn peers(&self) -> &PeerBook {
        &self.peers
    }

    /// What is not copied: how many, and the first by name.
    pub fn left_out(&self) -> LeftOutSummary {
        locked(&self.left_out).clone()
    }

    /// Brings the catalogue up to date; one refresh at a time.
    ///
    /// Errors: `CenterError` when nothing could be done; what failed in part
    /// is in the report.
    pub fn refresh(
        &self,
        asked: &Asked,
        monitor: &dyn Monitor,
    ) -> Result<RefreshReport, CenterError> {
        let mut state = locked(&self.state);
        for (key, directories) in std::mem::take(&mut *locked(&self.noticed)) {
            state.again.entry(key).or_default().extend(directories);
        }
        let report = refresh::refresh(self, &mut state, asked, monitor)?;
        *locked(&self.left_out) = refresh::left_out(&state);
        *locked(&self.last) = Some(report.clone());
        Ok(report)
    }

    /// Does something while no refresh changes the catalogue.
    pub fn still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _state = locked(&self.state);
        work()
    }

    /// Frees what only earlier commits needed: without the storage of their
    /// time they are of no use.
    ///
    /// Errors: `CatalogueError`.
    pub fn prune(&self, monitor: &dyn Monitor) -> Result<PruneReport, CatalogueError> {
        let _state = locked(&self.state);
        let keep = Keep {
            time: Duration::ZERO,
            needed: None,
        };
        prune(&self.catalogue, &keep, monitor)
    }

    /// Closes cleanly.
    ///
    /// Errors: `CatalogueError`; the next opening then rebuilds.
    pub fn close(self) -> Result<(), CatalogueError> {
        self.catalogue.close()
    }

    /// A replica holds a snapshot of this center that is beyond its catalogue:
    /// the store was restored from an older image. Cursors of this epoch mean
    /// two things from now on, so the next one begins.
    fn begin_epoch_after(&self, held: &Snapshot) -> Result<(), CenterError> {
        let _state = locked(&self.state);
        let is_beyond = self.catalogue.snapshot().is_some_and(|own| {
            own.cursor.epoch == held.cursor.epoch && own.cursor.sequence < held.cursor.sequence
        });
        if !is_beyond {
            return Ok(());
        }
        tracing::error!(
            sequence = held.cursor.sequence,
            "a replica holds a later snapshot of this center: was its store restored from an \
             older image? The next epoch begins"
        );
        refresh::begin_epoch(self)
    }

    /// The epoch that the next commit begins, if it is to.
    fn due_epoch(&self) -> Result<Option<Epoch>, CenterError> {
        match self.epoch_is_due.load(Ordering::Relaxed) {
            // A catalogue without a commit begins its own.
            true => match self.catalogue.snapshot() {
                Some(snapshot) => next_epoch(Some(&snapshot))
                    .map(Some)
                    .ok_or(CenterError::Random),
                None => Ok(None),
            },
            false => Ok(None),
        }
    }

    fn epoch_begun(&self) {
        self.epoch_is_due.store(false, Ordering::Relaxed);
    }

    fn root_of(&self, volume: &[u8]) -> Option<PathBuf> {
        locked(&self.roots).get(volume).cloned()
    }

    /// The root of a volume that the last refresh did not find.
    fn look_for_root(&self, volume: &[u8]) -> Result<PathBuf, ContentError> {
        let unavailable = |why: &dyn std::fmt::Display| ContentError::Unavailable(why.to_string());
        let found = volumes::discover(self.config()).map_err(|error| unavailable(&error))?;
        if let Some(why) = found.unreadable(volume) {
            return Err(unavailable(&why));
        }
        let mut roots = found.volumes.into_iter();
        let root = roots.find(|found| found.name == volume);
        root.map(|found| found.root).ok_or(ContentError::Moved)
    }

    /// The directory of a file is looked at again by the next refresh.
    fn look_again(&self, key: &LeafKey, file: &FileRecord) {
        let directory = file.entry.path.split_name().0.to_vec();
        locked(&self.noticed)
            .entry(key.clone())
            .or_default()
            .insert(directory);
    }

    fn read_range(
        &self,
        key: &LeafKey,
        file: &FileRecord,
        offset: u64,
        length: u32,
    ) -> Result<(Vec<u8>, FileStat), ContentError> {
        let root = match self.root_of(key.volume()) {
            Some(root) => root,
            None => self.look_for_root(key.volume())?,
        };
        let path = crate::disk::join(key.directory(), file.entry.path.as_bytes());
        read_unchanged(&root, &path, file, offset, length)
    }
}

/// Reads a range of a file that still is what was hashed.
fn read_unchanged(
    root: &Path,
    path: &[u8],
    file: &FileRecord,
    offset: u64,
    length: u32,
) -> Result<(Vec<u8>, FileStat), ContentError> {
    let open = |error: DiskError| match error.is_absent() {
        true => ContentError::Moved,
        false => ContentError::Unavailable(error.to_string()),
    };
    let failed = |error: std::io::Error| ContentError::Unavailable(error.to_string());
    let mut opened = Directory::open_root(root)
        .and_then(|root| root.open_file(path))
        .map_err(open)?;
    let stat = rustix::fs::fstat(&opened).map_err(|errno| failed(errno.into()))?;
    let stat = FileStat::of_regular(&stat)
        .filter(|stat| stat.size == file.entry.size && stat.mtime_ns == Some(file.entry.mtime_ns));
    let stat = stat.ok_or(ContentError::Moved)?;
    let mut bytes = Vec::with_capacity(length as usize);
    opened.seek(SeekFrom::Start(offset)).map_err(failed)?;
    opened
        .take(u64::from(length))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() == length as usize {
        true => Ok((bytes, stat)),
        false => Err(ContentError::Moved),
    }
}

impl Holdings for Center {
    fn refresh(&self) {
        self.gate.shared(|| {
            if let Err(error) = Center::refresh(self, &Look::Due.into(), &Silent) {
                tracing::error!(%error, "refresh failed; peers get the last snapshot");
            }
        });
    }

    fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn content(
        &self,
        key: &LeafKey,
        file: &FileRecord,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ContentError> {
        let read = self.read_range(key, file, offset, length);
        let whole = offset == 0 && u64::from(length) == file.entry.size;
        let is_as_hashed = match &read {
            Ok((bytes, _)) if whole => Digest::of_content(bytes) == file.entry.digest,
            // What is only a part is checked by who asked.
            Ok((_, found)) => file
                .stat
                .is_none_or(|stat| (stat.ctime_ns, stat.inode) == (found.ctime_ns, found.inode)),
            Err(_) => false,
        };
        if !is_as_hashed {
            self.look_again(key, file);
        }
        match read {
            Ok(_) if whole && !is_as_hashed => Err(ContentError::Moved),
            other => other.map(|(bytes, _)| bytes),
        }
    }

    fn peer(&self, id: &NodeId) -> Option<Peer> {
        self.peers.peer(id)
    }

    fn beyond(&self, id: &NodeId, held: SignedSnapshot) {
        let Ok(held) = VerifiedSnapshot::verify(held, &self.id()) else {
            tracing::warn!(peer = %id, "a snapshot of the peer is not signed by this center");
            return;
        };
        if let Err(error) = self.begin_epoch_after(held.snapshot()) {
            tracing::error!(%error, "the next epoch could not be begun");
        }
    }

    fn acknowledged(&self, id: &NodeId, acknowledge: Acknowledge) {
        self.peers.acknowledged(id, acknowledge);
    }
}
