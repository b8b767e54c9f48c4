//! The viewer of a replica: opened with the replica's store and key, kept
//! until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::replica::Replica;
use crate::progress::Monitor;
use crate::viewer::{AuditError, Event, Head, Viewer, ViewerError, ViewerOptions, audit_of};

/// The folder of the viewer's files in a home.
const FOLDER: &str = "viewer";

/// How a viewer is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewOptions {
    /// Address and TCP port; port 0: a free one.
    pub listen: SocketAddr,
    /// Names that browsers may use beside `localhost` and addresses.
    pub names: Vec<String>,
}

impl Replica {
    /// Shows the records until `end` resolves.
    ///
    /// Errors: `ViewerError`, before anything is shown.
    pub async fn view(
        &self,
        options: &ViewOptions,
        monitor: &dyn Monitor,
        end: impl Future<Output = ()>,
    ) -> Result<(), ViewerError> {
        let options = ViewerOptions {
            folder: self.config().home.join(FOLDER),
            listen: options.listen,
            names: options.names.clone(),
        };
        let opened = tokio::task::block_in_place(|| {
            Viewer::open(self.catalogue().clone(), self.key(), &options, monitor)
        });
        let (viewer, open) = opened?;
        monitor.note(&format!("certificate SHA-256: {}", open.fingerprint()));
        monitor.note(&format!("viewer: {}", open.url()));
        open.serve(Arc::new(viewer), end).await
    }

    /// The audit log of this replica's viewer, read and checked.
    ///
    /// Errors: `AuditError` that names the first wrong line.
    pub fn audit(&self) -> Result<(Vec<Event>, Head), AuditError> {
        let folder = self.config().home.join(FOLDER);
        audit_of(&folder, self.catalogue(), self.key())
    }
}
