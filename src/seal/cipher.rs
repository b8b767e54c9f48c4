//! XChaCha20-Poly1305 with a nonce drawn for each use: nonce (24), ciphertext,
//! tag (16).

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::{KEY_BYTES, SealError};

/// Bytes of a nonce: enough to draw at random for as long as a key lives.
pub(super) const NONCE_BYTES: usize = 24;
/// Bytes of a tag.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes that sealing adds.
pub const SEALED_MORE_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// A cipher with its key, which is wiped when it goes.
pub(super) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Cipher {
        Cipher(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals `plain`, bound to `bound`, with a nonce that is used once.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        bound: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(SEALED_MORE_BYTES + plain.len());
        sealed.extend_from_slice(nonce);
        sealed.extend_from_slice(plain);
        let body = &mut sealed[NONCE_BYTES..];
        let tag = self
            .0
            .encrypt_inout_detached(&XNonce::from(*nonce), bound, body.into())
            .map_err(|_| SealError::Refused("it is too long"))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// What was sealed, if it was with this key and for `bound`.
    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, rest) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Forged)?;
        let (body, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(SealError::Forged)?;
        let mut plain = body.to_vec();
        self.0
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                bound,
                plain.as_mut_slice().into(),
                &(*tag).into(),
            )
            .map_err(|_| SealError::Forged)?;
        Ok(plain)
    }
}
