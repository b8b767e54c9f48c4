//! Documents of the extended storage: kinds by their folder, files of a content folder.

use crate::language::Language;
use crate::ssmix::ExtendedKind;

/// Files of a content folder that are the document itself begin so.
const MAIN: &[u8] = b"main_document";

/// What a kind folder's name says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DocumentKind {
    /// The facility's own code and name.
    pub local: (String, String),
    /// The standard's code and name.
    pub standard: (String, String),
    /// The standard coding system, such as `LN`.
    pub system: String,
    /// What the standard code means here.
    pub document_type: DocumentType,
    /// A heading: standard name, else local name, else a code.
    pub title: String,
}

/// Documents that are known by their LOINC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentType {
    /// 11506-3
    ProgressNote,
    /// 34108-1
    OutpatientNote,
    /// 34112-3
    InpatientNote,
    /// 18842-5
    DischargeSummary,
    /// 57133-1
    ReferralLetter,
    /// 74465-6
    DisasterRecord,
    /// 8716-3
    Vitals,
    /// 調剤, which has no code of the standard.
    Dispensing,
    /// Any other.
    Other,
}

#[rustfmt::skip] // a table: one type a line
const TYPES: [(DocumentType, &str, &str, &str); 9] = [
    (DocumentType::ProgressNote, "11506-3", "経過記録", "progress note"),
    (DocumentType::OutpatientNote, "34108-1", "外来記録", "outpatient note"),
    (DocumentType::InpatientNote, "34112-3", "入院記録", "inpatient note"),
    (DocumentType::DischargeSummary, "18842-5", "退院時サマリー", "discharge summary"),
    (DocumentType::ReferralLetter, "57133-1", "紹介状", "referral letter"),
    (DocumentType::DisasterRecord, "74465-6", "災害診療記録（J-SPEED）", "disaster record (J-SPEED)"),
    (DocumentType::Vitals, "8716-3", "バイタルサイン", "vital signs"),
    (DocumentType::Dispensing, "", "調剤", "dispensing"),
    (DocumentType::Other, "", "その他の文書", "other document"),
];

impl DocumentKind {
    /// From the parts of a kind folder's name.
    pub fn of(kind: &ExtendedKind<'_>) -> Self {
        let text = |part| kind.text(part).trim().to_owned();
        let local = (text(kind.local_code), text(kind.local_name));
        let standard = (text(kind.standard_code), text(kind.standard_name));
        let known = TYPES
            .iter()
            .find(|row| !row.1.is_empty() && row.1 == standard.0);
        let document_type = match known {
            Some(row) => row.0,
            None if local.1.contains("調剤") || standard.1.contains("調剤") => {
                DocumentType::Dispensing
            }
            None => DocumentType::Other,
        };
        Self {
            local,
            standard,
            system: text(kind.standard_system),
            document_type,
            title: kind.title().into_owned(),
        }
    }
}

impl DocumentType {
    fn row(self) -> &'static (DocumentType, &'static str, &'static str, &'static str) {
        // Every type has its row; a test looks.
        TYPES.iter().find(|row| row.0 == self).unwrap_or(&TYPES[8])
    }

    /// The LOINC code; empty where there is none.
    pub fn loinc(self) -> &'static str {
        self.row().1
    }

    /// For people.
    pub fn text(self, language: Language) -> &'static str {
        language.pick(self.row().2, self.row().3)
    }
}

/// What a file is, by the ending of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// CDA or other XML.
    Xml,
    /// An HL7 message.
    Hl7,
    /// PDF.
    Pdf,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF.
    Gif,
    /// Plain text.
    Text,
    /// DICOM.
    Dicom,
    /// Anything else: only to be taken away, never shown.
    Other,
}

/// What a file is, by the ending of its name; a name without one is a message.
pub fn media_of(file_name: &[u8]) -> Media {
    let Some(dot) = file_name.iter().rposition(|byte| *byte == b'.') else {
        return Media::Hl7;
    };
    let ending = file_name[dot + 1..].to_ascii_lowercase();
    match ending.as_slice() {
        b"xml" | b"cda" => Media::Xml,
        b"hl7" => Media::Hl7,
        b"pdf" => Media::Pdf,
        b"png" => Media::Png,
        b"jpg" | b"jpeg" => Media::Jpeg,
        b"gif" => Media::Gif,
        b"txt" => Media::Text,
        b"dcm" => Media::Dicom,
        _ => Media::Other,
    }
}

impl Media {
    /// The media type to serve it under.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Xml | Self::Hl7 | Self::Text => "text/plain; charset=utf-8",
            Self::Pdf => "application/pdf",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Dicom | Self::Other => "application/octet-stream",
        }
    }

    /// A picture that browsers show.
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Gif)
    }
}

/// The files of one content folder, by their paths below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The document itself.
    pub main: Option<Vec<u8>>,
    /// Everything else, in order.
    pub attachments: Vec<Vec<u8>>,
}

impl Contents {
    /// Sorts the files of a content folder: the main document is called so, else it is the only
    /// XML or message, else the first one.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut files: Vec<Vec<u8>> = files.into_iter().map(<[u8]>::to_vec).collect();
        files.sort();
        let is_text = |file: &Vec<u8>| matches!(media_of(file), Media::Xml | Media::Hl7);
        let named = |file: &Vec<u8>| file.to_ascii_lowercase().starts_with(MAIN);
        let place = files
            .iter()
            .position(|file| named(file) && is_text(file))
            .or_else(|| files.iter().position(named))
            .or_else(|| files.iter().position(is_text));
        Self {
            main: place.map(|place| files.remove(place)),
            attachments: files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_row() {
        for row in &TYPES {
            assert_eq!(row.0.text(Language::Japanese), row.2);
        }
    }

    #[test]
    fn kinds_in_utf8_and_shift_jis() {
        let folder = "^退院サマリ^^18842-5^退院時サマリー^LN";
        for bytes in [folder.as_bytes(), &encoding_rs::SHIFT_JIS.encode(folder).0] {
            let kind = DocumentKind::of(&ExtendedKind::parse(bytes).unwrap());
            assert_eq!(kind.document_type, DocumentType::DischargeSummary);
            assert_eq!(
                (kind.title.as_str(), kind.local.1.as_str()),
                ("退院時サマリー", "退院サマリ")
            );
        }
        let kind = ExtendedKind::parse("DISP01^調剤実施^99L^^^".as_bytes()).unwrap();
        let kind = DocumentKind::of(&kind);
        assert_eq!(kind.document_type, DocumentType::Dispensing);
        assert_eq!(kind.title, "調剤実施");
    }

    #[test]
    fn the_main_document_is_found() {
        let contents = |files: &[&str]| Contents::of(files.iter().map(|file| file.as_bytes()));
        let found = contents(&["image_001.png", "main_document.xml", "attachment_001.pdf"]);
        assert_eq!(found.main.as_deref(), Some(&b"main_document.xml"[..]));
        assert_eq!(found.attachments.len(), 2);
        assert_eq!(
            contents(&["a.pdf", "b.xml"]).main.as_deref(),
            Some(&b"b.xml"[..])
        );
        assert_eq!(contents(&["a.pdf"]).main, None);
        assert_eq!(media_of(b"A.PDF"), Media::Pdf);
        assert_eq!(media_of(b"a.svg"), Media::Other);
    }
}
