//! Messages: segments in their order, every one of them, and notes about how they were read.

use super::charset::{Decoded, EightBit, decode};
use super::delimiters::Delimiters;
use super::note::Note;
use super::value::{Value, cut};

/// Bytes of a file that are read as a message at most; records have some kilobytes.
pub const BYTES_MAX: usize = 16 << 20;
/// Lines of such a file at most: a line costs far more memory than its bytes.
const LINES_MAX: usize = 200_000;
/// What some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// What cuts its segments.
    pub delimiters: Delimiters,
    /// The segments in their order, those that could not be parsed among them.
    pub segments: Vec<Segment>,
    /// What a reader has to know.
    pub notes: Vec<Note>,
}

/// One line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Three letters such as `PID`; empty for a line that is no segment.
    pub name: String,
    /// The whole line, decoded.
    pub text: String,
    delimiters: Delimiters,
}

impl Message {
    /// Reads a message. Any bytes are one: see the notes for what is wrong with it.
    pub fn read(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        if bytes.len() > BYTES_MAX {
            message.notes.push(Note::TooLong { bytes: bytes.len() });
            return message;
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let eight_bit = EightBit::of(bytes);
        if let Some(encoding) = eight_bit {
            message.notes.push(Note::EightBit { encoding });
        }
        let lines = bytes
            .split(|byte| matches!(byte, b'\r' | b'\n' | 0x0B | 0x1C))
            .filter(|line| !line.is_empty());
        if lines.clone().count() > LINES_MAX {
            message.notes.push(Note::TooLong { bytes: bytes.len() });
            return message;
        }
        let lines: Vec<Decoded> = lines
            .map(|line| decode(line, eight_bit.unwrap_or(EightBit::ShiftJis)))
            .collect();
        message.note_header(lines.first());
        for line in lines {
            message.push(line);
        }
        message
    }

    /// The first segment is MSH.
    pub fn is_message(&self) -> bool {
        self.segments
            .first()
            .is_some_and(|first| first.name == "MSH")
    }

    /// The segments of this name, in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Segment> {
        self.segments
            .iter()
            .filter(move |segment| segment.name == name)
    }

    /// The first segment of this name.
    pub fn first(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == name)
    }

    /// The first segment's field, empty where there is no such segment.
    pub fn field(&self, segment: &str, number: usize) -> Value<'_> {
        match self.first(segment) {
            Some(segment) => segment.field(number),
            None => Value::new("", self.delimiters),
        }
    }

    fn note_header(&mut self, first: Option<&Decoded>) {
        match first {
            None => self.notes.push(Note::Empty),
            Some(line) if !line.text.starts_with("MSH") => self.notes.push(Note::NoHeader),
            Some(line) => match Delimiters::of(&line.text) {
                Some(found) => self.delimiters = found,
                None => self.notes.push(Note::Delimiters),
            },
        }
    }

    fn push(&mut self, line: Decoded) {
        let segment = self.segments.len() + 1;
        let name = cut(&line.text, self.delimiters.field, 1).trim();
        let name = if is_name(name) {
            name.to_owned()
        } else {
            String::new()
        };
        let mut note = |there: bool, note: Note| {
            if there {
                self.notes.push(note);
            }
        };
        note(name.is_empty(), Note::NotASegment { segment });
        note(
            line.undecodable > 0,
            Note::Undecodable {
                segment,
                places: line.undecodable,
            },
        );
        note(
            line.user_defined > 0,
            Note::UserDefined {
                segment,
                characters: line.user_defined,
            },
        );
        note(line.unclosed, Note::Unclosed { segment });
        note(line.unknown_escape, Note::UnknownEscape { segment });
        self.segments.push(Segment {
            name,
            text: line.text,
            delimiters: self.delimiters,
        });
    }
}

impl Segment {
    /// Field `number`, counted from 1 as in HL7: MSH-1 is the delimiter behind `MSH`.
    pub fn field(&self, number: usize) -> Value<'_> {
        let raw = match (self.name.as_str(), number) {
            ("MSH", 1) => self.text.get(3..4).unwrap_or_default(),
            ("MSH", _) => cut(&self.text, self.delimiters.field, number),
            (_, 0) => "",
            _ => cut(&self.text, self.delimiters.field, number.saturating_add(1)),
        };
        Value::new(raw, self.delimiters)
    }

    /// The fields with their numbers, empty ones too. A line without a name is one field.
    pub fn fields(&self) -> impl Iterator<Item = (usize, Value<'_>)> {
        let (from, skip) = match self.name.as_str() {
            "" => (1, 0),
            "MSH" => (2, 1),
            _ => (1, 1),
        };
        self.text
            .split(self.delimiters.field)
            .skip(skip)
            .enumerate()
            .map(move |(place, raw)| (place + from, Value::new(raw, self.delimiters)))
    }

    /// No field says anything.
    pub fn is_blank(&self) -> bool {
        self.fields()
            .all(|(_, field)| field.raw().trim().is_empty())
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.len() == 3
        && bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &[u8] = b"MSH|^~\\&|HIS\rPID|0001||42^^^^PI\r";

    #[test]
    fn every_terminator_is_one() {
        for bytes in [
            &b"MSH|^~\\&|HIS\nPID|0001||42^^^^PI"[..],
            b"MSH|^~\\&|HIS\r\nPID|0001||42^^^^PI\r\n",
            b"\x0bMSH|^~\\&|HIS\rPID|0001||42^^^^PI\r\x1c\r",
            b"MSH|^~\\&|HIS\rPID|0001||42^^^^PI\x1c",
        ] {
            assert_eq!(Message::read(bytes), Message::read(PLAIN));
        }
        assert_eq!(Message::read(PLAIN).notes, []);
    }

    #[test]
    fn fields_are_counted_as_hl7_counts() {
        let message = Message::read(PLAIN);
        let header = message.first("MSH").unwrap();
        assert_eq!(header.field(1).raw(), "|");
        assert_eq!(header.field(2).raw(), "^~\\&");
        assert_eq!(header.field(3).text(), "HIS");
        assert_eq!(message.field("PID", 3).component(1).text(), "42");
        assert_eq!(message.field("PID", 0).raw(), "");
        assert_eq!(message.field("PID", 99).raw(), "");
        assert_eq!(message.field("ZZZ", 1).raw(), "");
        let numbers: Vec<usize> = header.fields().map(|(number, _)| number).collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn an_open_kanji_run_does_not_spoil_the_next_segment() {
        let message = Message::read(b"MSH|^~\\&\rNTE|1|\x1b$BE|\rPID|1||42\r");
        assert_eq!(message.field("NTE", 2).text(), "糖");
        assert_eq!(message.field("PID", 3).text(), "42");
        assert_eq!(message.notes, [Note::Unclosed { segment: 2 }]);
    }

    #[test]
    fn what_is_no_segment_stays() {
        let message = Message::read(b"MSH|^~\\&\rhello|world\rpid|1\r");
        assert_eq!(message.segments.len(), 3);
        let line = &message.segments[1];
        assert_eq!(
            (line.name.as_str(), line.text.as_str()),
            ("", "hello|world")
        );
        assert_eq!(line.fields().count(), 2);
        assert_eq!(
            message.notes,
            [
                Note::NotASegment { segment: 2 },
                Note::NotASegment { segment: 3 }
            ]
        );
    }

    #[test]
    fn other_delimiters_and_none() {
        let message = Message::read(b"MSH$%*!@$HIS\rPID$1$$42%%%%PI\r");
        assert_eq!(message.field("PID", 3).component(5).text(), "PI");
        let message = Message::read(b"PID|1||42^^^^PI\r");
        assert_eq!(message.field("PID", 3).component(5).text(), "PI");
        assert_eq!(message.notes, [Note::NoHeader]);
        assert!(!message.is_message());
        assert_eq!(Message::read(b"MSH\r").notes, [Note::Delimiters]);
        assert_eq!(Message::read(b"").notes, [Note::Empty]);
        assert_eq!(Message::read(b"\r\n").notes, [Note::Empty]);
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let long = vec![b'x'; BYTES_MAX + 1];
        let message = Message::read(&long);
        assert_eq!(
            message.notes,
            [Note::TooLong {
                bytes: BYTES_MAX + 1
            }]
        );
        assert!(message.segments.is_empty());
        let lines = "x\n".repeat(LINES_MAX + 1);
        let bytes = lines.len();
        let message = Message::read(lines.as_bytes());
        assert_eq!(message.notes, [Note::TooLong { bytes }]);
        assert_eq!(
            Message::read(&lines.as_bytes()[2..]).segments.len(),
            LINES_MAX
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_none_is_dropped(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "(MSH\\|\\^~\\\\&\\|[a-z]{0,5}[\\r\\n])?([A-Z]{3}(\\|[ -~]{0,9}){0,5}[\\r\\n]{1,2}){0,5}".prop_map(String::into_bytes),
        ]) {
            let message = Message::read(&bytes);
            let lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n' | 0x0B | 0x1C)).filter(|line| !line.is_empty());
            prop_assert_eq!(message.segments.len(), lines.clone().count());
            for (segment, line) in message.segments.iter().zip(lines) {
                if line.iter().all(|byte| (0x20..0x7F).contains(byte)) {
                    prop_assert_eq!(segment.text.as_bytes(), line);
                }
                let fields: Vec<&str> = segment.fields().map(|(_, field)| field.raw()).collect();
                prop_assert!(segment.text.ends_with(&fields.join(&message.delimiters.field.to_string())));
            }
        }
    }
}
