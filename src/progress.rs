//! Progress of long work, told to a monitor that the caller passes in.
//!
//! The library never prints; the command line draws what it hears here.

/// Hears how far a piece of work is.
pub trait Monitor: Send + Sync {
    /// A stage begins; `total` items are expected if known.
    fn stage(&self, name: &str, total: Option<u64>);
    /// `items` more of the current stage are done.
    fn advance(&self, items: u64);
    /// How the links stand that it goes by, in one line.
    fn links(&self, text: &str);
    /// Something a person should read.
    fn note(&self, text: &str);
}

/// Hears nothing.
pub struct Silent;

impl Monitor for Silent {
    fn stage(&self, _name: &str, _total: Option<u64>) {}
    fn advance(&self, _items: u64) {}
    fn links(&self, _text: &str) {}
    fn note(&self, _text: &str) {}
}
