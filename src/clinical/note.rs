//! Notes: what a reader of a record has to know about it.

use super::cda::CdaError;
use crate::hl7;
use crate::language::Language;
use crate::ssmix::Anomaly;

/// Something about a record that is not as it should be. None of them hides anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// How the message was read.
    Reading(hl7::Note),
    /// The name does not belong where the file lies.
    Name(Anomaly),
    /// The record says by itself that it is of another patient. Blocks.
    OtherPatient {
        /// The ids inside.
        inside: Vec<String>,
    },
    /// The record does not say which patient it is of.
    NoPatient,
    /// The name, birth date or sex inside differs from the patient's basics.
    OtherPerson {
        /// Which of them: `PID-5`.
        place: &'static str,
        /// What this record says.
        inside: String,
        /// What the basics say.
        basics: String,
    },
    /// The message is of a type that does not belong to the kind: it is shown, never interpreted.
    MessageType {
        /// MSH-9.
        found: String,
        /// The kind's code.
        kind: &'static str,
    },
    /// The order number inside differs from the name's.
    OrderNumber {
        /// Inside.
        inside: String,
        /// In the name.
        named: String,
    },
    /// A time inside is of another year than the date folder.
    Year {
        /// Which field.
        place: String,
        /// What it says.
        inside: String,
        /// The folder's date.
        folder: String,
    },
    /// A field is empty, and the next has what belongs there.
    Shifted {
        /// Where something belongs.
        expected: &'static str,
        /// Where it is.
        found: &'static str,
        /// What it is.
        text: String,
    },
    /// A field that should be a time is none, or not quite.
    Time {
        /// Which field.
        place: String,
        /// What it says.
        text: String,
    },
    /// `""`: the sender says that the value is to be deleted.
    Deletion {
        /// Which field.
        place: String,
    },
    /// Segments without any content.
    Blank {
        /// How many.
        segments: usize,
    },
    /// More segments than are interpreted.
    TooManySegments {
        /// How many there are.
        segments: usize,
    },
    /// A kind that is not known here.
    UnknownKind,
    /// Another file of the same record is valid, too.
    TwoValid,
    /// The document can't be read as CDA.
    Document(CdaError),
    /// A part of a document had to be left away or changed to show it safely.
    DocumentPart {
        /// What it was.
        what: String,
    },
}

impl Note {
    /// The record must not be taken for this patient's without looking: a warning comes first.
    pub fn blocks(&self) -> bool {
        matches!(
            self,
            Self::OtherPatient { .. } | Self::Name(Anomaly::Patient { .. })
        )
    }

    /// The note for a person to read.
    pub fn text(&self, language: Language) -> String {
        match (self, language) {
            (Self::Reading(note), _) => note.text(language),
            (Self::Name(anomaly), Language::Japanese) => of_name(anomaly),
            (Self::Name(anomaly), Language::English) => anomaly.to_string(),
            (Self::Document(error), _) => error.text(language),
            (_, Language::Japanese) => self.japanese(),
            (_, Language::English) => self.english(),
        }
    }

    fn japanese(&self) -> String {
        match self {
            Self::Reading(_) | Self::Name(_) | Self::Document(_) => String::new(),
            Self::OtherPatient { inside } => format!(
                "内容の患者 ID（{}）が保存先の患者と違います。別の患者の記録かもしれません",
                inside.join("、")
            ),
            Self::NoPatient => "内容に患者 ID がありません".to_owned(),
            Self::OtherPerson {
                place,
                inside,
                basics,
            } => format!(
                "{place} が患者基本情報と違います（この記録: {inside}、基本情報: {basics}）"
            ),
            Self::MessageType { found, kind } => {
                format!("{kind} ではないメッセージ（{found}）です。解釈せずに表示しています")
            }
            Self::OrderNumber { inside, named } => {
                format!("オーダ番号が違います（内容: {inside}、ファイル名: {named}）")
            }
            Self::Year {
                place,
                inside,
                folder,
            } => format!("{place} の年（{inside}）が保存先の日付（{folder}）と違います"),
            Self::Shifted {
                expected,
                found,
                text,
            } => format!("{expected} が空で、{found} に「{text}」があります"),
            Self::Time { place, text } => format!("{place} の日時「{text}」が正しくありません"),
            Self::Deletion { place } => format!("{place} は値の削除（\"\"）を指示しています"),
            Self::Blank { segments } => format!("内容のないセグメントが {segments} 行あります"),
            Self::TooManySegments { segments } => {
                format!("セグメントが多すぎるため解釈していません（{segments} 行）")
            }
            Self::UnknownKind => "未知のデータ種別です".to_owned(),
            Self::TwoValid => {
                "同じ記録に有効なファイルが複数あります。最新のものを表示しています".to_owned()
            }
            Self::DocumentPart { what } => format!("文書の一部を表示できません（{what}）"),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Reading(_) | Self::Name(_) | Self::Document(_) => String::new(),
            Self::OtherPatient { inside } => format!(
                "the patient id inside ({}) is not the one of the folder: this may be another patient's record",
                inside.join(", ")
            ),
            Self::NoPatient => "no patient id inside".to_owned(),
            Self::OtherPerson {
                place,
                inside,
                basics,
            } => {
                format!("{place} differs from the patient's basics (here {inside}, there {basics})")
            }
            Self::MessageType { found, kind } => {
                format!("a message of type {found} is no {kind}; it is shown uninterpreted")
            }
            Self::OrderNumber { inside, named } => {
                format!("the order number inside is {inside}, in the name {named}")
            }
            Self::Year {
                place,
                inside,
                folder,
            } => format!("{place} is of another year ({inside}) than the folder ({folder})"),
            Self::Shifted {
                expected,
                found,
                text,
            } => format!("{expected} is empty, and {found} has \"{text}\""),
            Self::Time { place, text } => format!("{place} is not a proper time: \"{text}\""),
            Self::Deletion { place } => format!("{place} says that its value is deleted (\"\")"),
            Self::Blank { segments } => format!("{segments} segments without content"),
            Self::TooManySegments { segments } => {
                format!("too many segments to interpret ({segments})")
            }
            Self::UnknownKind => "an unknown data kind".to_owned(),
            Self::TwoValid => {
                "more than one file of this record is valid; the newest is shown".to_owned()
            }
            Self::DocumentPart { what } => {
                format!("a part of the document can't be shown ({what})")
            }
        }
    }
}

fn of_name(anomaly: &Anomaly) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match anomaly {
        Anomaly::Prefix { found, expected } => {
            format!(
                "患者フォルダの位置が違います（{}、正しくは {}）",
                text(found),
                text(expected)
            )
        }
        Anomaly::Patient { found, expected } => format!(
            "ファイル名の患者（{}）が保存先の患者（{}）と違います。別の患者の記録かもしれません",
            text(found),
            text(expected)
        ),
        Anomaly::Date { found, expected } => {
            format!(
                "ファイル名の日付（{}）がフォルダ（{}）と違います",
                text(found),
                text(expected)
            )
        }
        Anomaly::Kind { found, expected } => {
            format!(
                "ファイル名の種別（{}）がフォルダ（{}）と違います",
                text(found),
                text(expected)
            )
        }
        Anomaly::Timestamp { digits } => {
            format!("ファイル名の日時が 17 桁ではありません（{digits} 桁）")
        }
        Anomaly::Department => "ファイル名に診療科がありません".to_owned(),
    }
}
