//! Framing: kind (1 byte), length (4, little endian), payload. SPEC.md
//! section 4.
//!
//! The bound of a payload depends on its kind, and is checked on the header
//! alone, before memory is taken.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use crate::limits::{FRAME_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::message::DecodeError;
use crate::pack::{Pack, PackError};

/// Bytes of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 5;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// `Pull`.
    Pull,
    /// `Fetch`.
    Fetch,
    /// `Contents`.
    Contents,
    /// `Acknowledge`.
    Acknowledge,
    /// `Beyond`.
    Beyond,
    /// `Lists`.
    Lists,
    /// `Chunks`.
    Chunks,
    /// `Offer`.
    Offer,
    /// A pack of `BareVolume`.
    Bare,
    /// A pack of `LeafProof`.
    Proof,
    /// `ProofEnd`.
    ProofEnd,
    /// A pack of `ListAnswer`.
    Listed,
    /// A pack of `LeafDelta`, then a pack of contents.
    Bundle,
    /// A pack of ranges.
    Ranges,
    /// `ChunkList`.
    ChunkList,
    /// `Refused`.
    Refused,
}

const KINDS: [(FrameKind, u8); 16] = [
    (FrameKind::Pull, 0x01),
    (FrameKind::Fetch, 0x02),
    (FrameKind::Contents, 0x03),
    (FrameKind::Acknowledge, 0x04),
    (FrameKind::Beyond, 0x05),
    (FrameKind::Lists, 0x06),
    (FrameKind::Chunks, 0x08),
    (FrameKind::Offer, 0x10),
    (FrameKind::Proof, 0x11),
    (FrameKind::ProofEnd, 0x12),
    (FrameKind::Listed, 0x13),
    (FrameKind::Bare, 0x14),
    (FrameKind::Bundle, 0x20),
    (FrameKind::Ranges, 0x21),
    (FrameKind::ChunkList, 0x22),
    (FrameKind::Refused, 0x3f),
];

impl FrameKind {
    /// The kind as written.
    pub fn byte(self) -> u8 {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or(0, |(_, byte)| *byte)
    }

    /// Whether a replica sends it.
    pub fn is_request(self) -> bool {
        self.byte() < FrameKind::Offer.byte()
    }

    /// Bytes of payload, at most. SPEC.md [S4-2].
    pub fn payload_bytes_max(self) -> usize {
        match self {
            FrameKind::Proof
            | FrameKind::Listed
            | FrameKind::Bare
            | FrameKind::Bundle
            | FrameKind::Ranges => FRAME_BYTES_MAX,
            FrameKind::Fetch | FrameKind::Lists | FrameKind::Contents => REQUEST_BYTES_MAX,
            FrameKind::Pull => 64 * 1024,
            FrameKind::Chunks => 8192,
            FrameKind::ChunkList => 32 * 1024,
            _ => 4096,
        }
    }
}

/// Why bytes are no frame, or not the right one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An unknown kind.
    #[error("unknown frame kind {0:#04x}")]
    Kind(u8),
    /// Longer than its kind allows.
    #[error("a {kind:?} frame of {length} bytes is over its bound")]
    Long {
        /// What it says it is.
        kind: FrameKind,
        /// What it says its length is.
        length: u32,
    },
    /// The payload is no message of the kind.
    #[error("a {kind:?} frame does not decode: {error}")]
    Decode {
        /// What it says it is.
        kind: FrameKind,
        /// Why not.
        error: DecodeError,
    },
    /// The payload's pack is wrong.
    #[error("a {kind:?} frame has a wrong pack: {error}")]
    Pack {
        /// What it says it is.
        kind: FrameKind,
        /// Why.
        error: PackError,
    },
}

/// A frame's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What follows.
    pub kind: FrameKind,
    /// Bytes of payload.
    pub length: usize,
}

impl FrameHeader {
    /// Reads and checks a header.
    ///
    /// Errors: `FrameError::Kind`, `FrameError::Long`.
    pub fn parse(header: [u8; FRAME_HEADER_BYTES]) -> Result<FrameHeader, FrameError> {
        let [kind, length @ ..] = header;
        let kind = KINDS
            .iter()
            .find(|(_, byte)| *byte == kind)
            .map(|(kind, _)| *kind)
            .ok_or(FrameError::Kind(kind))?;
        let length = u32::from_le_bytes(length);
        if length as usize > kind.payload_bytes_max() {
            return Err(FrameError::Long { kind, length });
        }
        Ok(FrameHeader {
            kind,
            length: length as usize,
        })
    }
}

/// A frame: its kind and its payload, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// The payload.
    pub payload: Bytes,
}

impl Frame {
    /// A frame with one message.
    ///
    /// Errors: `FrameError::Decode` if it does not encode,
    /// `FrameError::Long` if it is over its bound.
    pub fn message<T: Serialize>(kind: FrameKind, message: &T) -> Result<Frame, FrameError> {
        let payload = postcard::to_stdvec(message).map_err(|error| FrameError::Decode {
            kind,
            error: error.into(),
        })?;
        Frame::bounded(kind, payload.into())
    }

    /// A frame with one pack.
    ///
    /// Errors: `FrameError::Long`.
    pub fn pack(kind: FrameKind, pack: &Pack) -> Result<Frame, FrameError> {
        let mut payload = BytesMut::with_capacity(pack.written_bytes());
        pack.write(&mut payload);
        Frame::bounded(kind, payload.freeze())
    }

    /// A bundle: length of the first pack (4), deltas, contents.
    ///
    /// Errors: `FrameError::Long`.
    pub fn bundle(deltas: &Pack, contents: &Pack) -> Result<Frame, FrameError> {
        let bytes = 4 + deltas.written_bytes() + contents.written_bytes();
        let mut payload = BytesMut::with_capacity(bytes);
        payload.put_u32_le(deltas.written_bytes() as u32);
        deltas.write(&mut payload);
        contents.write(&mut payload);
        Frame::bounded(FrameKind::Bundle, payload.freeze())
    }

    fn bounded(kind: FrameKind, payload: Bytes) -> Result<Frame, FrameError> {
        match payload.len() > kind.payload_bytes_max() {
            true => Err(FrameError::Long {
                kind,
                length: payload.len().min(u32::MAX as usize) as u32,
            }),
            false => Ok(Frame { kind, payload }),
        }
    }

    /// The header as written.
    pub fn header(&self) -> [u8; FRAME_HEADER_BYTES] {
        let [a, b, c, d] = (self.payload.len() as u32).to_le_bytes();
        [self.kind.byte(), a, b, c, d]
    }

    /// Decodes the payload as one message.
    ///
    /// Errors: `FrameError::Decode`.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, FrameError> {
        crate::message::decode(&self.payload).map_err(|error| self.wrong(error))
    }

    /// Decodes the payload as one pack.
    ///
    /// Errors: `FrameError::Pack`.
    pub fn unpack(&self) -> Result<Pack, FrameError> {
        Pack::parse(&self.payload).map_err(|error| self.wrong_pack(error))
    }

    /// Decodes the payload as a bundle: deltas and contents.
    ///
    /// Errors: `FrameError::Pack`.
    pub fn unpack_bundle(&self) -> Result<(Pack, Pack), FrameError> {
        let shape = || self.wrong_pack(PackError::Shape);
        let length = self.payload.get(..4).ok_or_else(shape)?;
        let length = u32::from_le_bytes(length.try_into().map_err(|_| shape())?) as usize;
        if length > self.payload.len() - 4 {
            return Err(shape());
        }
        let deltas = self.payload.slice(4..4 + length);
        let contents = self.payload.slice(4 + length..);
        Ok((
            Pack::parse(&deltas).map_err(|error| self.wrong_pack(error))?,
            Pack::parse(&contents).map_err(|error| self.wrong_pack(error))?,
        ))
    }

    /// The error for a payload that says something impossible.
    pub fn wrong(&self, error: DecodeError) -> FrameError {
        FrameError::Decode {
            kind: self.kind,
            error,
        }
    }

    /// The error for a payload whose pack says something impossible.
    pub fn wrong_pack(&self, error: PackError) -> FrameError {
        FrameError::Pack {
            kind: self.kind,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::PackBuilder;

    /// [S4-2] a length over the bound of its kind is refused on the header,
    /// [S4-3] and so is a kind that is not listed.
    #[test]
    fn long_frames_are_refused_on_the_header() {
        for (kind, byte) in KINDS {
            let over = (kind.payload_bytes_max() as u32 + 1).to_le_bytes();
            let [a, b, c, d] = over;
            assert_eq!(
                FrameHeader::parse([byte, a, b, c, d]),
                Err(FrameError::Long {
                    kind,
                    length: u32::from_le_bytes(over)
                })
            );
        }
        for byte in 0..=0xff {
            if KINDS.iter().all(|(_, kind)| *kind != byte) {
                assert_eq!(
                    FrameHeader::parse([byte, 0, 0, 0, 0]),
                    Err(FrameError::Kind(byte))
                );
            }
        }
    }

    #[test]
    fn a_bundle_round_trips_and_every_cut_is_refused() {
        let pack = |items: &[&[u8]]| {
            let mut builder = PackBuilder::default();
            for item in items {
                builder.push(item);
            }
            builder.finish(3).unwrap()
        };
        let (deltas, contents) = (pack(&[b"one"]), pack(&[b"two", b"three"]));
        let frame = Frame::bundle(&deltas, &contents).unwrap();
        assert_eq!(frame.unpack_bundle().unwrap(), (deltas, contents));
        for cut in 0..frame.payload.len() {
            let short = Frame {
                kind: FrameKind::Bundle,
                payload: frame.payload.slice(..cut),
            };
            if let Ok((one, two)) = short.unpack_bundle() {
                assert!(
                    one.unpack().is_err() || two.unpack().is_err(),
                    "cut at {cut}"
                );
            }
        }
    }
}
