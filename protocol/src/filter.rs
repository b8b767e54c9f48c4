//! Which volumes and which contents a replica wants, as it tells a source:
//! patterns. SPEC.md section 7.12.
//!
//! What is left out by its content is in the manifest all the same, so a
//! filter never changes a digest.

use serde::{Deserialize, Serialize};

use crate::limits::{PATTERN_BYTES_MAX, PATTERNS_MAX};
use crate::objectpath::ObjectPath;

/// Whether `text` is what `pattern` names, in which each `*` stands for any
/// bytes, or none.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|&byte| byte == b'*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let at =
            (0..=rest.len()).find(|&at| rest.get(at..).is_some_and(|rest| rest.starts_with(part)));
        match at.and_then(|at| rest.get(at + part.len()..)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether patterns are within their limits.
pub fn are_patterns(patterns: &[String]) -> bool {
    let mut lengths = patterns.iter().map(String::len);
    patterns.len() <= PATTERNS_MAX && lengths.all(|length| length <= PATTERN_BYTES_MAX)
}

/// Whether any of the patterns names `text`.
pub fn any_matches(patterns: &[String], text: &[u8]) -> bool {
    let mut patterns = patterns.iter();
    patterns.any(|pattern| matches(pattern.as_bytes(), text))
}

/// Of which records a replica keeps the contents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContentFilter {
    /// Patterns of data kinds; none: every kind.
    pub kinds: Vec<String>,
    /// The first day, as YYYYMMDD; none: from the first one on.
    pub since: Option<String>,
}

impl ContentFilter {
    /// Whether the content of a file is kept. What does not lie below a date
    /// (or `-`) and a kind is no record of the standard, and is kept.
    pub fn keeps(&self, path: &ObjectPath) -> bool {
        let mut parts = path.as_bytes().splitn(3, |&byte| byte == b'/');
        let (Some(date), Some(kind), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
            return true;
        };
        let is_dated = date.len() == 8 && date.iter().all(u8::is_ascii_digit);
        if !is_dated && date != b"-" {
            return true;
        }
        let is_recent = match &self.since {
            Some(since) => !is_dated || date >= since.as_bytes(),
            None => true,
        };
        is_recent && (self.kinds.is_empty() || any_matches(&self.kinds, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let good = [
            ("*", "F/L"),
            ("", ""),
            ("F/*", "F/L"),
            ("*/L", "F/L"),
            ("F/L", "F/L"),
            ("*", ""),
            ("**", "F"),
            ("a*b*c", "a-b-b-c"),
            ("*aab*", "aaab"),
            ("ADT-*", "ADT-00"),
        ];
        for (pattern, text) in good {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        let bad = [
            ("", "F"),
            ("F", "F/L"),
            ("F/*", "G/F/L"),
            ("*/L", "F/LL"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("ADT-*", "ADT"),
        ];
        for (pattern, text) in bad {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn patterns_are_bounded() {
        let of = |count: usize, bytes: usize| vec!["*".repeat(bytes); count];
        assert!(are_patterns(&[]));
        assert!(are_patterns(&of(PATTERNS_MAX, PATTERN_BYTES_MAX)));
        assert!(!are_patterns(&of(PATTERNS_MAX + 1, 1)));
        assert!(!are_patterns(&of(1, PATTERN_BYTES_MAX + 1)));
    }

    /// [S7-22] by kind and by date; what has none is kept.
    #[test]
    fn contents_that_are_kept() {
        let filter = ContentFilter {
            kinds: vec!["ADT-*".into(), "OMP-01".into()],
            since: Some("20240401".into()),
        };
        let keeps = |path: &str| filter.keeps(&ObjectPath::parse(path.as_bytes()).unwrap());
        for path in [
            "20240401/OMP-01/x",
            "20991231/ADT-22/x",
            "-/ADT-00/x",
            "20240401/index.csv",
            "facilities.csv",
            "masters/2023/x",
        ] {
            assert!(keeps(path), "{path}");
        }
        for path in ["20240331/OMP-01/x", "20240401/OMP-11/x", "-/PPR-01/x"] {
            assert!(!keeps(path), "{path}");
        }
        assert!(ContentFilter::default().keeps(&ObjectPath::parse(b"1/OMP-01/x").unwrap()));
    }
}
