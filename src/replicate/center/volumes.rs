//! The volumes of a center: found, opened, and recognised.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hikae_protocol::objectpath::PathText;

use super::CenterError;
use super::state::VolumeState;
use crate::config::Config;
use crate::disk::{Directory, DiskError, ItemKind, RootIdentity, join, path_below};
use crate::walk::{LeftOut, LeftOutReason};

/// Registry volumes have no INDEX DB rows and are walked at every refresh.
const REGISTRY_LABEL: &[u8] = b"REG01";

/// Replicas keep temporary files of their trees in a folder of this name.
const RESERVED: &[u8] = b".hikae";

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

/// The volumes of a center, as they are now.
pub(super) struct Discovered {
    /// Those that were found, sorted by name.
    pub volumes: Vec<VolumeRoot>,
    /// What lies among them and is none: files, and links, which are not
    /// followed; and facility folders that can't be read.
    pub left_out: Vec<LeftOut>,
    /// Facilities whose folder can't be read: which volumes they have is not
    /// known now. With where in `left_out` it is said.
    unread: BTreeMap<Vec<u8>, usize>,
}

impl Discovered {
    /// Whether a volume was found.
    pub(super) fn has(&self, volume: &[u8]) -> bool {
        let found = self
            .volumes
            .binary_search_by(|found| found.name.as_slice().cmp(volume));
        found.is_ok()
    }

    /// Why nobody knows whether a volume is still there, if so.
    pub(super) fn unreadable(&self, volume: &[u8]) -> Option<&LeftOut> {
        if self.has(volume) {
            return None;
        }
        let (facility, _) = hikae_protocol::objectpath::split_last(volume);
        self.left_out.get(*self.unread.get(facility)?)
    }
}

/// The names of the folders in a directory; what else there is, is left out.
fn folders(directory: &Directory, left_out: &mut Vec<LeftOut>) -> Result<Vec<Vec<u8>>, DiskError> {
    let (folders, others): (Vec<_>, Vec<_>) = directory
        .list()?
        .into_iter()
        .partition(|item| item.kind == ItemKind::Directory);
    left_out.extend(others.into_iter().map(|item| LeftOut {
        path: PathText::new(&join(directory.path(), &item.name)).to_string(),
        reason: LeftOutReason::NoVolume,
    }));
    Ok(folders.into_iter().map(|item| item.name).collect())
}

/// Looks for the configured volumes. A facility's folder that can't be read
/// is left out, and the others go on.
///
/// Errors: `CenterError::Disk` when the folder to discover them in can't be
/// read, `CenterError::Twice` when a volume has two roots.
pub(super) fn discover(config: &Config) -> Result<Discovered, CenterError> {
    let mut found: Vec<VolumeRoot> = config
        .volume
        .iter()
        .map(|volume| VolumeRoot {
            name: format!("{}/{}", volume.facility, volume.label).into_bytes(),
            root: volume.root.clone(),
        })
        .collect();
    let mut left_out = Vec::new();
    let mut unread = BTreeMap::new();
    if let Some(volumes) = &config.volumes {
        let folder = Directory::open_root(&volumes.discover)?;
        for facility in folders(&folder, &mut left_out)? {
            if facility.starts_with(RESERVED) {
                left_out.push(LeftOut {
                    path: PathText::new(&facility).to_string(),
                    reason: LeftOutReason::Name("names that begin with .hikae are reserved".into()),
                });
                continue;
            }
            let labels = folder
                .open(&facility)
                .and_then(|directory| folders(&directory, &mut left_out));
            let labels = match labels {
                Ok(labels) => labels,
                // It went meanwhile.
                Err(error) if error.is_absent() => continue,
                Err(error) => {
                    left_out.push(LeftOut {
                        path: PathText::new(&facility).to_string(),
                        reason: LeftOutReason::Unreadable(error.to_string()),
                    });
                    unread.insert(facility, left_out.len() - 1);
                    continue;
                }
            };
            for label in labels {
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
        None => Ok(Discovered {
            volumes: found,
            left_out,
            unread,
        }),
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
