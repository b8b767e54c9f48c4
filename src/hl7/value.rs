//! Values: a field, a repetition, a component or a subcomponent of a segment.
//!
//! A value borrows its segment's text and is cut only when it is asked for; numbers begin at 1, as
//! in HL7. A part that is not there is an empty value, never an error.

use super::charset::{EightBit, decode};
use super::delimiters::Delimiters;

/// What stands for "delete the value that you have".
const DELETION: &str = "\"\"";
/// Letters of an escape sequence at most; longer, the escape character is text.
const ESCAPE_LETTERS_MAX: usize = 4096;

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a str,
    delimiters: Delimiters,
}

impl<'a> Value<'a> {
    pub(super) fn new(raw: &'a str, delimiters: Delimiters) -> Self {
        Self { raw, delimiters }
    }

    /// The text as it stands in the message: delimiters and escape sequences are still in it.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// There is nothing, nothing but spaces, or the sign of deletion.
    pub fn is_empty(self) -> bool {
        let raw = self.raw.trim();
        raw.is_empty() || raw == DELETION
    }

    /// The sender says `""`: delete the value that you have.
    pub fn is_deletion(self) -> bool {
        self.raw.trim() == DELETION
    }

    /// The repetitions of a field, at least one.
    pub fn repetitions(self) -> impl Iterator<Item = Value<'a>> {
        let delimiters = self.delimiters;
        self.raw
            .split(delimiters.repetition)
            .map(move |raw| Self::new(raw, delimiters))
    }

    /// Component `number` of the first repetition.
    pub fn component(self, number: usize) -> Value<'a> {
        let first = cut(self.raw, self.delimiters.repetition, 1);
        Self::new(
            cut(first, self.delimiters.component, number),
            self.delimiters,
        )
    }

    /// Subcomponent `number` of a component.
    pub fn subcomponent(self, number: usize) -> Value<'a> {
        Self::new(
            cut(self.raw, self.delimiters.subcomponent, number),
            self.delimiters,
        )
    }

    /// The text for people: escape sequences resolved, spaces at both ends gone, nothing for the
    /// sign of deletion. Delimiters of the lower levels stay in it.
    pub fn text(self) -> String {
        if self.is_deletion() {
            return String::new();
        }
        self.verbatim().trim().to_owned()
    }

    /// The text with its spaces: escape sequences resolved, nothing else changed.
    pub fn verbatim(self) -> String {
        let escape = self.delimiters.escape;
        let mut out = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((before, behind)) = rest.split_once(escape) {
            out.push_str(before);
            rest = match behind.split_once(escape) {
                Some((sequence, after))
                    if sequence.len() <= ESCAPE_LETTERS_MAX && self.resolve(sequence, &mut out) =>
                {
                    after
                }
                _ => {
                    out.push(escape);
                    behind
                }
            };
        }
        out.push_str(rest);
        out
    }

    /// Appends what an escape sequence means; `false` for one that means nothing here.
    fn resolve(self, sequence: &str, out: &mut String) -> bool {
        match sequence {
            "F" => out.push(self.delimiters.field),
            "S" => out.push(self.delimiters.component),
            "T" => out.push(self.delimiters.subcomponent),
            "R" => out.push(self.delimiters.repetition),
            "E" => out.push(self.delimiters.escape),
            ".br" | ".sp" | ".ce" => out.push('\n'),
            // Highlighting on and off, fill and no wrap: marks without text.
            "H" | "N" | ".fi" | ".nf" => {}
            _ => return self.resolve_long(sequence, out),
        }
        true
    }

    fn resolve_long(self, sequence: &str, out: &mut String) -> bool {
        if let Some(lines) = sequence.strip_prefix(".sp") {
            let Ok(lines) = lines.trim_start_matches('+').parse::<usize>() else {
                return false;
            };
            out.extend(std::iter::repeat_n('\n', lines.min(99)));
            return true;
        }
        let Some(bytes) = sequence.strip_prefix('X').and_then(hexadecimal) else {
            return false;
        };
        let lines: Vec<String> = bytes
            .split(|byte| matches!(byte, b'\r' | b'\n'))
            .map(|line| {
                let encoding = EightBit::of(line).unwrap_or(EightBit::ShiftJis);
                decode(line, encoding).text
            })
            .collect();
        out.push_str(&lines.join("\n"));
        true
    }
}

/// The part with this number, from 1; empty where there is none.
pub(super) fn cut(text: &str, delimiter: char, number: usize) -> &str {
    match number.checked_sub(1) {
        Some(place) => text.split(delimiter).nth(place).unwrap_or_default(),
        None => "",
    }
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(raw: &str) -> Value<'_> {
        Value::new(raw, Delimiters::default())
    }

    #[test]
    fn parts_are_counted_from_one() {
        let field = value("a^b&c~d^e");
        assert_eq!(field.component(1).text(), "a");
        assert_eq!(field.component(2).subcomponent(2).text(), "c");
        assert_eq!(field.component(2).text(), "b&c");
        assert_eq!(field.component(3).text(), "");
        assert_eq!(field.component(0).text(), "");
        let seconds: Vec<_> = field
            .repetitions()
            .map(|one| one.component(2).text())
            .collect();
        assert_eq!(seconds, ["b&c", "e"]);
        assert_eq!(value("").repetitions().count(), 1);
    }

    #[test]
    fn escape_sequences() {
        let all = r"1\F\2\S\3\T\4\R\5\E\6\.br\7\.sp2\8\H\9\N\";
        assert_eq!(value(all).text(), "1|2^3&4~5\\6\n7\n\n89");
        assert_eq!(value(r"\X41420D43\").text(), "AB\nC");
        assert_eq!(value(r"\X1B2442457C1B2842\").text(), "糖");
        // What means nothing stays as it is.
        for odd in [
            r"C:\dir", r"\Z1\", r"\X4\", r"\Xzz\", r"\", r"\\", r"\.spx\",
        ] {
            assert_eq!(value(odd).text(), odd);
        }
    }

    #[test]
    fn a_deletion_is_no_text() {
        assert!(value("\"\"").is_deletion());
        assert!(value("\"\"").is_empty());
        assert_eq!(value("\"\"").text(), "");
        assert!(!value("").is_deletion());
        assert_eq!(value("　 2 + ").text(), "2 +");
        assert_eq!(value(" 2 + ").verbatim(), " 2 + ");
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in "[a-c|^~&\\\\表]{0,30}") {
            let escaped: String = text.chars().map(|letter| match letter {
                '|' => r"\F\".to_owned(),
                '^' => r"\S\".to_owned(),
                '&' => r"\T\".to_owned(),
                '~' => r"\R\".to_owned(),
                '\\' => r"\E\".to_owned(),
                other => other.to_string(),
            }).collect();
            prop_assert_eq!(value(&escaped).verbatim(), text);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), number in 0usize..9) {
            let field = value(&text);
            field.component(number).subcomponent(number).text();
            field.text();
        }
    }
}
