//! A folder of segments: names, headers, the id of the store that every
//! segment and every block header is bound to, and its seal if it has one.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::SegmentError;
use super::block::header_check;
use super::scan::LogEnd;
use crate::disk::{DiskError, StoreFiles};
use crate::seal::{KEY_ID, Passphrase, Seal, SealError, SealOptions};

/// The folder of the store that has the segments.
pub const SEGMENTS: &str = "segments";

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 40;
const SEGMENT_MAGIC: [u8; 8] = *b"hikaeSEG";
/// The version of the format of a store that is not sealed, and of one that
/// is: that it is can be seen when its key file is lost.
const SEGMENT_VERSION: u32 = 1;
const SEALED_VERSION: u32 = 2;

/// Random, drawn when a store is made, and told to nobody: who can put bytes
/// into a record can't make them pass for a block. A store is sealed from the
/// start, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreId {
    id: [u8; 16],
    is_sealed: bool,
}

impl StoreId {
    fn random(is_sealed: bool, path: &std::path::Path) -> Result<StoreId, DiskError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)
            .map_err(|_| DiskError::at("draw random numbers for", path, Errno::IO))?;
        Ok(StoreId { id, is_sealed })
    }

    /// The bytes.
    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.id
    }

    /// The id of the key that its blocks are sealed with; 0: they are not.
    pub(super) fn key(&self) -> u32 {
        match self.is_sealed {
            true => KEY_ID,
            false => 0,
        }
    }
}

/// A folder of segments.
#[derive(Debug, Clone)]
pub struct SegmentFolder {
    files: Arc<dyn StoreFiles>,
    store: StoreId,
    seal: Option<Arc<Seal>>,
}

/// What the first bytes of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    /// A whole header of that segment, of this store or another.
    Of(StoreId),
    /// A header of another version of the format.
    Version(u32),
    /// None, or a damaged one.
    Damaged,
}

impl SegmentFolder {
    /// The segments of a store. The store's id is read from the first whole
    /// header; a store that never had a segment gets one. With `seal` a new
    /// store is sealed, and one that is there has to be.
    ///
    /// Errors: `SegmentError`; nothing was changed then.
    pub fn open(
        files: Arc<dyn StoreFiles>,
        seal: Option<&SealOptions>,
    ) -> Result<SegmentFolder, SegmentError> {
        let numbers = segment_numbers(&*files)?;
        for number in std::iter::once(0).chain(numbers.iter().copied()) {
            match read_header(&*files, number)? {
                SegmentHeader::Of(store) => {
                    let is_new = numbers.is_empty();
                    let seal = opened_seal(&*files, store, seal, is_new)?;
                    let folder = SegmentFolder { files, store, seal };
                    if number > 0 {
                        folder.save_id()?;
                    }
                    return Ok(folder);
                }
                SegmentHeader::Version(version) => {
                    return Err(SegmentError::Version {
                        path: files.path(&segment_name(number)),
                        version,
                    });
                }
                SegmentHeader::Damaged => {}
            }
        }
        let path = files.path(SEGMENTS);
        // A key is written after the id that it is bound to: where there is
        // one, something was taken away, and the key may be wanted again.
        if !numbers.is_empty() || Seal::has_key_file(&*files)? {
            return Err(SegmentError::Unidentified { path });
        }
        let mut folder = SegmentFolder {
            files,
            store: StoreId::random(seal.is_some(), &path)?,
            seal: None,
        };
        folder.save_id()?;
        folder.seal = opened_seal(&*folder.files, folder.store, seal, true)?;
        Ok(folder)
    }

    /// The segments of the store at `path`.
    #[cfg(test)]
    pub(crate) fn in_store(path: &std::path::Path) -> Result<SegmentFolder, SegmentError> {
        let files = crate::disk::StoreFolder::open(path, &[SEGMENTS])?;
        SegmentFolder::open(Arc::new(files), None)
    }

    /// The segments of the sealed store at `path`.
    #[cfg(test)]
    pub(crate) fn in_sealed_store(
        path: &std::path::Path,
        seal: &SealOptions,
    ) -> Result<SegmentFolder, SegmentError> {
        let files = crate::disk::StoreFolder::open(path, &[SEGMENTS])?;
        SegmentFolder::open(Arc::new(files), Some(seal))
    }

    fn save_id(&self) -> Result<(), SegmentError> {
        Ok(self.files.replace(&segment_name(0), &self.header(0))?)
    }

    /// The files of the store.
    pub fn files(&self) -> &dyn StoreFiles {
        &*self.files
    }

    /// Gives a sealed store another passphrase, if `old` is the one that it
    /// has. SPEC.md [S9-24].
    ///
    /// Errors: `SegmentError`; the old one then still opens it.
    pub fn change_passphrase(&self, old: &Passphrase, new: Passphrase) -> Result<(), SegmentError> {
        let files = &*self.files;
        let seal = Seal::open(files, *self.store.as_bytes(), old)?;
        Ok(seal.change_passphrase(files, &SealOptions::new(new))?)
    }

    /// The store's seal; none if it is not sealed.
    pub fn seal(&self) -> Option<&Arc<Seal>> {
        self.seal.as_ref()
    }

    /// The store's id.
    pub(super) fn store(&self) -> &StoreId {
        &self.store
    }

    /// The file of a segment, for messages.
    pub fn path(&self, number: u32) -> PathBuf {
        self.files.path(&segment_name(number))
    }

    /// The numbers of the segments, ascending.
    ///
    /// Errors: `SegmentError::Disk`.
    pub(super) fn numbers(&self) -> Result<Vec<u32>, SegmentError> {
        segment_numbers(&*self.files)
    }

    /// Whether no segment is missing and the newest ends at `end`.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn ends_at(&self, end: LogEnd) -> Result<bool, SegmentError> {
        let numbers = self.numbers()?;
        let newest = numbers.last().copied().unwrap_or(0);
        let length = match newest {
            0 => return Ok(end.segment == 0),
            _ => self.files.length(&segment_name(newest))?,
        };
        let without_gap = numbers.len() == newest as usize;
        Ok(without_gap && newest == end.segment && length == Some(end.offset))
    }

    /// Whether the log goes at least up to `end`.
    ///
    /// Errors: `SegmentError::Disk`.
    pub fn reaches(&self, end: LogEnd) -> Result<bool, SegmentError> {
        let length = self.files.length(&segment_name(end.segment))?;
        Ok(length.is_some_and(|length| length >= end.offset))
    }

    /// The header of segment `number`, SPEC.md [S9-1]: magic (8), version
    /// (4), number (4), store id (16), check (8).
    pub(super) fn header(&self, number: u32) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        let version = match self.store.is_sealed {
            true => SEALED_VERSION,
            false => SEGMENT_VERSION,
        };
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..16].copy_from_slice(&number.to_le_bytes());
        bytes[16..32].copy_from_slice(self.store.as_bytes());
        let check = header_check(&[&bytes[..32]]);
        bytes[32..].copy_from_slice(&check);
        bytes
    }

    /// Checks the first bytes of a segment.
    ///
    /// Errors: `SegmentError::Version`, `SegmentError::Foreign` of another
    /// store's segment; no error for damage, which is said by `false`.
    pub(super) fn check_header(&self, number: u32, bytes: &[u8]) -> Result<bool, SegmentError> {
        let path = || self.path(number);
        match parse_header(number, bytes) {
            SegmentHeader::Of(store) if store == self.store => Ok(true),
            SegmentHeader::Of(_) => Err(SegmentError::Foreign { path: path() }),
            SegmentHeader::Version(version) => Err(SegmentError::Version {
                path: path(),
                version,
            }),
            SegmentHeader::Damaged => Ok(false),
        }
    }
}

fn parse_header(number: u32, bytes: &[u8]) -> SegmentHeader {
    let Some(bytes) = bytes.first_chunk::<{ SEGMENT_HEADER_BYTES as usize }>() else {
        return SegmentHeader::Damaged;
    };
    let u32_at =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if bytes[..8] != SEGMENT_MAGIC || bytes[32..] != header_check(&[&bytes[..32]]) {
        return SegmentHeader::Damaged;
    }
    let version = u32_at(8);
    let is_sealed = match version {
        SEGMENT_VERSION => false,
        SEALED_VERSION => true,
        _ => return SegmentHeader::Version(version),
    };
    match bytes[16..32].try_into() {
        Ok(id) if u32_at(12) == number => SegmentHeader::Of(StoreId { id, is_sealed }),
        _ => SegmentHeader::Damaged,
    }
}

/// The seal of a store with this id, if it has one. A new one gets a key:
/// nothing was written yet that another key had sealed.
fn opened_seal(
    files: &dyn StoreFiles,
    store: StoreId,
    options: Option<&SealOptions>,
    is_new: bool,
) -> Result<Option<Arc<Seal>>, SegmentError> {
    let path = || files.path(SEGMENTS);
    let seal = match (store.is_sealed, options) {
        (false, None) => return Ok(None),
        (false, Some(_)) => return Err(SealError::Unsealed { path: path() }.into()),
        (true, None) => return Err(SealError::Locked { path: path() }.into()),
        (true, Some(options)) if is_new && !Seal::has_key_file(files)? => {
            Seal::create(files, *store.as_bytes(), options)?
        }
        (true, Some(options)) => Seal::open(files, *store.as_bytes(), &options.passphrase)?,
    };
    Ok(Some(Arc::new(seal)))
}

fn read_header(files: &dyn StoreFiles, number: u32) -> Result<SegmentHeader, SegmentError> {
    let name = segment_name(number);
    if files.length(&name)?.unwrap_or(0) < SEGMENT_HEADER_BYTES {
        return Ok(SegmentHeader::Damaged);
    }
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    files.read_at(&name, 0, &mut bytes)?;
    Ok(parse_header(number, &bytes))
}

/// The file of a segment; number 0 is a header alone, the first that is
/// written.
pub(super) fn segment_name(number: u32) -> String {
    match number {
        0 => format!("{SEGMENTS}/store.id"),
        _ => format!("{SEGMENTS}/{number:08}.seg"),
    }
}

/// The number of the segment that a file name stands for.
fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let number = (digits.len() == 8).then(|| digits.parse().ok()).flatten();
    number.filter(|&number| number > 0)
}

fn segment_numbers(files: &dyn StoreFiles) -> Result<Vec<u32>, SegmentError> {
    let names = files.list(SEGMENTS)?;
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::segment::{BlockKind, SEGMENT_BYTES, SegmentLog, scan};
    use hikae_protocol::pack::PackBuilder;

    fn written(folder: &Path) {
        let segments = SegmentFolder::in_store(folder).unwrap();
        let mut log = SegmentLog::open(&segments, LogEnd::EMPTY, SEGMENT_BYTES).unwrap();
        let pack = PackBuilder::default().finish(3).unwrap();
        log.append(BlockKind::Commit, &pack).unwrap();
        log.sync().unwrap();
    }

    fn read(folder: &Path) -> Result<(), SegmentError> {
        let segments = SegmentFolder::in_store(folder)?;
        let nothing = |_| Ok::<(), SegmentError>(());
        let (_, damages) = scan(&segments, LogEnd::EMPTY, nothing)?;
        assert!(damages.is_empty(), "{damages:?}");
        Ok(())
    }

    /// [S9-13] a segment of another version or of another store is refused by
    /// its name, and so is a store that no header names; nothing is changed.
    #[test]
    fn what_is_of_another_version_or_store_is_refused_by_name() {
        let [own, other] = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let (own, other) = (own.path(), other.path());
        written(own);
        written(other);
        read(own).unwrap();
        let file = own.join("segments/00000001.seg");
        let whole = fs::read(&file).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            let error = read(own).unwrap_err();
            assert_eq!(fs::read(&file).unwrap(), bytes, "it was changed");
            assert!(error.to_string().contains("00000001.seg"), "{error}");
            error
        };
        let mut later = whole.clone();
        later[8] = 3;
        let check = header_check(&[&later[..32]]);
        later[32..40].copy_from_slice(&check);
        let error = refused(&later);
        assert!(matches!(error, SegmentError::Version { version: 3, .. }));
        let error = refused(&fs::read(other.join("segments/00000001.seg")).unwrap());
        assert!(matches!(error, SegmentError::Foreign { .. }), "{error}");

        fs::write(&file, &whole).unwrap();
        let id = fs::read(own.join("segments/store.id")).unwrap();
        fs::remove_file(own.join("segments/store.id")).unwrap();
        read(own).unwrap();
        assert_eq!(
            fs::read(own.join("segments/store.id")).unwrap(),
            id,
            "made anew"
        );
        let mut bad = whole.clone();
        bad[0] ^= 1;
        fs::write(&file, &bad).unwrap();
        fs::write(own.join("segments/store.id"), b"").unwrap();
        let error = read(own).unwrap_err();
        assert!(
            matches!(error, SegmentError::Unidentified { .. }),
            "{error}"
        );
        assert_eq!(fs::read(&file).unwrap(), bad);
    }

    /// [S9-1] every flipped bit of a header is noticed, and so is another
    /// number.
    #[test]
    fn every_flipped_bit_of_a_segment_s_header_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let segments = SegmentFolder::in_store(folder.path()).unwrap();
        let header = segments.header(3);
        assert!(segments.check_header(3, &header).unwrap());
        assert!(!segments.check_header(4, &header).unwrap());
        for at in 0..header.len() * 8 {
            let mut bad = header;
            bad[at / 8] ^= 1 << (at % 8);
            assert!(!segments.check_header(3, &bad).unwrap(), "bit {at}");
        }
    }
}
