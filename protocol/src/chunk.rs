//! Chunks: where a large content is cut, SPEC.md section 5.5.
//!
//! The cuts follow the content (FastCDC), so that contents which are equal in
//! most places have most chunks in common. A replica needs not know the rule:
//! it believes a chunk by its digest, and a list by its bounds.

use fastcdc::v2020::FastCDC;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits::{
    CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_SPAN_BYTES, CHUNKS_MAX,
};

/// A chunk of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Of its bytes, as of a whole content.
    pub digest: Digest,
    /// How many.
    pub bytes: u32,
}

/// Why a list of chunks can't be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// More chunks than a list may have.
    #[error("a list of {0} chunks, allowed are {CHUNKS_MAX}")]
    Many(usize),
    /// A chunk shorter or longer than chunks are.
    #[error("a chunk of {0} bytes")]
    Length(u32),
    /// Chunks beyond the end of the content.
    #[error("chunks beyond the end of the content")]
    Beyond,
}

/// Bytes of the first chunk of `rest`, which is what is left of a content, or
/// the first of it and at least `CHUNK_BYTES_MAX`.
pub fn first_cut(rest: &[u8]) -> usize {
    let cutter = FastCDC::new(rest, CHUNK_BYTES_MIN, CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX);
    let (_, cut) = cutter.cut(0, rest.len());
    cut
}

/// Whether a list that begins at byte `from` is full, and ends at byte `to`.
pub fn is_full(chunks: usize, from: u64, to: u64) -> bool {
    chunks >= CHUNKS_MAX || to - from >= CHUNK_SPAN_BYTES
}

/// Checks a list of the chunks from byte `from` of a content of `size` bytes
/// on; says where it ends.
///
/// Errors: `ChunkError`.
pub fn check_chunks(chunks: &[Chunk], from: u64, size: u64) -> Result<u64, ChunkError> {
    if chunks.len() > CHUNKS_MAX {
        return Err(ChunkError::Many(chunks.len()));
    }
    let mut end = from;
    for chunk in chunks {
        end = end.saturating_add(u64::from(chunk.bytes));
        if end > size {
            return Err(ChunkError::Beyond);
        }
        let shortest = match end == size {
            true => 1,
            false => CHUNK_BYTES_MIN,
        };
        if !(shortest..=CHUNK_BYTES_MAX).contains(&(chunk.bytes as usize)) {
            return Err(ChunkError::Length(chunk.bytes));
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Noise from a seed, with runs of one byte in between.
    fn content(seed: u64, bytes: usize) -> Vec<u8> {
        let mut reader = blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof();
        let mut content = vec![0; bytes];
        reader.fill(&mut content);
        for run in content.chunks_mut(300_000) {
            let quiet = run.len() / 3;
            run[..quiet].fill(seed as u8);
        }
        content
    }

    fn cuts(content: &[u8]) -> Vec<usize> {
        let mut cuts = vec![0];
        let mut at = 0;
        while at < content.len() {
            at += first_cut(&content[at..content.len().min(at + CHUNK_BYTES_MAX)]);
            cuts.push(at);
        }
        cuts
    }

    /// The rule of section 5.5, byte by byte.
    fn oracle_cut(rest: &[u8], gear: &[u64; 256]) -> usize {
        let length = rest.len().min(CHUNK_BYTES_MAX);
        if length <= CHUNK_BYTES_MIN {
            return length;
        }
        let mut hash = 0_u64;
        for (at, &byte) in rest[..length & !1].iter().enumerate().skip(CHUNK_BYTES_MIN) {
            hash = (hash << 1).wrapping_add(gear[usize::from(byte)]);
            let mask = match at < CHUNK_BYTES_AVERAGE {
                true => 0x0000_d907_0753_7000,
                false => 0x0000_d903_0353_7000,
            };
            if hash & mask == 0 {
                return at;
            }
        }
        length
    }

    /// The table of section 5.5, as `tests/gear.txt` has it.
    fn gear() -> [u64; 256] {
        let text = include_str!("../tests/gear.txt");
        let digits: String = text.split_whitespace().collect();
        std::array::from_fn(|at| u64::from_str_radix(&digits[16 * at..16 * at + 16], 16).unwrap())
    }

    /// [S5-9] where a content is cut.
    #[test]
    fn cuts_are_those_of_the_rule() {
        let gear = gear();
        for (seed, bytes) in [(1, 3_000_000), (2, 1_048_576), (3, 1_048_577), (4, 70_001)] {
            let content = content(seed, bytes);
            let mut at = 0;
            for cut in cuts(&content).into_iter().skip(1) {
                at += oracle_cut(&content[at..], &gear);
                assert_eq!(cut, at);
            }
            assert_eq!(at, bytes);
        }
        assert_eq!(first_cut(&vec![0; CHUNK_BYTES_MAX]), CHUNK_BYTES_MAX);
    }

    /// What a list may say is what cutting gives.
    #[test]
    fn a_list_is_checked() {
        let chunk = |bytes: usize| Chunk {
            digest: Digest([7; 32]),
            bytes: bytes as u32,
        };
        let (least, most) = (CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let size = 10 * most as u64;
        assert_eq!(check_chunks(&[], 5, size), Ok(5));
        let ends = check_chunks(&[chunk(least), chunk(most)], 5, size);
        assert_eq!(ends, Ok(5 + (least + most) as u64));
        assert_eq!(check_chunks(&[chunk(1)], size - 1, size), Ok(size));
        for (bytes, from) in [(0, 5), (0, size), (least - 1, 5), (most + 1, 5)] {
            let refused = check_chunks(&[chunk(bytes)], from, size);
            assert_eq!(refused, Err(ChunkError::Length(bytes as u32)));
        }
        for from in [size - 1, size, u64::MAX] {
            let refused = check_chunks(&[chunk(least)], from, size);
            assert_eq!(refused, Err(ChunkError::Beyond));
        }
        let many = vec![chunk(least); CHUNKS_MAX + 1];
        assert!(check_chunks(&many[1..], 0, u64::MAX).is_ok());
        let refused = check_chunks(&many, 0, u64::MAX);
        assert_eq!(refused, Err(ChunkError::Many(CHUNKS_MAX + 1)));
        assert!(is_full(CHUNKS_MAX, 0, 1) && is_full(1, 5, 5 + CHUNK_SPAN_BYTES));
        assert!(!is_full(CHUNKS_MAX - 1, 5, 4 + CHUNK_SPAN_BYTES));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// Bytes that were put in change the chunks around them only.
        #[test]
        fn an_edit_changes_the_chunks_around_it(seed: u64, at in 0..2_000_000_usize, more in 0..5000_usize) {
            let mut edited = content(seed, 2_000_000);
            let before = cuts(&edited);
            edited.splice(at..at, content(!seed, more));
            let after = cuts(&edited);
            let bounds = |cuts: &[usize], bytes: &[u8]| -> std::collections::HashSet<Vec<u8>> {
                cuts.windows(2).map(|two| bytes[two[0]..two[1]].to_vec()).collect()
            };
            let old = bounds(&before, &content(seed, 2_000_000));
            let fresh: usize = bounds(&after, &edited).difference(&old).map(Vec::len).sum();
            prop_assert!(fresh <= more + 4 * CHUNK_BYTES_MAX, "{fresh} bytes are new");
        }
    }
}
