//! Bare volumes: of a volume that a peer may not have, or does not want, the
//! digests that the root's proof needs, and counts. SPEC.md section 7.12.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Domain};
use crate::limits::BARE_VOLUMES_MAX;
use crate::objectpath::LeafKey;

/// A volume of which nothing but this is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BareVolume {
    /// Facility and label.
    pub volume: LeafKey,
    /// The digest of the files that lie directly in its root, if there are any.
    pub leaf: Option<Digest>,
    /// The digest of the node above all other files, if there are any.
    pub node: Option<Digest>,
    /// Leaves that have entries.
    pub leaves: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of the contents.
    pub bytes: u64,
}

/// Why a list of bare volumes can't be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BareError {
    /// More volumes than a list may have.
    #[error("a list of {0} bare volumes, allowed are {BARE_VOLUMES_MAX}")]
    Many(usize),
    /// Not in order, or twice.
    #[error("bare volumes that are not in order")]
    Order,
    /// Not the name of a volume, or one without anything in it.
    #[error("a bare volume that no tree has")]
    Volume,
}

/// Checks a list that a peer sent.
///
/// Errors: `BareError`.
pub fn check_bare(volumes: &[BareVolume]) -> Result<(), BareError> {
    if volumes.len() > BARE_VOLUMES_MAX {
        return Err(BareError::Many(volumes.len()));
    }
    let mut last: Option<&LeafKey> = None;
    for bare in volumes {
        if last >= Some(&bare.volume) {
            return Err(BareError::Order);
        }
        let is_empty = bare.leaf.is_none() && bare.node.is_none();
        if is_empty || bare.volume.depth() != 0 || bare.leaves == 0 || bare.entries == 0 {
            return Err(BareError::Volume);
        }
        last = Some(&bare.volume);
    }
    Ok(())
}

/// The digest by which a list is named; none of an empty list.
pub fn bare_digest(volumes: &[BareVolume]) -> Option<Digest> {
    if volumes.is_empty() {
        return None;
    }
    // Encoding these types can't fail.
    let bytes = postcard::to_stdvec(volumes).unwrap_or_default();
    Some(Domain::Record.digest(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [S7-20] volumes, each once, in order, and none that is empty.
    #[test]
    fn a_list_that_can_not_be_is_refused() {
        let bare = |volume: &str| BareVolume {
            volume: LeafKey::parse(volume.as_bytes()).unwrap(),
            leaf: None,
            node: Some(Digest([1; 32])),
            leaves: 1,
            entries: 1,
            bytes: 0,
        };
        let (one, two) = (bare("F/L"), bare("F/M"));
        assert_eq!(check_bare(&[]), Ok(()));
        assert_eq!(check_bare(&[one.clone(), two.clone()]), Ok(()));
        assert_eq!(
            check_bare(&[two.clone(), one.clone()]),
            Err(BareError::Order)
        );
        assert_eq!(
            check_bare(&[one.clone(), one.clone()]),
            Err(BareError::Order)
        );
        assert_eq!(check_bare(&[bare("F/L/a")]), Err(BareError::Volume));
        let changes: [fn(&mut BareVolume); 3] = [
            |bare| bare.node = None,
            |bare| bare.leaves = 0,
            |bare| bare.entries = 0,
        ];
        for change in changes {
            let mut bare = one.clone();
            change(&mut bare);
            assert_eq!(check_bare(&[bare]), Err(BareError::Volume));
        }
        let many = vec![one.clone(); BARE_VOLUMES_MAX + 1];
        assert_eq!(check_bare(&many), Err(BareError::Many(many.len())));
        assert_eq!(bare_digest(&[]), None);
        assert_ne!(bare_digest(&[one]), bare_digest(&[two]));
    }
}
