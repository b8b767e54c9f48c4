//! Packs: several byte strings compressed as one, SPEC.md section 4.
//!
//! The form in which contents and manifests travel in a bundle and rest in a
//! block: what a source compressed once, a replica stores as it came. A pack
//! is decompressed only into the space that it declared, after that was
//! compared with the bound.

use bytes::{BufMut, Bytes, BytesMut};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::find_frame_compressed_size;

use crate::limits::{PACK_ITEMS_MAX, PACK_RAW_BYTES_MAX, ZSTD_WINDOW_BYTES_MAX};

/// How a pack's bytes are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    Stored,
    /// One zstd frame.
    Zstd,
}

impl Codec {
    /// The codec as written.
    pub const fn byte(self) -> u8 {
        match self {
            Codec::Stored => 0,
            Codec::Zstd => 1,
        }
    }

    /// The codec that this byte stands for.
    pub const fn from_byte(byte: u8) -> Option<Codec> {
        match byte {
            0 => Some(Codec::Stored),
            1 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// Why bytes are no pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Shorter than its own header, or lengths that do not add up.
    #[error("a pack is cut short or its lengths do not add up")]
    Shape,
    /// An unknown codec.
    #[error("unknown codec {0}")]
    Codec(u8),
    /// Declares more than is allowed, before anything was taken for it.
    #[error("a pack declares {0} bytes, allowed are {PACK_RAW_BYTES_MAX}")]
    Large(u64),
    /// The zstd frame is damaged, too wide, or longer or shorter than declared.
    #[error("a pack does not decompress to the {declared} bytes it declares")]
    Compression {
        /// Bytes that the header promised.
        declared: u32,
    },
    /// zstd could not compress.
    #[error("zstd failed to compress")]
    Compress,
}

/// Byte strings, compressed: codec, declared size, coded bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// How `data` is coded.
    pub codec: Codec,
    /// Bytes after decoding.
    pub raw_bytes: u32,
    /// The coded bytes.
    pub data: Bytes,
}

/// Bytes of a pack's header: codec (1), raw size (4).
pub const PACK_HEADER_BYTES: usize = 5;

impl Pack {
    /// Reads a pack that fills `bytes`.
    ///
    /// Errors: `PackError` on a wrong header; contents are looked at by
    /// `unpack`.
    pub fn parse(bytes: &Bytes) -> Result<Pack, PackError> {
        let Some((&codec, rest)) = bytes.split_first() else {
            return Err(PackError::Shape);
        };
        let raw_bytes = take_u32(rest, 0).ok_or(PackError::Shape)?;
        Pack::from_parts(codec, raw_bytes, bytes.slice(PACK_HEADER_BYTES..))
    }

    /// A pack whose header lies elsewhere (a block's).
    ///
    /// Errors: `PackError::Codec`, `PackError::Large`.
    pub fn from_parts(codec: u8, raw_bytes: u32, data: Bytes) -> Result<Pack, PackError> {
        let codec = Pack::check_parts(codec, raw_bytes, data.len() as u64)?;
        Ok(Pack {
            codec,
            raw_bytes,
            data,
        })
    }

    /// Whether codec and sizes are those of a pack, before its bytes are there.
    ///
    /// Errors: `PackError::Codec`, `PackError::Large`, `PackError::Shape`.
    pub fn check_parts(codec: u8, raw_bytes: u32, data_bytes: u64) -> Result<Codec, PackError> {
        let codec = Codec::from_byte(codec).ok_or(PackError::Codec(codec))?;
        if raw_bytes as usize > PACK_RAW_BYTES_MAX {
            return Err(PackError::Large(u64::from(raw_bytes)));
        }
        // What was not made smaller is stored as it is; so coded bytes are
        // never more than decoded ones.
        if data_bytes > u64::from(raw_bytes) {
            return Err(PackError::Shape);
        }
        Ok(codec)
    }

    /// Appends header and data.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u8(self.codec.byte());
        out.put_u32_le(self.raw_bytes);
        out.extend_from_slice(&self.data);
    }

    /// Bytes that `write` appends.
    pub fn written_bytes(&self) -> usize {
        PACK_HEADER_BYTES + self.data.len()
    }

    /// Decodes, bounded by the declared size.
    ///
    /// Errors: `PackError::Compression`, `PackError::Shape`.
    pub fn unpack(&self) -> Result<Items, PackError> {
        let declared = self.raw_bytes;
        let raw = match self.codec {
            Codec::Stored => self.data.clone(),
            Codec::Zstd => Bytes::from(decompress(&self.data, declared as usize)?),
        };
        if raw.len() != declared as usize {
            return Err(PackError::Compression { declared });
        }
        Items::parse(raw)
    }
}

fn decompress(data: &[u8], declared: usize) -> Result<Vec<u8>, PackError> {
    let wrong = PackError::Compression {
        declared: declared as u32,
    };
    // Decoding in one go takes no window, and would go on with a second frame.
    if find_frame_compressed_size(data) != Ok(data.len())
        || window_bytes(data).is_none_or(|bytes| bytes > ZSTD_WINDOW_BYTES_MAX)
    {
        return Err(wrong);
    }
    let decoded = Decompressor::new().and_then(|mut zstd| zstd.decompress(data, declared));
    decoded.map_err(|_| wrong)
}

/// The window that a zstd frame declares, in bytes; 0: its whole content is
/// the window. None if it is no frame. RFC 8878, 3.1.1.1.
fn window_bytes(frame: &[u8]) -> Option<u64> {
    let (descriptor, window) = match frame {
        [0x28, 0xb5, 0x2f, 0xfd, descriptor, window, ..] => (*descriptor, u64::from(*window)),
        _ => return None,
    };
    if descriptor & 0x20 != 0 {
        return Some(0);
    }
    let base = 1 << (10 + (window >> 3));
    Some(base + base / 8 * (window & 7))
}

/// The items of a decoded pack.
#[derive(Debug, Clone)]
pub struct Items {
    raw: Bytes,
    /// Where each item ends in `raw`.
    ends: Vec<u32>,
    start: u32,
}

impl Items {
    /// Reads count (4), lengths (4 each), items.
    fn parse(raw: Bytes) -> Result<Items, PackError> {
        let count = take_u32(&raw, 0).ok_or(PackError::Shape)? as usize;
        if count > PACK_ITEMS_MAX || raw.len() < 4 + 4 * count {
            return Err(PackError::Shape);
        }
        let start = (4 + 4 * count) as u32;
        let mut ends = Vec::with_capacity(count);
        let mut end = start;
        for at in 0..count {
            let length = take_u32(&raw, 4 + 4 * at).ok_or(PackError::Shape)?;
            end = end.checked_add(length).ok_or(PackError::Shape)?;
            ends.push(end);
        }
        if end as usize != raw.len() {
            return Err(PackError::Shape);
        }
        Ok(Items { raw, ends, start })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of the decoded body: count, lengths, items.
    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// The item at `index`.
    pub fn get(&self, index: u32) -> Option<&[u8]> {
        let index = index as usize;
        let end = *self.ends.get(index)?;
        let start = match index {
            0 => self.start,
            _ => *self.ends.get(index - 1)?,
        };
        self.raw.get(start as usize..end as usize)
    }

    /// All in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).filter_map(|index| self.get(index))
    }
}

/// Collects items for a pack.
#[derive(Debug, Default)]
pub struct PackBuilder {
    lengths: Vec<u32>,
    body: Vec<u8>,
}

impl PackBuilder {
    /// Appends an item and says its index.
    pub fn push(&mut self, item: &[u8]) -> u32 {
        self.body.extend_from_slice(item);
        self.lengths.push(item.len() as u32);
        self.lengths.len() as u32 - 1
    }

    /// Bytes before compression, header included.
    pub fn raw_bytes(&self) -> usize {
        4 + 4 * self.lengths.len() + self.body.len()
    }

    /// Whether an item of `bytes` may still be pushed within the bounds.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.raw_bytes() + 4 + bytes <= PACK_RAW_BYTES_MAX && self.lengths.len() < PACK_ITEMS_MAX
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Compresses at zstd `level`; stored as it is where that is not smaller.
    ///
    /// Errors: `PackError::Large` when over the bound, `PackError::Compress`.
    pub fn finish(self, level: i32) -> Result<Pack, PackError> {
        let mut raw = Vec::with_capacity(self.raw_bytes());
        raw.extend_from_slice(&(self.lengths.len() as u32).to_le_bytes());
        for length in &self.lengths {
            raw.extend_from_slice(&length.to_le_bytes());
        }
        raw.extend_from_slice(&self.body);
        if raw.len() > PACK_RAW_BYTES_MAX || self.lengths.len() > PACK_ITEMS_MAX {
            return Err(PackError::Large(raw.len() as u64));
        }
        let raw_bytes = raw.len() as u32;
        let mut compressor = Compressor::new(level).map_err(|_| PackError::Compress)?;
        let compressed = compressor.compress(&raw).map_err(|_| PackError::Compress)?;
        let (codec, data) = match compressed.len() < raw.len() {
            true => (Codec::Zstd, Bytes::from(compressed)),
            false => (Codec::Stored, Bytes::from(raw)),
        };
        Ok(Pack {
            codec,
            raw_bytes,
            data,
        })
    }
}

fn take_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(items: &[Vec<u8>]) -> Pack {
        let mut builder = PackBuilder::default();
        for item in items {
            builder.push(item);
        }
        builder.finish(3).unwrap()
    }

    /// [S4-5] a pack that declares more than the bound, or decompresses to
    /// anything but what it declares, is refused.
    #[test]
    fn a_bomb_is_refused_by_its_declared_size() {
        let zeros = vec![0_u8; 64 * 1024 * 1024];
        let bomb = Bytes::from(zstd::bulk::compress(&zeros, 19).unwrap());
        assert_eq!(
            Pack::from_parts(1, 10, bomb.clone()).unwrap_err(),
            PackError::Shape
        );
        for declared in [1024 * 1024, PACK_RAW_BYTES_MAX as u32] {
            let pack = Pack::from_parts(1, declared, bomb.clone()).unwrap();
            assert_eq!(
                pack.unpack().unwrap_err(),
                PackError::Compression { declared }
            );
        }
        assert_eq!(
            Pack::from_parts(1, u32::MAX, bomb).unwrap_err(),
            PackError::Large(u64::from(u32::MAX))
        );
    }

    /// [S4-8] one frame, with a window that is not too wide.
    #[test]
    fn two_frames_or_a_wide_window_are_refused() {
        use zstd::zstd_safe::CParameter;
        let body = [b"\x01\0\0\0\xf8\xff\x0f\0".as_slice(), &vec![7; 0xf_fff8]].concat();
        let declared = body.len() as u32;
        let unpack = |data: Vec<u8>| Pack::from_parts(1, declared, data.into()).unwrap().unpack();
        let refused = PackError::Compression { declared };
        // A stream whose length is not said at its begin declares a window.
        let with_window = |log| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            encoder.set_parameter(CParameter::WindowLog(log)).unwrap();
            std::io::Write::write_all(&mut encoder, &body).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(unpack(with_window(23)).unwrap().len(), 1);
        assert_eq!(unpack(with_window(24)).unwrap_err(), refused);
        let half = body.len() / 2;
        let frames =
            [&body[..half], &body[half..]].map(|part| zstd::bulk::compress(part, 3).unwrap());
        assert_eq!(unpack(frames.concat()).unwrap_err(), refused);
        let empty = zstd::bulk::compress(b"", 3).unwrap();
        let whole = zstd::bulk::compress(&body, 3).unwrap();
        assert_eq!(unpack(whole.clone()).unwrap().len(), 1);
        assert_eq!(unpack([&whole[..], &empty].concat()).unwrap_err(), refused);
        let skipped = [&b"\x50\x2a\x4d\x18\x01\0\0\0x"[..], &whole].concat();
        assert_eq!(unpack(skipped).unwrap_err(), refused);
        for cut in 0..whole.len() {
            assert_eq!(unpack(whole[..cut].to_vec()).unwrap_err(), refused);
        }
    }

    /// [S4-6] count, lengths and items fill the body exactly, and the count
    /// has a bound.
    #[test]
    fn a_body_whose_lengths_do_not_add_up_is_refused() {
        let unpack = |body: &[u8]| {
            let body = Bytes::copy_from_slice(body);
            let pack = Pack::from_parts(0, body.len() as u32, body).unwrap();
            pack.unpack().map(|items| items.len())
        };
        let whole = b"\x02\0\0\0\x03\0\0\0\0\0\0\0abc";
        assert_eq!(unpack(whole), Ok(2));
        for cut in 0..whole.len() {
            assert_eq!(unpack(&whole[..cut]), Err(PackError::Shape), "cut at {cut}");
        }
        assert_eq!(unpack(&[whole, &b"d"[..]].concat()), Err(PackError::Shape));
        for at in 0..8 {
            let mut bad = *whole;
            bad[at] ^= 1;
            assert_eq!(unpack(&bad), Err(PackError::Shape), "byte {at}");
        }
        let most = PACK_ITEMS_MAX as u32;
        let mut many = vec![0; 4 + 4 * (PACK_ITEMS_MAX - 1)];
        many[..4].copy_from_slice(&(most - 1).to_le_bytes());
        assert_eq!(unpack(&many), Ok(PACK_ITEMS_MAX - 1));
        // A count over the bound does not even fit into a pack's bytes.
        many[..4].copy_from_slice(&(most + 1).to_le_bytes());
        assert_eq!(unpack(&many), Err(PackError::Shape));
    }

    /// [S4-7] what does not become smaller is stored as it is, and coded bytes
    /// over the declared size are refused.
    #[test]
    fn a_coded_body_is_never_longer_than_the_body() {
        let noise = blake3::hash(b"noise").as_bytes().to_vec();
        let packed = pack(&[noise]);
        assert_eq!(packed.codec, Codec::Stored);
        assert_eq!(packed.data.len(), packed.raw_bytes as usize);
        let packed = pack(&[vec![7; 1000]]);
        assert_eq!(packed.codec, Codec::Zstd);
        assert!(packed.data.len() < packed.raw_bytes as usize);
        for codec in 0..2 {
            let data = Bytes::from(vec![0; 11]);
            let refused = Pack::from_parts(codec, 10, data).unwrap_err();
            assert_eq!(refused, PackError::Shape);
        }
    }

    proptest! {
        #[test]
        fn round_trip(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40)) {
            let packed = pack(&items);
            let mut wire = BytesMut::new();
            packed.write(&mut wire);
            prop_assert_eq!(wire.len(), packed.written_bytes());
            let back = Pack::parse(&wire.freeze()).unwrap().unpack().unwrap();
            prop_assert_eq!(back.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), items);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(pack) = Pack::parse(&Bytes::from(bytes)) {
                let _ = pack.unpack();
            }
        }
    }
}
