//! Storage grammar of SS-MIX2: bytes of a path on one side, typed names on the other.
//!
//! Names are bytes, never text: nothing here decodes for a decision, and everything that parses
//! formats back to the same bytes. The grammar is total: a path that does not follow it is an
//! [`Object::Stray`] with a reason, not an error. Reading directories, and what a name means for
//! history or publication, is left to others.
//!
//! Source: JAMI guideline 1.2g as told in DOMAIN.md, "Standardized storage", "Extended storage".

mod anomaly;
mod kind;
mod name;
mod object;
mod path;

pub use anomaly::{Anomaly, anomalies};
pub use kind::{ExtendedKind, KindEncoding, KindError};
pub use name::{Flag, NameError, RecordKey, RecordName};
pub use object::{Object, StrayReason, classify, record_group, record_of, without_flag};
pub use path::{extended_path, patient_directory, standard_path, volume_path};
