//! Messages: HL7 v2.5 segments written as text and encoded in ISO-2022-JP.
//!
//! Every segment ends with CR and begins in ASCII. Text from the tables holds none of HL7's
//! delimiters, so nothing is escaped here.

use std::fmt::{Display, Write};

use encoding_rs::ISO_2022_JP;

/// Half-width katakana: the set that JIS X 0201 encodes in one byte.
const HALF_WIDTH: std::ops::RangeInclusive<char> = '\u{FF61}'..='\u{FF9F}';
/// What escape sequences begin with.
const ESCAPE: u8 = 0x1B;
/// Escape sequence into JIS X 0201 katakana, and back to ASCII.
const TO_HALF_WIDTH: &[u8] = b"\x1b(I";
const TO_ASCII: &[u8] = b"\x1b(B";

/// A message under construction.
pub(super) struct Message {
    text: String,
}

impl Message {
    pub(super) fn new() -> Self {
        Self {
            text: String::with_capacity(3072),
        }
    }

    /// Begins a segment; MSH brings its own delimiters, which are its first two fields.
    pub(super) fn segment(&mut self, name: &str) -> Segment<'_> {
        self.text.push_str(name);
        let mut position = 0;
        if name == "MSH" {
            self.text.push_str("|^~\\&");
            position = 2;
        }
        Segment {
            text: &mut self.text,
            position,
        }
    }

    /// The message's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(&self.text)
    }
}

/// Text in ISO-2022-JP. A character that has no code there becomes 〓, as in print.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let Some(from) = rest.find(|c| HALF_WIDTH.contains(&c)) {
        let (before, half) = rest.split_at(from);
        encode_full(before, &mut out);
        let to = half
            .find(|c| !HALF_WIDTH.contains(&c))
            .unwrap_or(half.len());
        push(TO_HALF_WIDTH, &mut out);
        out.extend(
            half[..to]
                .chars()
                .map(|c| (u32::from(c) - 0xFF61) as u8 + 0x21),
        );
        out.extend_from_slice(TO_ASCII);
        rest = &half[to..];
    }
    encode_full(rest, &mut out);
    out
}

/// Appends encoded text. Two escape sequences in a row are an error to strict decoders (WHATWG), so
/// the way back to ASCII is dropped where another set follows at once.
fn push(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.first() == Some(&ESCAPE) && out.ends_with(TO_ASCII) {
        out.truncate(out.len() - TO_ASCII.len());
    }
    out.extend_from_slice(bytes);
}

fn encode_full(text: &str, out: &mut Vec<u8>) {
    let (bytes, _, unmappable) = ISO_2022_JP.encode(text);
    if !unmappable {
        push(&bytes, out);
        return;
    }
    let known: String = text
        .chars()
        .map(|c| {
            if ISO_2022_JP.encode(c.encode_utf8(&mut [0; 4])).2 {
                '〓'
            } else {
                c
            }
        })
        .collect();
    push(&ISO_2022_JP.encode(&known).0, out);
}

/// A segment under construction; fields are written in rising order, the rest stays empty.
pub(super) struct Segment<'a> {
    text: &'a mut String,
    position: usize,
}

impl Segment<'_> {
    /// Writes field `number`, counted as HL7 counts.
    pub(super) fn at(mut self, number: usize, content: impl Display) -> Self {
        debug_assert!(
            number > self.position,
            "field {number} after {}",
            self.position
        );
        while self.position < number {
            self.text.push('|');
            self.position += 1;
        }
        // Writing to a String can't fail.
        let _ = write!(self.text, "{content}");
        self
    }
}

impl Drop for Segment<'_> {
    fn drop(&mut self) {
        self.text.push('\r');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_they_are_numbered() {
        let mut message = Message::new();
        message.segment("MSH").at(3, "HIS").at(7, 1);
        message.segment("PV1").at(2, "I");
        assert_eq!(message.text, "MSH|^~\\&|HIS||||1\rPV1||I\r");
    }

    #[test]
    fn encoding_closes_every_run_and_keeps_half_width_kana() {
        let mut message = Message::new();
        message.segment("NTE").at(1, "①能ﾆｮｳ糖").at(2, "𠮷");
        let bytes = message.encode();
        assert_eq!(
            bytes,
            b"NTE|\x1b$B-!G=\x1b(IF.3\x1b$BE|\x1b(B|\x1b$B\".\x1b(B\r"
        );
        let (text, _, errors) = ISO_2022_JP.decode(&bytes);
        assert_eq!((text.as_ref(), errors), ("NTE|①能ﾆｮｳ糖|〓\r", false));
    }
}
