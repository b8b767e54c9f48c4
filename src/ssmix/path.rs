//! Paths: where a record lies, built from its parts.
//!
//! Components are joined by `/`; nothing is escaped, so a part with `/` inside would make a
//! deeper path. [`super::RecordName::parse`] never yields such a part.

use super::kind::ExtendedKind;
use super::name::RecordName;

/// What stands for a prefix folder that a short id leaves without characters.
const NO_PREFIX: &[u8] = b"-";

/// The patient directory below a volume's root: `<id[0:3]>/<id[3:6]>/<id>`, counted in bytes.
///
/// Ids shorter than six bytes *(ours; the guideline pads them to full width)*: the second folder
/// is what remains after three bytes (`12345` is `123/45/12345`), and `-` when nothing remains
/// (`12` is `12/-/12`).
pub fn patient_directory(patient: &[u8]) -> Vec<u8> {
    let first = &patient[..patient.len().min(3)];
    let second = &patient[first.len()..patient.len().min(6)];
    let second = if second.is_empty() { NO_PREFIX } else { second };
    [first, second, patient].join(&b'/')
}

/// Object path of a standard record: `date/kind/name`.
pub fn standard_path(name: &RecordName<'_>) -> Vec<u8> {
    [name.date, name.kind, &name.to_bytes()].join(&b'/')
}

/// Object path of a file of an extended record: `date/kind folder/content folder/document`.
pub fn extended_path(
    kind: &ExtendedKind<'_>,
    content: &RecordName<'_>,
    document: &[u8],
) -> Vec<u8> {
    [
        content.date,
        &kind.to_bytes(),
        &content.to_bytes(),
        document,
    ]
    .join(&b'/')
}

/// Path below the volume's root: the patient's directory and an object path in it.
pub fn volume_path(patient: &[u8], object_path: &[u8]) -> Vec<u8> {
    [&patient_directory(patient), object_path].join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssmix::{Object, classify};

    #[test]
    fn patient_directories() {
        for (patient, directory) in [
            ("9999013", "999/901/9999013"),
            ("0001000052", "000/100/0001000052"),
            ("123456", "123/456/123456"),
            ("12345", "123/45/12345"),
            ("123", "123/-/123"),
            ("12", "12/-/12"),
        ] {
            assert_eq!(patient_directory(patient.as_bytes()), directory.as_bytes());
        }
    }

    #[test]
    fn built_paths_classify_as_what_they_were_built_from() {
        let name = RecordName::parse(b"12_-_ADT-00_1_20110701224603984_-_1").unwrap();
        let path = standard_path(&name);
        assert_eq!(
            classify(&path),
            Object::Standard {
                date: b"-",
                kind: b"ADT-00",
                name
            }
        );
        assert_eq!(
            volume_path(name.patient, &path),
            [b"12/-/12/", &path[..]].concat()
        );
        let kind = ExtendedKind::parse(b"a^b^c^^^").unwrap();
        let path = extended_path(&kind, &name, b"image/1.png");
        assert_eq!(
            classify(&path),
            Object::Extended {
                date: b"-",
                kind,
                content: name,
                document: b"image/1.png"
            }
        );
    }
}
