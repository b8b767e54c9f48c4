//! The volumes of a center: found, opened, and recognised.

use std::path::PathBuf;

use hikae_protocol::objectpath::PathText;

use super::CenterError;
use super::state::VolumeState;
use crate::config::Config;
use crate::disk::{Directory, DiskError, ItemKind, RootIdentity, join, path_below};
use crate::walk::{LeftOut, LeftOutReason};

/// Registry volumes have no INDEX DB rows and are walked at every refresh.
const REGISTRY_LABEL: &[u8] = b"REG01";

/// One SS-MIX2 root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRoot {
    /// `facility/label`.
    pub name: Vec<u8>,
    /// Its folder.
    pub root: PathBuf,
}

impl VolumeRoot {
    /// Whether it is a registry volume.
    pub fn is_registry(&self) -> bool {
        self.name.ends_with(&[b"/", REGISTRY_LABEL].concat())
    }

    /// Facility id and volume label.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        hikae_protocol::objectpath::split_last(&self.name)
    }
}

/// Why a volume is not looked at: nothing of it is removed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The root can't be read.
    #[error("volume {volume}: {source}")]
    Disk {
        /// Which volume.
        volume: PathText,
        /// Why.
        source: DiskError,
    },
    /// Another directory stands where the root was.
    #[error(
        "volume {volume}: {root} is another directory than at its first scan \
         (an unmounted or swapped disk?); if it is meant, run `hikae scan --accept-root`"
    )]
    Swapped {
        /// Which volume.
        volume: PathText,
        /// Its folder.
        root: PathBuf,
    },
    /// A root that had records is empty.
    #[error(
        "volume {volume}: {root} is empty and was not before \
         (an unmounted disk?); if it is meant, run `hikae scan --accept-root`"
    )]
    Emptied {
        /// Which volume.
        volume: PathText,
        /// Its folder.
        root: PathBuf,
    },
    /// A known volume is not found any more.
    #[error("volume {volume} is no longer there; if it is meant, run `hikae scan --accept-root`")]
    Vanished {
        /// Which volume.
        volume: PathText,
    },
}

/// The configured volumes, sorted by name, and what lies among them and is
/// none: files, and links, which are not followed.
///
/// Errors: `CenterError::Disk` when the folder to discover them in can't be
/// read, `CenterError::Twice` when a volume has two roots.
pub(super) fn discover(config: &Config) -> Result<(Vec<VolumeRoot>, Vec<LeftOut>), CenterError> {
    let mut found: Vec<VolumeRoot> = config
        .volume
        .iter()
        .map(|volume| VolumeRoot {
            name: format!("{}/{}", volume.facility, volume.label).into_bytes(),
            root: volume.root.clone(),
        })
        .collect();
    let mut left_out = Vec::new();
    if let Some(volumes) = &config.volumes {
        let folder = Directory::open_root(&volumes.discover)?;
        let mut folders = |directory: &Directory| -> Result<Vec<Vec<u8>>, DiskError> {
            let (folders, others): (Vec<_>, Vec<_>) = directory
                .list()?
                .into_iter()
                .partition(|item| item.kind == ItemKind::Directory);
            left_out.extend(others.into_iter().map(|item| LeftOut {
                path: PathText::new(&join(directory.path(), &item.name)).to_string(),
                reason: LeftOutReason::NoVolume,
            }));
            Ok(folders.into_iter().map(|item| item.name).collect())
        };
        for facility in folders(&folder)? {
            for label in folders(&folder.open(&facility)?)? {
                let name = [&facility[..], b"/", &label].concat();
                found.push(VolumeRoot {
                    root: path_below(&volumes.discover, &name),
                    name,
                });
            }
        }
    }
    found.sort_unstable_by(|one, two| one.name.cmp(&two.name));
    // Of two roots for one volume one would never be looked at.
    match found.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(CenterError::Twice {
            volume: PathText::new(&pair[0].name),
            one: pair[0].root.clone(),
            two: pair[1].root.clone(),
        }),
        None => Ok((found, left_out)),
    }
}

/// Opens a root and checks that it is the one that is known.
///
/// Errors: `RootError`; with `accept` only that of the disk.
pub(super) fn open(
    volume: &VolumeRoot,
    known: &VolumeState,
    had_records: bool,
    accept: bool,
) -> Result<(Directory, RootIdentity), RootError> {
    let name = || PathText::new(&volume.name);
    let disk = |source| RootError::Disk {
        volume: name(),
        source,
    };
    let directory = Directory::open_root(&volume.root).map_err(disk)?;
    let identity = directory.identity().map_err(disk)?;
    if accept {
        return Ok((directory, identity));
    }
    if known.identity.is_some_and(|known| known != identity) {
        return Err(RootError::Swapped {
            volume: name(),
            root: volume.root.clone(),
        });
    }
    if had_records && directory.list().map_err(disk)?.is_empty() {
        return Err(RootError::Emptied {
            volume: name(),
            root: volume.root.clone(),
        });
    }
    Ok((directory, identity))
}
