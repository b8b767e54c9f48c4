//! Character sets: the bytes of one segment as text.
//!
//! ISO-2022-JP as it occurs: ASCII, JIS X 0208 with the rows of NEC and IBM, JIS X 0212, half-width
//! kana by escape sequence or shift, JIS X 0201 Roman taken for ASCII (`\` and `~` are HL7's there,
//! too). Strict decoders give up at two escape sequences in a row; this one does not. Bytes above
//! 0x7F belong to no such text: they are read by the encoding that explains the whole file.

use encoding_rs::{EUC_JP, SHIFT_JIS};

/// What begins an escape sequence.
const ESCAPE: u8 = 0x1B;
/// Shift to half-width kana, and back.
const SHIFT_OUT: u8 = 0x0E;
const SHIFT_IN: u8 = 0x0F;
/// Characters that only their maker's fonts can show.
const PRIVATE_USE: std::ops::RangeInclusive<char> = '\u{E000}'..='\u{F8FF}';
/// What a byte of a two-byte character is.
const GRAPHIC: std::ops::RangeInclusive<u8> = 0x21..=0x7E;

/// An encoding for bytes that are not ISO-2022-JP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EightBit {
    /// Shift_JIS, with the extensions of Windows.
    ShiftJis,
    /// UTF-8.
    Utf8,
    /// EUC-JP.
    EucJp,
}

impl EightBit {
    /// The encoding that explains all bytes of a file; Shift_JIS where none does. `None` for a
    /// file without a byte above 0x7F.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_ascii() {
            return None;
        }
        if std::str::from_utf8(bytes).is_ok() {
            return Some(Self::Utf8);
        }
        let explains = |encoding: &'static encoding_rs::Encoding| {
            encoding
                .decode_without_bom_handling_and_without_replacement(bytes)
                .is_some()
        };
        Some(match (explains(SHIFT_JIS), explains(EUC_JP)) {
            (false, true) => Self::EucJp,
            _ => Self::ShiftJis,
        })
    }

    /// The encoding's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShiftJis => "Shift_JIS",
            Self::Utf8 => "UTF-8",
            Self::EucJp => "EUC-JP",
        }
    }

    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::ShiftJis => SHIFT_JIS.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::EucJp => EUC_JP.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }
}

/// The text of a segment, and what was odd about its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// Places that stand as U+FFFD.
    pub(super) undecodable: usize,
    /// User-defined characters.
    pub(super) user_defined: usize,
    /// Bytes above 0x7F were read.
    pub(super) eight_bit: bool,
    /// The last run of two-byte characters has no end.
    pub(super) unclosed: bool,
    /// An escape sequence names an unknown set.
    pub(super) unknown_escape: bool,
}

/// The set that the bytes after an escape sequence belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Ascii,
    HalfWidth,
    Kanji,
    Supplement,
}

/// Decodes one segment, beginning in ASCII.
pub(super) fn decode(bytes: &[u8], eight_bit: EightBit) -> Decoded {
    let mut out = Decoded::default();
    let mut set = Set::Ascii;
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        rest = match first {
            ESCAPE => match escape(rest) {
                Some((next, after)) => {
                    set = next;
                    after
                }
                None => {
                    out.unknown_escape = true;
                    out.replace();
                    set = Set::Ascii;
                    after(rest, 1)
                }
            },
            SHIFT_OUT => {
                set = Set::HalfWidth;
                after(rest, 1)
            }
            SHIFT_IN => {
                set = Set::Ascii;
                after(rest, 1)
            }
            _ => {
                let length = rest
                    .iter()
                    .position(|byte| matches!(*byte, ESCAPE | SHIFT_OUT | SHIFT_IN));
                let (run, after) = rest.split_at(length.unwrap_or(rest.len()));
                out.run(run, set, eight_bit);
                after
            }
        };
    }
    out.unclosed = matches!(set, Set::Kanji | Set::Supplement);
    out.user_defined = out.text.chars().filter(|c| PRIVATE_USE.contains(c)).count();
    out
}

fn after(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(count..).unwrap_or_default()
}

/// The set that an escape sequence names, and what is behind it.
fn escape(bytes: &[u8]) -> Option<(Set, &[u8])> {
    const SEQUENCES: [(&[u8], Set); 11] = [
        (b"\x1b(B", Set::Ascii),
        (b"\x1b(J", Set::Ascii),
        (b"\x1b(H", Set::Ascii),
        (b"\x1b(I", Set::HalfWidth),
        (b"\x1b$B", Set::Kanji),
        (b"\x1b$@", Set::Kanji),
        (b"\x1b$(B", Set::Kanji),
        (b"\x1b$(@", Set::Kanji),
        // Plane 1 of JIS X 0213 has JIS X 0208 inside of it.
        (b"\x1b$(O", Set::Kanji),
        (b"\x1b$(Q", Set::Kanji),
        (b"\x1b$(D", Set::Supplement),
    ];
    SEQUENCES
        .iter()
        .find_map(|(sequence, set)| Some((*set, bytes.strip_prefix(*sequence)?)))
}

impl Decoded {
    fn replace(&mut self) {
        self.text.push('\u{FFFD}');
        self.undecodable += 1;
    }

    /// Adds text that a decoder made; what it could not explain is counted, control characters
    /// are replaced.
    fn push(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\u{FFFD}' => self.replace(),
                letter if letter.is_control() && letter != '\t' => self.replace(),
                letter => self.text.push(letter),
            }
        }
    }

    fn run(&mut self, run: &[u8], set: Set, eight_bit: EightBit) {
        match set {
            Set::Ascii => {
                self.eight_bit |= !run.is_ascii();
                let text = eight_bit.decode(run);
                self.push(&text);
            }
            Set::HalfWidth => self.half_width(run),
            Set::Kanji => self.pairs(run, &[]),
            Set::Supplement => self.pairs(run, &[0x8F]),
        }
    }

    fn half_width(&mut self, run: &[u8]) {
        for &byte in run {
            match byte {
                0x21..=0x5F => self
                    .text
                    .extend(char::from_u32(0xFF61 - 0x21 + u32::from(byte))),
                0x20 => self.text.push(' '),
                _ => self.replace(),
            }
        }
    }

    /// Two-byte characters. `prefix` is what EUC-JP, which has the same tables, puts before one.
    fn pairs(&mut self, run: &[u8], prefix: &[u8]) {
        let mut rest = run;
        while let Some(&first) = rest.first() {
            let length = match (first, rest.get(1)) {
                (b' ', _) => {
                    self.text.push(' ');
                    1
                }
                (first, Some(second)) if GRAPHIC.contains(&first) && GRAPHIC.contains(second) => {
                    let code = [prefix, &[first | 0x80, second | 0x80]].concat();
                    let text = EUC_JP.decode_without_bom_handling(&code).0;
                    if text.contains('\u{FFFD}') {
                        self.replace();
                    } else {
                        self.push(&text);
                    }
                    2
                }
                _ => {
                    self.replace();
                    1
                }
            };
            rest = after(rest, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> Decoded {
        decode(bytes, EightBit::ShiftJis)
    }

    #[test]
    fn kanji_whose_second_byte_is_a_delimiter() {
        // 能 is 47 3D, 表 is 49 3D; ン is 25 73; those with | ^ ~ & \ as second byte:
        for (second, kanji) in [
            (b'|', '鋸'),
            (b'^', '牛'),
            (b'~', '居'),
            (b'&', '汲'),
            (b'\\', '凶'),
        ] {
            let found = text(&[b"\x1b$B\x35", &[second][..], b"\x1b(B|"].concat());
            assert_eq!(found.text.chars().count(), 2, "{kanji}");
            assert!(found.text.ends_with('|'));
            assert_eq!(
                found.text.chars().next(),
                EUC_JP.decode(&[0xB5, second | 0x80]).0.chars().next()
            );
            assert_eq!(found.undecodable, 0);
        }
    }

    #[test]
    fn rows_of_nec_half_width_kana_and_two_escapes_in_a_row() {
        assert_eq!(text(b"\x1b$B-!\x1b(B").text, "①");
        assert_eq!(text(b"\x1b(IF.3\x1b(B|\x0eF\x0f").text, "ﾆｮｳ|ﾆ");
        let found = text(b"\x1b$B\x1b(B\x1b$BE|\x1b(B\x1b(J~\\");
        assert_eq!((found.text.as_str(), found.undecodable), ("糖~\\", 0));
        // JIS X 0212.
        assert_eq!(text(b"\x1b$(D\x30\x21\x1b(B").text, "丂");
    }

    #[test]
    fn what_is_not_closed_or_not_known_is_told() {
        let found = text(b"\x1b$BE|");
        assert_eq!((found.text.as_str(), found.unclosed), ("糖", true));
        let found = text(b"\x1b$BE");
        assert_eq!((found.text.as_str(), found.undecodable), ("\u{FFFD}", 1));
        let found = text(b"a\x1bZb");
        assert_eq!(
            (found.text.as_str(), found.unknown_escape),
            ("a\u{FFFD}Zb", true)
        );
        // An unassigned place of the table is one character, not two.
        let found = text(b"\x1b$B\x29\x21E|\x1b(B");
        assert_eq!((found.text.as_str(), found.undecodable), ("\u{FFFD}糖", 1));
        let found = text(b"a\0b\x7f");
        assert_eq!(found.text, "a\u{FFFD}b\u{FFFD}");
    }

    #[test]
    fn shift_jis_with_user_defined_characters() {
        let (bytes, _, _) = SHIFT_JIS.encode("表示ﾃｽﾄ");
        let found = text(&[&bytes[..], b"\xF0\x40"].concat());
        assert_eq!(found.text, "表示ﾃｽﾄ\u{E000}");
        assert_eq!((found.user_defined, found.eight_bit), (1, true));
        assert_eq!(text(b"\xFB\xFC").text.chars().count(), 1);
    }

    #[test]
    fn the_encoding_explains_the_whole_file() {
        assert_eq!(EightBit::of(b"MSH|"), None);
        assert_eq!(EightBit::of("患者".as_bytes()), Some(EightBit::Utf8));
        assert_eq!(
            EightBit::of(&SHIFT_JIS.encode("患者").0),
            Some(EightBit::ShiftJis)
        );
        assert_eq!(EightBit::of(b"\xFF\xFF"), Some(EightBit::ShiftJis));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_ascii_stays(bytes in proptest::collection::vec(any::<u8>(), 0..200), ascii in "[ -~]{0,40}") {
            for encoding in [EightBit::ShiftJis, EightBit::Utf8, EightBit::EucJp] {
                decode(&bytes, encoding);
                prop_assert_eq!(&decode(ascii.as_bytes(), encoding).text, &ascii);
            }
        }

        #[test]
        fn what_a_strict_encoder_writes_is_read_back(text in "[ -}ぁ-んァ-ヶ一二三四五六七八九十医師患者能表①-⑳]{0,40}") {
            let (bytes, _, unmappable) = encoding_rs::ISO_2022_JP.encode(&text);
            prop_assume!(!unmappable);
            let found = decode(&bytes, EightBit::ShiftJis);
            prop_assert_eq!(found.text, text);
            prop_assert_eq!(found.undecodable, 0);
        }
    }
}
