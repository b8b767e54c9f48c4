//! BLAKE3 digests, separated by what they cover.
//!
//! The digest of a record's content is plain BLAKE3, so that any `b3sum` can
//! check it. Every other digest is derived under a context of its own
//! (SPEC.md, section 5), so that bytes of one kind never pass for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A 32-byte BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

/// What a derived digest covers; each has a BLAKE3 derive-key context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A page of a manifest.
    Manifest,
    /// A page of an inner node of the tree.
    Node,
    /// The name of an item, where a page may end after it.
    Boundary,
    /// A signed snapshot, as received.
    Snapshot,
    /// The stored payload of a block of a segment.
    Block,
    /// The header of a block or of a segment.
    Header,
    /// A small record beside the segments.
    Record,
}

impl Domain {
    /// The derive-key context, SPEC.md [S5-2].
    pub const fn context(self) -> &'static str {
        match self {
            Domain::Manifest => "hikae 1 manifest page",
            Domain::Node => "hikae 1 node page",
            Domain::Boundary => "hikae 1 page boundary",
            Domain::Snapshot => "hikae 1 snapshot",
            Domain::Block => "hikae 1 block",
            Domain::Header => "hikae 1 header",
            Domain::Record => "hikae 1 record",
        }
    }

    /// A hasher that has this domain's context.
    pub fn hasher(self) -> blake3::Hasher {
        blake3::Hasher::new_derive_key(self.context())
    }

    /// The digest of `bytes` in this domain.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.into()
    }
}

impl Digest {
    /// The digest of a record's content: plain BLAKE3.
    pub fn of_content(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<blake3::Hasher> for Digest {
    fn from(hasher: blake3::Hasher) -> Digest {
        Digest(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct NotHex;

/// Reads 32 bytes written as 64 hexadecimal digits.
///
/// Errors: `NotHex` for any other length or character.
pub fn parse_hex(text: &str) -> Result<[u8; 32], NotHex> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(NotHex);
    }
    let mut bytes = [0_u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| NotHex)?;
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotHex);
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| NotHex)?;
    }
    Ok(bytes)
}

impl FromStr for Digest {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Digest, NotHex> {
        parse_hex(text).map(Digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Domain; 7] = [
        Domain::Manifest,
        Domain::Node,
        Domain::Boundary,
        Domain::Snapshot,
        Domain::Block,
        Domain::Header,
        Domain::Record,
    ];

    /// [S5-1] [S5-2] the worked digests of SPEC.md section 5.1.
    #[test]
    fn the_digests_of_abc() {
        let content = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(Digest::of_content(b"abc").to_string(), content);
        let none = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of_content(b"").to_string(), none);
        assert_eq!(
            ALL.map(|domain| domain.digest(b"abc").to_string()),
            [
                "b12c613da82fbc1f3795206b28271f5d83052078f7400202630e0f89f1a4859f",
                "9777bcbf5bafc3aafc24bb780ffad1ae415f90281bb410ed4d5665a7b48aadb6",
                "754ff5c32afe1d72e69ea8e231a31f71ff119d25916313b9b53dfbb41a598f01",
                "2c63da70ca6b6edb595096e1225d5a71aab7fdb51d096be406bc5334423be9d4",
                "d72d4282c5bbdadeb0ef85edd3b2200e74dc34e5753fb48abc575049543e193c",
                "81a095915a40b58405aeb2dc7676f5b2f7ebd0b0d4be87de6573b3c596d8617b",
                "2fbc04f36af6bf716a7d20be66660671eb62ab34f83364e61ac7e33cc3fd9919",
            ]
        );
    }

    #[test]
    fn domains_differ() {
        let all = ALL;
        let mut digests: Vec<Digest> = all.iter().map(|domain| domain.digest(b"x")).collect();
        digests.push(Digest::of_content(b"x"));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), all.len() + 1);
    }

    #[test]
    fn hex_round_trip() {
        let digest = Digest::of_content(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("+0".repeat(32).parse::<Digest>(), Err(NotHex));
        assert_eq!("00".parse::<Digest>(), Err(NotHex));
    }
}
