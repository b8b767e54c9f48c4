//! Record names: the seven fields of a standard file name or an extended content folder.
//!
//! `patient_date_kind_order_timestamp_department_flag`. A name is parsed from both ends, because
//! kinds have no fixed width and a patient may contain `_`; some real names have six fields (no
//! department). Formatting gives back the bytes that were parsed. Whether the fields agree with
//! the folders around them is left to [`super::anomalies`].

use thiserror::Error;

/// Digits of the timestamps that occur: to the second, to the tenth, to the millisecond.
const TIMESTAMP_WIDTHS: [usize; 3] = [14, 15, 17];
/// Bytes of a name that a file system takes at most; longer input is not looked at.
const NAME_BYTES_MAX: usize = 255;

/// Life cycle of a record: the last field of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `0`: deleted; the record's former files and the tombstone carry it.
    Deleted,
    /// `1`: valid, the current file of its key.
    Valid,
    /// `2`: superseded by a later file of its key (history).
    Superseded,
}

impl Flag {
    /// The flag that the byte `0`, `1` or `2` (ASCII) means.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'0' => Some(Self::Deleted),
            b'1' => Some(Self::Valid),
            b'2' => Some(Self::Superseded),
            _ => None,
        }
    }

    /// The ASCII digit that stands for the flag in a name.
    pub fn byte(self) -> u8 {
        match self {
            Self::Deleted => b'0',
            Self::Valid => b'1',
            Self::Superseded => b'2',
        }
    }
}

/// Why bytes are not a record name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Longer than a file system's name, empty, or with a `/` or NUL inside.
    #[error("not a file name: {bytes} bytes, empty, too long, or with '/' or NUL inside")]
    NotAName {
        /// Length of the input in bytes.
        bytes: usize,
    },
    /// Fewer than six fields between underscores.
    #[error("a record name has six or seven fields, this has {found}")]
    Fields {
        /// Fields found.
        found: usize,
    },
    /// The last field is not `0`, `1` or `2`.
    #[error("the flag is not 0, 1 or 2")]
    Flag,
    /// No timestamp of 14, 15 or 17 digits before the department or the flag.
    #[error("no timestamp of 14, 15 or 17 digits before department and flag")]
    Timestamp,
    /// No date of eight digits, nor `-`, between patient and kind.
    #[error("no date of 8 digits, nor '-', between patient and kind")]
    Date,
    /// A field that must have content is empty.
    #[error("the field {0} is empty")]
    Empty(
        /// Name of the field.
        &'static str,
    ),
}

/// The fields of a record's name, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordName<'a> {
    /// Patient id, as in the patient directory; not empty.
    pub patient: &'a [u8],
    /// Date of the event: `YYYYMMDD`, or `-` for undated kinds. Not checked against a calendar.
    pub date: &'a [u8],
    /// Data kind, such as `OMP-01`; not empty.
    pub kind: &'a [u8],
    /// Order number, mostly 13 or 15 digits; not empty.
    pub order: &'a [u8],
    /// Time of the transaction: 14, 15 or 17 digits `YYYYMMDDHHMMSS[FFF]`.
    pub timestamp: &'a [u8],
    /// Department code or `-`; `None` for a name of six fields.
    pub department: Option<&'a [u8]>,
    /// Life cycle.
    pub flag: Flag,
}

impl<'a> RecordName<'a> {
    /// Parses the last component of a path.
    ///
    /// Errors: each variant of [`NameError`]; no input panics.
    pub fn parse(name: &'a [u8]) -> Result<Self, NameError> {
        if name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || name.iter().any(|&b| b == b'/' || b == 0)
        {
            return Err(NameError::NotAName { bytes: name.len() });
        }
        let found = name.split(|&b| b == b'_').count();
        if found < 6 {
            return Err(NameError::Fields { found });
        }
        let (rest, flag) = cut_last(name).ok_or(NameError::Fields { found })?;
        let flag = match flag {
            [byte] => Flag::from_byte(*byte).ok_or(NameError::Flag)?,
            _ => return Err(NameError::Flag),
        };
        let (head, timestamp, department) = cut_time(rest)?;
        let [patient, date, kind, order] = cut_key(head)?;
        for (field, content) in [("patient", patient), ("kind", kind), ("order", order)] {
            if content.is_empty() {
                return Err(NameError::Empty(field));
            }
        }
        Ok(Self {
            patient,
            date,
            kind,
            order,
            timestamp,
            department,
            flag,
        })
    }

    /// The name's bytes; for a parsed name exactly those that were parsed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        self.write_to(&mut bytes);
        bytes
    }

    /// Appends the name's bytes to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for field in [
            self.patient,
            self.date,
            self.kind,
            self.order,
            self.timestamp,
        ] {
            out.extend_from_slice(field);
            out.push(b'_');
        }
        if let Some(department) = self.department {
            out.extend_from_slice(department);
            out.push(b'_');
        }
        out.push(self.flag.byte());
    }

    /// The same name with another flag: what a gateway renames a file to.
    pub fn with_flag(self, flag: Flag) -> Self {
        Self { flag, ..self }
    }

    /// What identifies the record through all its versions.
    pub fn key(&self) -> RecordKey {
        RecordKey {
            patient: self.patient.to_vec(),
            date: self.date.to_vec(),
            kind: self.kind.to_vec(),
            order: self.order.to_vec(),
        }
    }
}

/// Identity of a record: at most one valid file should carry it at any time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// Patient id.
    pub patient: Vec<u8>,
    /// `YYYYMMDD` or `-`.
    pub date: Vec<u8>,
    /// Data kind.
    pub kind: Vec<u8>,
    /// Order number.
    pub order: Vec<u8>,
}

/// Whether a field is a date of a name or folder: eight digits or `-`.
pub(super) fn is_date(field: &[u8]) -> bool {
    field == b"-" || (field.len() == 8 && field.iter().all(u8::is_ascii_digit))
}

fn is_timestamp(field: &[u8]) -> bool {
    TIMESTAMP_WIDTHS.contains(&field.len()) && field.iter().all(u8::is_ascii_digit)
}

/// Cuts at the last underscore: what is before it, and what is behind it.
fn cut_last(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().rposition(|&b| b == b'_')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// What is before the timestamp, the timestamp, the department.
type Timed<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

/// Cuts timestamp and department off the end. A department is never as long as a timestamp, so
/// the last field tells whether there is one.
fn cut_time(rest: &[u8]) -> Result<Timed<'_>, NameError> {
    let (head, last) = cut_last(rest).ok_or(NameError::Timestamp)?;
    if is_timestamp(last) {
        return Ok((head, last, None));
    }
    let (head, timestamp) = cut_last(head).ok_or(NameError::Timestamp)?;
    if !is_timestamp(timestamp) {
        return Err(NameError::Timestamp);
    }
    if last.is_empty() {
        return Err(NameError::Empty("department"));
    }
    Ok((head, timestamp, Some(last)))
}

/// Cuts `patient_date_kind_order`. The last date that leaves room for kind and order is the one:
/// an underscore too many belongs to the patient before it belongs to the order.
fn cut_key(head: &[u8]) -> Result<[&[u8]; 4], NameError> {
    let mut date_end = head.len();
    loop {
        let Some((before, date)) = cut_last(&head[..date_end]) else {
            return Err(NameError::Date);
        };
        let behind = head.get(date_end + 1..).unwrap_or_default();
        let kind_end = behind.iter().position(|&b| b == b'_');
        match kind_end {
            Some(at) if is_date(date) => {
                return Ok([before, date, &behind[..at], &behind[at + 1..]]);
            }
            _ => date_end = before.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn standard_name_has_seven_fields() {
        let bytes = b"9999013_20110701_OMP-01_000000011000185_20110701224603984_01_1";
        let name = RecordName::parse(bytes).unwrap();
        assert_eq!(name.patient, b"9999013");
        assert_eq!(name.date, b"20110701");
        assert_eq!(name.kind, b"OMP-01");
        assert_eq!(name.order, b"000000011000185");
        assert_eq!(name.timestamp, b"20110701224603984");
        assert_eq!(name.department, Some(&b"01"[..]));
        assert_eq!(name.flag, Flag::Valid);
        assert_eq!(name.to_bytes(), bytes);
    }

    #[test]
    fn real_variants_parse_and_format_back() {
        for bytes in [
            &b"9999013_-_ADT-00_999999999999999_20111220224447339_-_1"[..],
            b"9999013_20111220_OMG-11_2011122000300_20111220224447339_24_1",
            b"9999013_20111013_OMD_123456789012345_20111014232213000_101_0",
            b"9999013_20111013_OMD_123456789012345_20111014232213_01_2",
            b"0001_20160401_18842-5_1.2.392.200250.1_201604011230005_1",
            b"A_B_20160401_OMP-01_000000011000185_20110701224603984_01_1",
            b"20160401_-_OMP-01_000000011000185_20110701224603984_01_1",
            b"\x8a\xb3\xff_20160401_OMP-01_1_20110701224603984_01_1",
        ] {
            let name = RecordName::parse(bytes).unwrap();
            assert_eq!(name.to_bytes(), bytes);
        }
        let six =
            RecordName::parse(b"0001_20160401_18842-5_1.2.392.200250.1_201604011230005_1").unwrap();
        assert_eq!(
            (six.department, six.timestamp.len(), six.order),
            (None, 15, &b"1.2.392.200250.1"[..])
        );
        let odd = RecordName::parse(b"A_B_20160401_OMP-01_1_20110701224603984_01_1").unwrap();
        assert_eq!((odd.patient, odd.order), (&b"A_B"[..], &b"1"[..]));
    }

    #[test]
    fn other_names_say_why() {
        let error = |bytes: &[u8]| RecordName::parse(bytes).unwrap_err();
        assert_eq!(error(b""), NameError::NotAName { bytes: 0 });
        assert_eq!(
            error(b"a/b_-_K_1_20110701224603984_01_1"),
            NameError::NotAName { bytes: 32 }
        );
        assert_eq!(error(b"Thumbs.db"), NameError::Fields { found: 1 });
        assert_eq!(
            error(b"1_-_ADT-00_1_20110701224603984_-_3"),
            NameError::Flag
        );
        assert_eq!(
            error(b"1_-_ADT-00_1_20110701224603984_-_1.tmp"),
            NameError::Flag
        );
        assert_eq!(
            error(b"1_-_ADT-00_1_2011070122460_-_1"),
            NameError::Timestamp
        );
        assert_eq!(
            error(b"1_2011_ADT-00_1_20110701224603984_-_1"),
            NameError::Date
        );
        assert_eq!(
            error(b"1_-_ADT-00_1_20110701224603984__1"),
            NameError::Empty("department")
        );
        assert_eq!(
            error(b"_-_ADT-00_1_20110701224603984_-_1"),
            NameError::Empty("patient")
        );
        assert_eq!(error(b"_____1"), NameError::Timestamp);
    }

    #[test]
    fn a_flag_changes_alone() {
        let name = RecordName::parse(b"1_-_ADT-00_1_20110701224603984_-_1").unwrap();
        let old = name.with_flag(Flag::Superseded);
        assert_eq!(old.to_bytes(), b"1_-_ADT-00_1_20110701224603984_-_2");
        assert_eq!(old.key(), name.key());
    }

    prop_compose! {
        fn fields()(
            patient in "[0-9A-Za-z._-]{1,15}", date in "-|[0-9]{8}", kind in "[A-Z]{3}(-[0-9]{2})?|[0-9]{5}-[0-9]",
            order in "[0-9.]{1,22}", timestamp in "[0-9]{14}|[0-9]{15}|[0-9]{17}",
            department in proptest::option::of("-|[0-9]{2,3}"), flag in 0u8..3,
        ) -> (String, String, String, String, String, Option<String>, u8) {
            (patient, date, kind, order, timestamp, department, flag)
        }
    }

    proptest! {
        #[test]
        fn fields_survive_a_round_trip((patient, date, kind, order, timestamp, department, flag) in fields()) {
            let name = RecordName {
                patient: patient.as_bytes(), date: date.as_bytes(), kind: kind.as_bytes(),
                order: order.as_bytes(), timestamp: timestamp.as_bytes(),
                department: department.as_deref().map(str::as_bytes),
                flag: Flag::from_byte(b'0' + flag).unwrap(),
            };
            let bytes = name.to_bytes();
            prop_assert_eq!(RecordName::parse(&bytes).unwrap(), name);
        }

        #[test]
        fn whatever_parses_formats_back(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[0-9_.-]{0,60}(_[0-9]{14}|_[0-9]{17})?(_[0-9]{2})?_[0-2]".prop_map(String::into_bytes),
        ]) {
            if let Ok(name) = RecordName::parse(&bytes) {
                prop_assert_eq!(name.to_bytes(), bytes);
            }
        }
    }
}
