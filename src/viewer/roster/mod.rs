//! The roster: every patient of the replica, by facility, found by a part of
//! name, kana or id.
//!
//! It lies in memory and is searched from end to end: a name is two letters
//! long as often as not, which no index of three-letter groups can find, and
//! a million names are read in some milliseconds. On the disk it is a log of
//! the vault, sealed with it. It is made from the catalogue, follows it by
//! what changed since a commit, and is made anew if it is lost.

mod build;
mod shelf;

pub(super) use build::Follower;
pub use build::RosterError;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use shelf::{ROWS_MAX, Shelf};

/// Patients that one search shows, at most.
const FOUND_MAX: usize = 100;
/// Letters of a search, at most.
const WORDS_CHARS_MAX: usize = 100;

/// A patient in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Facility id.
    pub facility: String,
    /// Patient id, as in the path.
    pub patient: String,
    /// Name, as written; empty if no record says one.
    pub name: String,
    /// Kana.
    pub kana: String,
    /// Birth date as `YYYYMMDD`.
    pub birth: Option<u32>,
    /// Sex.
    pub sex: Option<Sex>,
}

/// What a record says of the sex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// `M`
    Male,
    /// `F`
    Female,
}

/// A birth date as typed, Western or of an era.
pub(super) fn birth_of(text: &str) -> Option<u32> {
    crate::clinical::parse_birth_date(text).map(number_of)
}

/// A day as `YYYYMMDD`.
fn number_of(day: jiff::civil::Date) -> u32 {
    let part = |number: i8| u32::from(number.unsigned_abs());
    u32::from(day.year().unsigned_abs()) * 10_000 + part(day.month()) * 100 + part(day.day())
}

impl Search {
    /// What is looked for; a birth date that can't be read is nobody's.
    pub(super) fn find(&self) -> Find {
        let birth = match self.birth.is_empty() {
            true => None,
            false => Some(birth_of(&self.birth).unwrap_or(0)),
        };
        let sex = match self.sex.as_str() {
            "M" => Some(Sex::Male),
            "F" => Some(Sex::Female),
            _ => None,
        };
        Find::new(&self.words, birth, sex)
    }
}

/// What a user searches for, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Search {
    /// A part of name, kana or id.
    #[serde(default)]
    pub words: String,
    /// Birth date, Western or of an era.
    #[serde(default)]
    pub birth: String,
    /// `M`, `F` or nothing.
    #[serde(default)]
    pub sex: String,
    /// Other facilities too, for who may.
    #[serde(default)]
    pub all: String,
}

/// What is looked for.
#[derive(Debug, Default)]
pub struct Find {
    /// Folded; each is somewhere in name, kana or id.
    words: Vec<String>,
    birth: Option<u32>,
    sex: Option<Sex>,
}

impl Find {
    /// Words as typed, a birth date and a sex.
    pub fn new(words: &str, birth: Option<u32>, sex: Option<Sex>) -> Find {
        let words: String = words.chars().take(WORDS_CHARS_MAX).collect();
        let mut words: Vec<String> = words
            .split_whitespace()
            .map(folded)
            .map(
                |word| match word.bytes().all(|byte| byte.is_ascii_digit()) {
                    // An id, with fewer zeros or with more.
                    true => word.trim_start_matches('0').to_string(),
                    false => word,
                },
            )
            .filter(|word| !word.is_empty())
            .collect();
        // The longest one is the rarest.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        Find { words, birth, sex }
    }
}

/// Text as it is searched.
fn folded(text: &str) -> String {
    crate::clinical::fold(text)
}

/// Every patient.
#[derive(Default)]
pub struct Roster {
    facilities: BTreeMap<String, Vec<Shelf>>,
    patients: usize,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// The first, at most `FOUND_MAX`.
    pub rows: Vec<Row>,
    /// There are more.
    pub more: bool,
}

impl Roster {
    /// A roster of these rows.
    pub fn of(mut rows: Vec<Row>) -> Roster {
        rows.sort_unstable_by(|one, two| key(one).cmp(&key(two)));
        let mut roster = Roster {
            patients: rows.len(),
            ..Roster::default()
        };
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let facility = row.facility.clone();
            let mut shelf = vec![row];
            while shelf.len() < ROWS_MAX / 2
                && let Some(row) = rows.next_if(|row| row.facility == facility)
            {
                shelf.push(row);
            }
            let shelves = roster.facilities.entry(facility).or_default();
            shelves.push(Shelf::of(shelf));
        }
        roster
    }

    /// Patients.
    pub fn len(&self) -> usize {
        self.patients
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.patients == 0
    }

    /// Every row, in order.
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.facilities.values().flatten().flat_map(Shelf::rows)
    }

    /// The row of a patient.
    pub fn row(&self, facility: &str, patient: &str) -> Option<&Row> {
        let shelves = self.facilities.get(facility)?;
        let at = shelf_of(shelves, patient)?;
        let rows = shelves.get(at)?.rows();
        let at = rows.binary_search_by(|row| row.patient.as_str().cmp(patient));
        rows.get(at.ok()?)
    }

    /// Replaces, adds or removes (none) the rows of patients of one facility.
    pub fn change(&mut self, facility: &str, changes: BTreeMap<String, Option<Row>>) {
        let shelves = self.facilities.entry(facility.into()).or_default();
        if shelves.is_empty() {
            shelves.push(Shelf::default());
        }
        let mut by_shelf: BTreeMap<usize, Vec<(String, Option<Row>)>> = BTreeMap::new();
        for change in changes {
            let at = shelf_of(shelves, &change.0).unwrap_or(0);
            by_shelf.entry(at).or_default().push(change);
        }
        for (at, changes) in by_shelf.into_iter().rev() {
            let old = std::mem::take(&mut shelves[at]).into_rows();
            self.patients -= old.len();
            let old = old.into_iter().map(|row| (row.patient.clone(), row));
            let mut rows: BTreeMap<String, Row> = old.collect();
            for (patient, row) in changes {
                match row {
                    Some(row) => drop(rows.insert(patient, row)),
                    None => drop(rows.remove(&patient)),
                }
            }
            self.patients += rows.len();
            let rows: Vec<Row> = rows.into_values().collect();
            let parts = match rows.len() > ROWS_MAX {
                true => rows
                    .chunks(ROWS_MAX / 2)
                    .map(|part| Shelf::of(part.to_vec()))
                    .collect(),
                false => vec![Shelf::of(rows)],
            };
            shelves.splice(
                at..=at,
                parts.into_iter().filter(|shelf| !shelf.rows().is_empty()),
            );
        }
    }

    /// The first patients that fit, of one facility or of all.
    pub fn find(&self, facility: Option<&str>, find: &Find) -> Found {
        let mut found = Found::default();
        let mut more = |row: &Row| {
            found.more = found.rows.len() == FOUND_MAX;
            if !found.more {
                found.rows.push(row.clone());
            }
            !found.more
        };
        let shelves: Box<dyn Iterator<Item = &Shelf>> = match facility {
            Some(facility) => Box::new(self.facilities.get(facility).into_iter().flatten()),
            None => Box::new(self.facilities.values().flatten()),
        };
        for shelf in shelves {
            if !shelf.find(find, &mut more) {
                break;
            }
        }
        found
    }
}

fn key(row: &Row) -> (&str, &str) {
    (&row.facility, &row.patient)
}

/// The shelf that has a patient, if any has.
fn shelf_of(shelves: &[Shelf], patient: &str) -> Option<usize> {
    shelves
        .partition_point(|shelf| shelf.first() <= patient)
        .checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn row(facility: &str, patient: &str, name: &str, kana: &str) -> Row {
        Row {
            facility: facility.into(),
            patient: patient.into(),
            name: name.into(),
            kana: kana.into(),
            birth: Some(19_550_102),
            sex: Some(Sex::Female),
        }
    }

    fn ids(found: &Found) -> Vec<&str> {
        found.rows.iter().map(|row| row.patient.as_str()).collect()
    }

    #[test]
    fn a_patient_is_found_by_every_spelling_and_part() {
        let roster = Roster::of(vec![
            row("A", "0001000052", "山田　花子", "ヤマダ　ハナコ"),
            row("A", "0001000053", "山本　太郎", "ヤマモト　タロウ"),
            row("B", "0001000052", "山田　花子", "ヤマダ　ハナコ"),
        ]);
        for words in [
            "山田",
            "花子",
            "山田花子",
            "山田 花子",
            "やまだ",
            "ヤマダ",
            "ﾔﾏﾀﾞ",
            "ﾊﾅｺ",
            "はな",
            "1000052",
            "0001000052",
            "00000001000052",
            "００５２",
        ] {
            let found = roster.find(Some("A"), &Find::new(words, None, None));
            assert_eq!(ids(&found), ["0001000052"], "{words}");
            assert!(!found.more);
        }
        let both = roster.find(None, &Find::new("山田", None, None));
        assert_eq!(both.rows.len(), 2);
        for (birth, sex, count) in [
            (Some(19_550_102), None, 2),
            (Some(19_550_103), None, 0),
            (None, Some(Sex::Female), 2),
            (None, Some(Sex::Male), 0),
        ] {
            let found = roster.find(Some("A"), &Find::new("", birth, sex));
            assert_eq!(found.rows.len(), count);
        }
        assert!(
            roster
                .find(Some("C"), &Find::new("", None, None))
                .rows
                .is_empty()
        );
        assert!(
            roster
                .find(Some("A"), &Find::new("花子ヤマ", None, None))
                .rows
                .is_empty()
        );
    }

    #[test]
    fn a_search_shows_a_bounded_number() {
        let rows = (0..5000).map(|at| row("A", &format!("{at:08}"), "山田", ""));
        let roster = Roster::of(rows.collect());
        let found = roster.find(Some("A"), &Find::new("山田", None, None));
        assert_eq!((found.rows.len(), found.more), (FOUND_MAX, true));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Changes in any order give what a list would have.
        #[test]
        fn agrees_with_a_slow_list(
            first in prop::collection::btree_map(0..6000_u32, "[あ-う]{1,2}", 0..4000),
            changes in prop::collection::btree_map(0..6000_u32, prop::option::of("[あ-う]{1,2}"), 0..60),
            word in "[あ-う]{1,2}",
        ) {
            let id = |number: &u32| format!("{number:08}");
            let rows = first.iter().map(|(number, name)| row("A", &id(number), name, ""));
            let mut roster = Roster::of(rows.collect());
            let mut list: BTreeMap<u32, String> = first.clone();
            let mut wanted = BTreeMap::new();
            for (number, name) in &changes {
                wanted.insert(id(number), name.as_ref().map(|name| row("A", &id(number), name, "")));
                match name {
                    Some(name) => { list.insert(*number, name.clone()); }
                    None => { list.remove(number); }
                }
            }
            roster.change("A", wanted);
            prop_assert_eq!(roster.len(), list.len());
            let expected: Vec<String> = list.iter()
                .filter(|(_, name)| folded(name).contains(&folded(&word)))
                .map(|(number, _)| id(number)).take(FOUND_MAX).collect();
            let found = roster.find(Some("A"), &Find::new(&word, None, None));
            prop_assert_eq!(ids(&found), expected.iter().map(String::as_str).collect::<Vec<_>>());
            for (number, name) in &list {
                let row = roster.row("A", &id(number));
                prop_assert_eq!(row.map(|row| &row.name), Some(name));
            }
        }
    }
}
