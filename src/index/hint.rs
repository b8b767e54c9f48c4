//! A hint: one directory of one volume in which something changed.

use hikae_protocol::objectpath::{ObjectPath, PathText, check_component};

/// A directory to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hint {
    /// `facility/label`.
    pub volume: Vec<u8>,
    /// Relative to the volume's root, components joined by `/`.
    pub directory: Vec<u8>,
}

/// Columns that name no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    /// FacilityID or VolumeLabel.
    #[error("{column} {value:?} can't name a folder")]
    Volume {
        /// Which column.
        column: &'static str,
        /// Its value.
        value: PathText,
    },
    /// OutRelDirectory leads out of the volume, or is no path.
    #[error("OutRelDirectory {0:?} is no directory of the volume")]
    Directory(PathText),
}

fn trimmed(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

impl Hint {
    /// From the columns FacilityID (space-padded), VolumeLabel and
    /// OutRelDirectory (separators `/` or `\`). SSMIXIDX, guideline 1.2g.
    ///
    /// Errors: `HintError` that names the column's value.
    pub fn from_columns(
        facility: &[u8],
        label: &[u8],
        directory: &[u8],
    ) -> Result<Hint, HintError> {
        let (facility, label) = (trimmed(facility), trimmed(label));
        for (column, value) in [("FacilityID", facility), ("VolumeLabel", label)] {
            check_component(value).map_err(|_| HintError::Volume {
                column,
                value: PathText::new(value),
            })?;
        }
        Ok(Hint {
            volume: [facility, b"/", label].concat(),
            directory: Hint::path(directory)?,
        })
    }

    /// OutRelDirectory as a path: components joined by `/`.
    ///
    /// Errors: `HintError::Directory`.
    pub(super) fn path(directory: &[u8]) -> Result<Vec<u8>, HintError> {
        let slashes: Vec<u8> = trimmed(directory)
            .iter()
            .map(|&byte| if byte == b'\\' { b'/' } else { byte })
            .collect();
        let parts: Vec<&[u8]> = slashes
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .collect();
        let joined = parts.join(&b'/');
        // No directory would mean the whole volume.
        ObjectPath::parse(&joined).map_err(|_| HintError::Directory(PathText::new(directory)))?;
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_as_gateways_write_them() {
        let hint = Hint::from_columns(
            b"0410000001",
            b"STD01 ",
            b"\\123\\456\\1234567\\20250401\\OMP-01\\",
        )
        .unwrap();
        assert_eq!(hint.volume, b"0410000001/STD01");
        assert_eq!(hint.directory, b"123/456/1234567/20250401/OMP-01");
        assert!(Hint::from_columns(b"F", b"L", b"a/../../etc").is_err());
        assert!(Hint::from_columns(b"", b"L", b"a").is_err());
        assert!(Hint::from_columns(b"..", b"L", b"a").is_err());
        assert!(Hint::from_columns(b"F", b"L", b"a\0b").is_err());
        assert!(Hint::from_columns(b"F", b"L", b"").is_err());
    }
}
