//! What a person remembers, or a service is given, to open a store.

use std::fmt;

use zeroize::Zeroizing;

use super::SealError;

/// A passphrase: bytes, at least one. They are wiped when it goes, and never
/// shown.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// The content of a passphrase file: everything but one line feed at its
    /// end.
    ///
    /// Errors: `SealError::Empty`.
    pub fn of_file(content: Vec<u8>) -> Result<Passphrase, SealError> {
        let mut bytes = Zeroizing::new(content);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        match bytes.is_empty() {
            true => Err(SealError::Empty),
            false => Ok(Passphrase(bytes)),
        }
    }

    /// Bytes as they are.
    ///
    /// Errors: `SealError::Empty`.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Passphrase, SealError> {
        match bytes.is_empty() {
            true => Err(SealError::Empty),
            false => Ok(Passphrase(Zeroizing::new(bytes))),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Passphrase {
        Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// The bytes, to be handed to the process that has the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
