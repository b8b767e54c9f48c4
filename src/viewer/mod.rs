//! The viewer: shows a replica's records to those who may see them, in any
//! browser, without scripts and without a network.
//!
//! `routes` is the one table of what there is, `gate` the one way to records;
//! `pages` make markup of what they are given. Every view is in `audit` before
//! it is sent. The roster is the list of patients; the vault holds what the
//! viewer writes, sealed beside a sealed store.

mod audit;
mod certificate;
mod chart;
mod clock;
mod credentials;
mod emergency;
mod gate;
mod hosts;
mod layout;
mod lockout;
mod pages;
mod request;
mod roster;
mod routes;
mod server;
mod session;
mod tables;
mod vault;
mod view;

pub use audit::{Action, AuditError, AuditLog, Event, Head, Who, Whose, bundle};
pub use certificate::CertificateError;
pub use roster::{Find, Found, Roster, RosterError, Row, Sex};
pub use routes::{Method, Needs, ROUTES, Route};
pub use vault::VaultError;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use ed25519_dalek::SigningKey;

use crate::catalogue::{Catalogue, CatalogueError};
use crate::progress::{Monitor, Silent};
use certificate::Certificate;
use emergency::Emergencies;
use hosts::Hosts;
use lockout::Lockouts;
use roster::Follower;
use session::Sessions;
use tables::Tables;
use vault::Vault;

/// Between looks for a new commit.
const FOLLOW: Duration = Duration::from_secs(1);

/// How a viewer is reached, and where its files lie.
#[derive(Debug, Clone)]
pub struct ViewerOptions {
    /// The folder of the viewer's files.
    pub folder: PathBuf,
    /// Address and TCP port; port 0: a free one.
    pub listen: SocketAddr,
    /// Names that browsers may use, beside `localhost` and addresses.
    pub names: Vec<String>,
}

/// Why there is no viewer.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// Its files failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The audit log can't be written or believed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The store failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The list of patients failed.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The address can't be listened at.
    #[error("{address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The server failed.
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
}

/// A viewer of one replica.
pub struct Viewer {
    catalogue: Arc<Catalogue>,
    audit: AuditLog,
    lockouts: Lockouts,
    emergencies: Emergencies,
    sessions: Sessions,
    hosts: Hosts,
    tables: RwLock<Arc<Tables>>,
    roster: RwLock<Roster>,
    follower: Mutex<Follower>,
}

/// The open door of a viewer.
pub struct Door {
    listener: TcpListener,
    certificate: Certificate,
    address: SocketAddr,
}

impl Viewer {
    /// Opens a viewer and its door. The list of patients is made before the
    /// first page is shown.
    ///
    /// Errors: `ViewerError`.
    pub fn open(
        catalogue: Arc<Catalogue>,
        key: &SigningKey,
        options: &ViewerOptions,
        monitor: &dyn Monitor,
    ) -> Result<(Viewer, Door), ViewerError> {
        let vault = Vault::open(&options.folder, catalogue.seal().cloned())?;
        let wrong = |source| ViewerError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let addresses: Vec<IpAddr> = match address.ip().is_unspecified() {
            true => vec![],
            false => vec![address.ip()],
        };
        let now = jiff::Timestamp::now();
        let certificate = certificate::load(&vault, &options.names, &addresses, now)?;
        let (mut follower, roster) = Follower::open(&catalogue, &vault);
        let roster = RwLock::new(roster);
        follower.follow(&roster, monitor)?;
        let viewer = Viewer {
            audit: AuditLog::open(&vault, key)?,
            lockouts: Lockouts::open(&vault)?,
            emergencies: Emergencies::open(&vault, key)?,
            sessions: Sessions::default(),
            hosts: Hosts::new(&options.names, address.port()),
            tables: RwLock::new(Arc::new(Tables::read(&catalogue)?)),
            roster,
            follower: Mutex::new(follower),
            catalogue,
        };
        let door = Door {
            listener,
            certificate,
            address,
        };
        Ok((viewer, door))
    }

    fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    fn roster(&self) -> RwLockReadGuard<'_, Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> Arc<Tables> {
        self.tables
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the list of patients is that of the newest commit.
    fn is_roster_current(&self) -> bool {
        self.follower
            .try_lock()
            .is_ok_and(|follower| follower.is_current())
    }

    /// When the newest state was signed, milliseconds since the epoch.
    fn signed_ms(&self) -> Option<i64> {
        self.catalogue.snapshot().map(|snapshot| snapshot.time_ms)
    }

    /// The commits that can be shown, newest first, and when each was
    /// accepted.
    fn commits(&self) -> Vec<(u64, i64)> {
        let mut commits = self.catalogue.commits().unwrap_or_default();
        commits.reverse();
        commits
    }

    /// When a commit was accepted, if it is kept.
    fn accepted_ms(&self, commit: u64) -> Option<i64> {
        let commits = self.commits();
        let found = commits.iter().find(|(number, _)| *number == commit);
        found.map(|(_, at_ms)| *at_ms)
    }

    /// Brings tables and roster up to the newest commit.
    fn refresh(&self, monitor: &dyn Monitor) -> Result<(), ViewerError> {
        let newest = self
            .catalogue
            .commit_record()
            .map_or(0, |commit| commit.number);
        if self.tables().commit != newest {
            let read = Arc::new(Tables::read(&self.catalogue)?);
            *self.tables.write().unwrap_or_else(PoisonError::into_inner) = read;
        }
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(follower.follow(&self.roster, monitor)?)
    }
}

impl Door {
    /// The address for a browser on this machine.
    pub fn url(&self) -> String {
        let port = self.address.port();
        match self.address.ip() {
            address if address.is_loopback() || address.is_unspecified() => {
                format!("https://localhost:{port}")
            }
            IpAddr::V6(address) => format!("https://[{address}]:{port}"),
            IpAddr::V4(address) => format!("https://{address}:{port}"),
        }
    }

    /// SHA-256 of the certificate, to compare it with what a browser shows.
    pub fn fingerprint(&self) -> &str {
        &self.certificate.fingerprint
    }

    /// Serves until `end` resolves; follows what is committed meanwhile.
    ///
    /// Errors: `ViewerError::Serve`.
    pub async fn serve(
        self,
        viewer: Arc<Viewer>,
        end: impl Future<Output = ()>,
    ) -> Result<(), ViewerError> {
        let mut following = tokio::task::JoinSet::new();
        following.spawn(follow(viewer.clone()));
        let config = self.certificate.config;
        let served = server::serve(viewer, self.listener, config, end).await;
        following.shutdown().await;
        served.map_err(ViewerError::Serve)
    }
}

async fn follow(viewer: Arc<Viewer>) {
    loop {
        tokio::time::sleep(FOLLOW).await;
        let viewer = viewer.clone();
        let refreshed = tokio::task::spawn_blocking(move || viewer.refresh(&Silent)).await;
        if let Ok(Err(error)) = refreshed {
            tracing::error!(%error, "the viewer does not follow the store");
        }
    }
}

/// The audit log in a viewer's folder, read and checked.
///
/// Errors: `AuditError` that names the first wrong line.
pub fn audit_of(
    folder: &Path,
    catalogue: &Catalogue,
    key: &SigningKey,
) -> Result<(Vec<Event>, Head), AuditError> {
    let vault = Vault::open(folder, catalogue.seal().cloned())?;
    audit::read(&vault, &key.verifying_key())
}
