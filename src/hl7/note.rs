//! Notes: what a reader has to know about how a message was read.

use super::charset::EightBit;
use crate::language::Language;

/// Something that was read with a guess, or could not be read. Segments are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The file has no content.
    Empty,
    /// The file is longer than what is read of a message.
    TooLong {
        /// Size of the file in bytes.
        bytes: usize,
    },
    /// The first segment is no MSH: the standard delimiters were assumed.
    NoHeader,
    /// MSH-1 and MSH-2 name no usable delimiters: the standard ones were assumed.
    Delimiters,
    /// A line that is no segment; it stays as text.
    NotASegment {
        /// Which segment.
        segment: usize,
    },
    /// Bytes that no character set explains stand as U+FFFD.
    Undecodable {
        /// Which segment.
        segment: usize,
        /// How many places of it.
        places: usize,
    },
    /// User-defined characters, which only the sender's fonts can show.
    UserDefined {
        /// Which segment.
        segment: usize,
        /// How many.
        characters: usize,
    },
    /// Bytes beyond ISO-2022-JP, read by another encoding.
    EightBit {
        /// By which one.
        encoding: EightBit,
    },
    /// A run of two-byte characters was not closed before its segment ended.
    Unclosed {
        /// Which segment.
        segment: usize,
    },
    /// An escape sequence that names no character set known here.
    UnknownEscape {
        /// Which segment.
        segment: usize,
    },
}

impl Note {
    /// The note for a person to read.
    pub fn text(&self, language: Language) -> String {
        match language {
            Language::Japanese => self.japanese(),
            Language::English => self.english(),
        }
    }

    fn japanese(&self) -> String {
        match self {
            Self::Empty => "ファイルが空です".to_owned(),
            Self::TooLong { bytes } => {
                format!("ファイルが大きすぎるため解析していません（{bytes} バイト）")
            }
            Self::NoHeader => "MSH で始まっていません。標準の区切り文字で読んでいます".to_owned(),
            Self::Delimiters => {
                "MSH-1・MSH-2 の区切り文字が使えません。標準の区切り文字で読んでいます".to_owned()
            }
            Self::NotASegment { segment } => {
                format!("{segment} 行目はセグメントではありません。そのまま表示しています")
            }
            Self::Undecodable { segment, places } => {
                format!("{segment} 行目に読めない文字が {places} か所あります（\u{FFFD} で表示）")
            }
            Self::UserDefined {
                segment,
                characters,
            } => format!(
                "{segment} 行目に外字が {characters} 文字あります。正しく表示されないことがあります"
            ),
            Self::EightBit { encoding } => format!(
                "ISO-2022-JP ではない文字を {} として読んでいます",
                encoding.name()
            ),
            Self::Unclosed { segment } => {
                format!("{segment} 行目の漢字が閉じられていません")
            }
            Self::UnknownEscape { segment } => {
                format!("{segment} 行目に未知の文字集合の指示があります")
            }
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Empty => "the file is empty".to_owned(),
            Self::TooLong { bytes } => {
                format!("the file is too long to be read as a message ({bytes} bytes)")
            }
            Self::NoHeader => {
                "does not begin with MSH; read with the standard delimiters".to_owned()
            }
            Self::Delimiters => {
                "MSH-1 and MSH-2 name no usable delimiters; read with the standard ones".to_owned()
            }
            Self::NotASegment { segment } => {
                format!("line {segment} is no segment; it is shown as it is")
            }
            Self::Undecodable { segment, places } => {
                format!("line {segment} has {places} unreadable places (shown as \u{FFFD})")
            }
            Self::UserDefined {
                segment,
                characters,
            } => format!(
                "line {segment} has {characters} user-defined characters, which may look wrong"
            ),
            Self::EightBit { encoding } => format!(
                "characters that are not ISO-2022-JP were read as {}",
                encoding.name()
            ),
            Self::Unclosed { segment } => {
                format!("line {segment} leaves a run of kanji open")
            }
            Self::UnknownEscape { segment } => {
                format!("line {segment} names an unknown character set")
            }
        }
    }
}
