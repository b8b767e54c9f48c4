//! Restoring a past state at a replica.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Replica;
use crate::progress::Monitor;
use crate::publish::{RestoreReport, Selection, restore};
use crate::replicate::history::{HistoryError, resolve};

/// What is restored, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreOptions {
    /// A snapshot's number, or a time.
    pub at: String,
    /// The folder, absolute.
    pub to: PathBuf,
    /// Which leaves.
    pub selection: Selection,
}

impl Replica {
    /// Writes a past state to a folder.
    ///
    /// Errors: `HistoryError`; the same call goes on where this one stopped.
    pub fn restore(
        &self,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<RestoreReport, HistoryError> {
        let own = [Some(&self.config().store), self.config().tree.as_ref()];
        for folder in own.into_iter().flatten() {
            if lies_in(&options.to, folder) {
                return Err(HistoryError::Own {
                    to: options.to.display().to_string(),
                    folder: folder.display().to_string(),
                });
            }
        }
        let _looking = self.look_back();
        let catalogue = self.catalogue();
        let commit = resolve(catalogue, &options.at)?;
        Ok(restore(
            catalogue,
            commit,
            &options.selection,
            &options.to,
            monitor,
        )?)
    }
}

/// Whether a folder that need not be there yet lies in another one.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else {
        return false;
    };
    let there = path.ancestors().find(|above| above.exists());
    let there = there.and_then(|above| above.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(&folder))
}
