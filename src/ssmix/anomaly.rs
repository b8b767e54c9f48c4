//! Anomalies that names alone show: a record that lies where its name does not belong.
//!
//! The path owns the identity (DOMAIN.md): these are marks for people, never a reason to move or
//! drop a file. What messages say about themselves is left to `hl7`.

use thiserror::Error;

use super::kind::ExtendedKind;
use super::name::RecordName;
use super::object::{Object, classify};
use super::path::patient_directory;

/// One disagreement between a record's name and the folders that it lies in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Anomaly {
    /// The patient directory does not lie below its own prefix folders.
    #[error("patient directory {} should be {}", .found.escape_ascii(), .expected.escape_ascii())]
    Prefix {
        /// The directory as it is.
        found: Vec<u8>,
        /// Where the last component belongs.
        expected: Vec<u8>,
    },
    /// The name is of another patient.
    #[error("the name is of patient {}, the directory of {}", .found.escape_ascii(), .expected.escape_ascii())]
    Patient {
        /// Patient in the name.
        found: Vec<u8>,
        /// Patient of the directory.
        expected: Vec<u8>,
    },
    /// The name is of another date than the date folder.
    #[error("the name is of date {}, the folder of {}", .found.escape_ascii(), .expected.escape_ascii())]
    Date {
        /// Date in the name.
        found: Vec<u8>,
        /// The date folder.
        expected: Vec<u8>,
    },
    /// The name is of another kind than the kind folder.
    #[error("the name is of kind {}, the folder of {}", .found.escape_ascii(), .expected.escape_ascii())]
    Kind {
        /// Kind in the name.
        found: Vec<u8>,
        /// The kind folder.
        expected: Vec<u8>,
    },
    /// The timestamp has not the 17 digits of the guideline; `digits` are 14 or 15.
    #[error("the timestamp has {digits} digits instead of 17")]
    Timestamp {
        /// Digits found.
        digits: usize,
    },
    /// The name has six fields: no department.
    #[error("the name has no department")]
    Department,
}

/// The anomalies of one file's names; none for a stray file, which says what it is by itself.
///
/// `patient_directory` is the leaf's path below the volume's root (`999/901/9999013`),
/// `object_path` the file's path below that.
pub fn anomalies(patient_directory: &[u8], object_path: &[u8]) -> Vec<Anomaly> {
    match classify(object_path) {
        Object::Standard { date, kind, name } => {
            let mut found = of_name(patient_directory, date, &name);
            if name.kind != kind {
                found.push(Anomaly::Kind {
                    found: name.kind.to_vec(),
                    expected: kind.to_vec(),
                });
            }
            found
        }
        Object::Extended {
            date,
            kind,
            content,
            ..
        } => {
            let mut found = of_name(patient_directory, date, &content);
            if !kind_agrees(&kind, content.kind) {
                found.push(Anomaly::Kind {
                    found: content.kind.to_vec(),
                    expected: kind.to_bytes(),
                });
            }
            found
        }
        Object::Stray { .. } => Vec::new(),
    }
}

fn of_name(directory: &[u8], date: &[u8], name: &RecordName<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let patient = directory.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let expected = patient_directory(patient);
    if directory != expected {
        found.push(Anomaly::Prefix {
            found: directory.to_vec(),
            expected,
        });
    }
    if name.patient != patient {
        found.push(Anomaly::Patient {
            found: name.patient.to_vec(),
            expected: patient.to_vec(),
        });
    }
    if name.date != date {
        found.push(Anomaly::Date {
            found: name.date.to_vec(),
            expected: date.to_vec(),
        });
    }
    if name.timestamp.len() != 17 {
        found.push(Anomaly::Timestamp {
            digits: name.timestamp.len(),
        });
    }
    if name.department.is_none() {
        found.push(Anomaly::Department);
    }
    found
}

/// A content folder names its kind by a code, by `code^system`, or by the whole folder's name.
fn kind_agrees(kind: &ExtendedKind<'_>, named: &[u8]) -> bool {
    let codes = [
        (kind.standard_code, kind.standard_system),
        (kind.local_code, kind.local_system),
    ];
    named == kind.to_bytes()
        || codes.iter().any(|(code, system)| {
            !code.is_empty() && (named == *code || named == [*code, *system].join(&b'^'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &[u8] = b"000/000/0000001";

    fn found(path: &str) -> Vec<Anomaly> {
        anomalies(LEAF, path.as_bytes())
    }

    #[test]
    fn a_name_in_its_place_has_none() {
        assert_eq!(
            found("20000401/OMP-11/0000001_20000401_OMP-11_123456789012345_20110701113813225_01_1"),
            []
        );
        assert_eq!(
            found("-/ADT-00/0000001_-_ADT-00_999999999999999_20111220224447339_-_1"),
            []
        );
        assert_eq!(found("20000401/Thumbs.db"), []);
    }

    #[test]
    fn the_file_named_for_another_patient_date_and_kind() {
        let path = "20000401/ADT-31/9999013_20110630_OMP-11_123456789012345_20110701113813225_01_1";
        assert_eq!(
            found(path),
            [
                Anomaly::Patient {
                    found: b"9999013".to_vec(),
                    expected: b"0000001".to_vec()
                },
                Anomaly::Date {
                    found: b"20110630".to_vec(),
                    expected: b"20000401".to_vec()
                },
                Anomaly::Kind {
                    found: b"OMP-11".to_vec(),
                    expected: b"ADT-31".to_vec()
                },
            ]
        );
    }

    #[test]
    fn short_timestamps_and_missing_departments_are_told() {
        let path = "20000401/OMP-11/0000001_20000401_OMP-11_123456789012345_20110701113813_01_1";
        assert_eq!(found(path), [Anomaly::Timestamp { digits: 14 }]);
        let path = "20000401/^退院サマリ^^18842-5^退院時サマリー^LN/0000001_20000401_18842-5_1.2.3_201107011138132_1/a.xml";
        assert_eq!(
            found(path),
            [Anomaly::Timestamp { digits: 15 }, Anomaly::Department]
        );
    }

    #[test]
    fn a_patient_directory_below_foreign_prefixes() {
        let path = b"-/ADT-00/0000001_-_ADT-00_999999999999999_20111220224447339_-_1";
        let anomaly = Anomaly::Prefix {
            found: b"999/000/0000001".to_vec(),
            expected: LEAF.to_vec(),
        };
        assert_eq!(
            anomaly.to_string(),
            "patient directory 999/000/0000001 should be 000/000/0000001"
        );
        assert_eq!(anomalies(b"999/000/0000001", path), [anomaly]);
    }

    #[test]
    fn an_extended_kind_agrees_by_either_code() {
        let kind = "D1^退院サマリ^99L^18842-5^退院時サマリー^LN";
        let name = |kind: &str| format!("0000001_20000401_{kind}_1.2.3_20110701113813225_01_1");
        for named in ["18842-5", "D1", "18842-5^LN", "D1^99L", kind] {
            assert_eq!(
                found(&format!("20000401/{kind}/{}/a.xml", name(named))),
                [],
                "{named}"
            );
        }
        let other = found(&format!("20000401/{kind}/{}/a.xml", name("11506-3")));
        assert_eq!(
            other,
            [Anomaly::Kind {
                found: b"11506-3".to_vec(),
                expected: kind.as_bytes().to_vec()
            }]
        );
    }
}
