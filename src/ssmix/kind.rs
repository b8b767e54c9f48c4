//! Kind folders of the extended storage: `local^name^localCS^standard^name^standardCS`.
//!
//! The folder's bytes are UTF-8 or Shift_JIS. In Shift_JIS the second byte of a character can be
//! `^` (タ is 83 5E), so the caret is looked for between characters, never inside of one. Parts
//! stay bytes; text is only made for people.

use std::borrow::Cow;

use encoding_rs::SHIFT_JIS;
use thiserror::Error;

/// Parts of a kind folder's name.
const PARTS: usize = 6;

/// How the bytes of a kind folder's name are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KindEncoding {
    /// Valid UTF-8 (plain ASCII too).
    Utf8,
    /// Anything else: the names that Windows gateways leave.
    ShiftJis,
}

/// Why bytes are not the name of a kind folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KindError {
    /// Not six parts between carets.
    #[error("a kind folder has 6 parts between carets, this has {found}")]
    Parts {
        /// Parts found.
        found: usize,
    },
    /// Six parts, none of which says what the kind is.
    #[error("no code and no name, neither local nor standard")]
    Nameless,
}

/// The parts of a kind folder's name, borrowed from it; any may be empty, not all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExtendedKind<'a> {
    /// Local code.
    pub local_code: &'a [u8],
    /// Local name.
    pub local_name: &'a [u8],
    /// Local coding system.
    pub local_system: &'a [u8],
    /// Standard code, such as the LOINC `18842-5`.
    pub standard_code: &'a [u8],
    /// Standard name.
    pub standard_name: &'a [u8],
    /// Standard coding system, such as `LN`.
    pub standard_system: &'a [u8],
    /// How the bytes are read as text.
    pub encoding: KindEncoding,
}

impl<'a> ExtendedKind<'a> {
    /// Parses the name of a kind folder.
    ///
    /// Errors: [`KindError::Parts`] for a folder that is none (a standard kind has no caret),
    /// [`KindError::Nameless`] for `^^^^^`.
    pub fn parse(folder: &'a [u8]) -> Result<Self, KindError> {
        let encoding = match std::str::from_utf8(folder) {
            Ok(_) => KindEncoding::Utf8,
            Err(_) => KindEncoding::ShiftJis,
        };
        let mut parts: [&[u8]; PARTS] = [b""; PARTS];
        let mut found = 0;
        let mut from = 0;
        for at in carets(folder, encoding).chain([folder.len()]) {
            if let Some(part) = parts.get_mut(found) {
                *part = &folder[from..at];
            }
            found += 1;
            from = at + 1;
        }
        if found != PARTS {
            return Err(KindError::Parts { found });
        }
        let [
            local_code,
            local_name,
            local_system,
            standard_code,
            standard_name,
            standard_system,
        ] = parts;
        if [local_code, local_name, standard_code, standard_name]
            .iter()
            .all(|part| part.is_empty())
        {
            return Err(KindError::Nameless);
        }
        Ok(Self {
            local_code,
            local_name,
            local_system,
            standard_code,
            standard_name,
            standard_system,
            encoding,
        })
    }

    /// The folder's bytes; for a parsed folder exactly those that were parsed.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.parts().join(&b'^')
    }

    /// Text of one of the parts for people to read; what can't be decoded shows as U+FFFD.
    pub fn text(&self, part: &'a [u8]) -> Cow<'a, str> {
        match self.encoding {
            KindEncoding::Utf8 => String::from_utf8_lossy(part),
            KindEncoding::ShiftJis => SHIFT_JIS.decode_without_bom_handling(part).0,
        }
    }

    /// A heading for people: standard name, else local name, else the code that there is.
    pub fn title(&self) -> Cow<'a, str> {
        let parts = [
            self.standard_name,
            self.local_name,
            self.standard_code,
            self.local_code,
        ];
        self.text(
            parts
                .into_iter()
                .find(|part| !part.is_empty())
                .unwrap_or_default(),
        )
    }

    fn parts(&self) -> [&'a [u8]; PARTS] {
        [
            self.local_code,
            self.local_name,
            self.local_system,
            self.standard_code,
            self.standard_name,
            self.standard_system,
        ]
    }
}

/// Places of the carets that are characters of their own.
fn carets(folder: &[u8], encoding: KindEncoding) -> impl Iterator<Item = usize> {
    let mut inside = false;
    folder.iter().enumerate().filter_map(move |(at, &byte)| {
        if inside {
            inside = false;
            return None;
        }
        inside = encoding == KindEncoding::ShiftJis && matches!(byte, 0x81..=0x9F | 0xE0..=0xFC);
        (byte == b'^').then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_parts_are_allowed() {
        let folder = "^退院サマリ^^18842-5^退院時サマリー^LN";
        let kind = ExtendedKind::parse(folder.as_bytes()).unwrap();
        assert_eq!(kind.encoding, KindEncoding::Utf8);
        assert_eq!(
            (kind.local_code, kind.standard_code, kind.standard_system),
            (&b""[..], &b"18842-5"[..], &b"LN"[..])
        );
        assert_eq!(kind.title(), "退院時サマリー");
        assert_eq!(kind.to_bytes(), folder.as_bytes());
    }

    #[test]
    fn a_caret_inside_a_shift_jis_character_does_not_split() {
        let (bytes, _, _) = SHIFT_JIS.encode("L01^データ表^99L^^ソート^");
        assert_eq!(
            bytes.iter().filter(|&&b| b == b'^').count(),
            6,
            "タ brings a caret of its own"
        );
        let kind = ExtendedKind::parse(&bytes).unwrap();
        assert_eq!(kind.encoding, KindEncoding::ShiftJis);
        assert_eq!(kind.text(kind.local_name), "データ表");
        assert_eq!(kind.text(kind.standard_name), "ソート");
        assert_eq!(kind.to_bytes(), bytes.as_ref());
    }

    #[test]
    fn other_folders_say_why() {
        assert_eq!(
            ExtendedKind::parse(b"OMP-01"),
            Err(KindError::Parts { found: 1 })
        );
        assert_eq!(
            ExtendedKind::parse(b"a^b^c^d^e^f^g"),
            Err(KindError::Parts { found: 7 })
        );
        assert_eq!(ExtendedKind::parse(b"^^^^^"), Err(KindError::Nameless));
    }

    proptest! {
        #[test]
        fn whatever_parses_formats_back(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "[a^退タ表]{0,12}") {
            let (sjis, _, _) = SHIFT_JIS.encode(&text);
            for folder in [&bytes[..], text.as_bytes(), &sjis] {
                if let Ok(kind) = ExtendedKind::parse(folder) {
                    prop_assert_eq!(kind.to_bytes(), folder);
                }
            }
        }

        #[test]
        fn shift_jis_splits_where_the_text_does(text in "[a-c退院タ表ソ能予]{1,6}(\\^[退院タ表ソ能予]{0,4}){5}") {
            let (sjis, _, _) = SHIFT_JIS.encode(&text);
            let kind = ExtendedKind::parse(&sjis).unwrap();
            // Two kanji in Shift_JIS can happen to be valid UTF-8; then nobody can tell.
            if kind.encoding == KindEncoding::ShiftJis {
                let parts: Vec<String> = kind.parts().iter().map(|part| kind.text(part).into_owned()).collect();
                prop_assert_eq!(parts.join("^"), text);
            }
        }
    }
}
