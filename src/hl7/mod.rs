//! HL7 v2 messages as SS-MIX2 storages hold them: bytes in, a message out.
//!
//! Reading never fails and drops nothing: what is no segment stays as text, what no character set
//! explains becomes U+FFFD, and a [`Note`] says so. The order is the one that DOMAIN.md demands,
//! because the second byte of a kanji can be a delimiter: segments are split on bytes, decoded one
//! by one with fresh state, and only then cut into fields. What fields mean is left to `clinical`.

#![deny(clippy::indexing_slicing)]

mod charset;
mod delimiters;
mod message;
mod note;
mod value;

pub use charset::EightBit;
pub use delimiters::Delimiters;
pub use message::{BYTES_MAX, Message, Segment};
pub use note::Note;
pub use value::Value;
