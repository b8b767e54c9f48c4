//! Language: which of the viewer's two languages a text for people is in.
//!
//! Notes and names of things carry their wording in both beside their types, so that no variant
//! can be left without words. What records say themselves is never translated.

/// A language of the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Language {
    /// Japanese, the default.
    #[default]
    Japanese,
    /// English.
    English,
}

impl Language {
    /// The one of two wordings that is in this language.
    pub fn pick<T>(self, japanese: T, english: T) -> T {
        match self {
            Self::Japanese => japanese,
            Self::English => english,
        }
    }
}
