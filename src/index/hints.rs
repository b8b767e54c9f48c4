//! All directories that one refresh is to look at, within a bound: where
//! there are too many, whole patient directories stand for them, then whole
//! prefixes, then the whole volume. A hint covers what is below it, so less
//! precision costs looks and misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::objectpath::LEAF_DEPTH_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Hint;

/// What all hints of a refresh may take, bytes.
const HINT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a hint takes beside its path.
const HINT_BYTES: usize = 32;

/// Directories of one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Volume {
    directories: BTreeSet<Vec<u8>>,
    /// Components that a directory has at most; none: as many as it has.
    depth: Option<usize>,
    bytes: usize,
}

/// Directories to look at, by volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    volumes: BTreeMap<Vec<u8>, Volume>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Hints {
    fn default() -> Hints {
        Hints::bounded(HINT_BYTES_MAX)
    }
}

/// The first `depth` components.
fn cut(directory: &[u8], depth: usize) -> &[u8] {
    let mut separators = directory
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/');
    match depth {
        0 => b"",
        _ => match separators.nth(depth - 1) {
            Some((at, _)) => &directory[..at],
            None => directory,
        },
    }
}

impl Volume {
    /// Adds a directory; says how many bytes more that is.
    fn add(&mut self, directory: &[u8]) -> usize {
        let directory = match self.depth {
            Some(depth) => cut(directory, depth),
            None => directory,
        };
        if self.directories.contains(directory) {
            return 0;
        }
        let bytes = directory.len() + HINT_BYTES;
        self.directories.insert(directory.to_vec());
        self.bytes += bytes;
        bytes
    }

    /// One level less precise.
    fn coarsen(&mut self) {
        let depth = self.depth.map_or(LEAF_DEPTH_MAX, |depth| depth - 1);
        let all = std::mem::take(self);
        self.depth = Some(depth);
        for directory in all.directories {
            self.add(&directory);
        }
    }
}

impl Hints {
    /// No hints yet; they take `bytes_max` at most, or are the volumes.
    fn bounded(bytes_max: usize) -> Hints {
        Hints {
            volumes: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Adds a hint.
    pub fn add(&mut self, hint: &Hint) {
        if !self.volumes.contains_key(&hint.volume) {
            self.volumes.insert(hint.volume.clone(), Volume::default());
        }
        if let Some(volume) = self.volumes.get_mut(&hint.volume) {
            self.bytes += volume.add(&hint.directory);
        }
        while self.bytes > self.bytes_max && self.coarsen() {}
    }

    /// Makes the volume with the most hints less precise, if one can be.
    fn coarsen(&mut self) -> bool {
        let largest = self
            .volumes
            .values_mut()
            .filter(|volume| volume.depth != Some(0))
            .max_by_key(|volume| volume.bytes);
        let Some(largest) = largest else {
            return false;
        };
        let before = largest.bytes;
        largest.coarsen();
        self.bytes = self.bytes - before + largest.bytes;
        true
    }

    /// How many directories there are.
    pub fn len(&self) -> u64 {
        let volumes = self.volumes.values();
        volumes.map(|volume| volume.directories.len() as u64).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty()
    }

    /// By volume, `facility/label`: the directories. An empty one is the
    /// volume's root.
    pub fn into_volumes(self) -> impl Iterator<Item = (Vec<u8>, BTreeSet<Vec<u8>>)> {
        let volumes = self.volumes.into_iter();
        volumes.map(|(name, volume)| (name, volume.directories))
    }
}

/// Bytes as a text with a character for each: JSON has no bytes.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    bytes.ok()
}

impl Serialize for Hints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.volumes.iter().map(|(name, volume)| {
            let directories = volume.directories.iter();
            (
                text(name),
                directories.map(|below| text(below)).collect::<Vec<_>>(),
            )
        }))
    }
}

impl<'de> Deserialize<'de> for Hints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hints, D::Error> {
        let wrong = || serde::de::Error::custom("a character that is no byte");
        let volumes = BTreeMap::<String, Vec<String>>::deserialize(deserializer)?;
        let mut hints = Hints::default();
        for (name, directories) in volumes {
            let volume = bytes(&name).ok_or_else(wrong)?;
            for directory in directories {
                hints.add(&Hint {
                    volume: volume.clone(),
                    directory: bytes(&directory).ok_or_else(wrong)?,
                });
            }
        }
        Ok(hints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(volume: &str, directory: &str) -> Hint {
        Hint {
            volume: volume.into(),
            directory: directory.into(),
        }
    }

    /// Whatever the bound is, each hinted directory is covered, by as precise
    /// a one as the bound allows.
    #[test]
    fn too_many_hints_become_less_precise_and_cover_the_same() {
        let mut all = Vec::new();
        for patient in 0..200 {
            for kind in ["OMP-01", "OML-11"] {
                let id = format!("{patient:07}");
                let (one, two) = (&id[..3], &id[3..6]);
                all.push(hint("F/L", &format!("{one}/{two}/{id}/20250401/{kind}")));
            }
        }
        all.push(hint("G/L", "000/000/0000001/20250401/OMP-01"));
        let mut depths = BTreeSet::new();
        for bytes_max in [0, 200, 3_000, 20_000, 1_000_000] {
            let mut hints = Hints::bounded(bytes_max);
            all.iter().for_each(|hint| hints.add(hint));
            assert!(bytes_max == 0 || hints.bytes <= bytes_max);
            depths.insert(hints.volumes[&b"F/L"[..]].depth);
            let count = hints.len();
            let volumes: BTreeMap<_, _> = hints.into_volumes().collect();
            let sum: usize = volumes.values().map(BTreeSet::len).sum();
            assert_eq!(count, sum as u64);
            for Hint { volume, directory } in &all {
                let covers = |above: &Vec<u8>| {
                    above.is_empty()
                        || directory == above
                        || directory.starts_with(&[above, &b"/"[..]].concat())
                };
                assert!(volumes[volume].iter().any(covers), "{bytes_max}");
            }
        }
        assert!(depths.len() >= 4, "{depths:?}");
    }

    #[test]
    fn hints_go_through_json_as_bytes() {
        let mut hints = Hints::default();
        hints.add(&hint("F/L", "a/b/c"));
        hints.add(&Hint {
            volume: vec![0xff, b'/', b'"'],
            directory: (1..=255).collect(),
        });
        let json = serde_json::to_string(&hints).unwrap();
        assert_eq!(serde_json::from_str::<Hints>(&json).unwrap(), hints);
    }

    #[test]
    fn hints_are_counted_once() {
        let mut hints = Hints::default();
        for _ in 0..3 {
            hints.add(&hint("F/L", "a/b/c/d"));
            hints.add(&hint("F/L", "a/b/c/e"));
        }
        assert_eq!(hints.len(), 2);
    }
}
