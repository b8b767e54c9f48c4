//! A run of patients, side by side in one string that is searched as a whole.

use memchr::memmem;

use super::{Find, Row};

/// Patients of a shelf, at most: what is written anew when one changes.
pub(super) const ROWS_MAX: usize = 2048;

/// What lies between the parts of a patient and between patients; folded text
/// has none of both.
const PART: char = '\u{1f}';
const END: char = '\u{1e}';

/// Patients sorted by id.
#[derive(Default)]
pub(super) struct Shelf {
    /// Name, kana and id of each, folded.
    folded: String,
    /// Where each ends in it.
    ends: Vec<u32>,
    rows: Vec<Row>,
}

impl Shelf {
    /// A shelf of rows that are sorted by id.
    pub(super) fn of(rows: Vec<Row>) -> Shelf {
        let mut shelf = Shelf::default();
        for row in &rows {
            for part in [&row.name, &row.kana] {
                shelf.folded.push_str(&super::folded(part));
                shelf.folded.push(PART);
            }
            shelf.folded.push_str(&super::folded(&row.patient));
            shelf.folded.push(END);
            shelf.ends.push(shelf.folded.len() as u32);
        }
        shelf.rows = rows;
        shelf
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    /// The id of the first patient.
    pub(super) fn first(&self) -> &str {
        self.rows.first().map_or("", |row| row.patient.as_str())
    }

    /// Patients that fit, as far as `more` wants them.
    pub(super) fn find<'a>(&'a self, find: &Find, more: &mut dyn FnMut(&'a Row) -> bool) -> bool {
        let Some((first, others)) = find.words.split_first() else {
            return self.rows.iter().filter(|row| fits(row, find)).all(more);
        };
        let finder = memmem::Finder::new(first.as_bytes());
        let haystack = self.folded.as_bytes();
        let mut from = 0;
        while let Some(at) = haystack.get(from..).and_then(|rest| finder.find(rest)) {
            let row = self.ends.partition_point(|&end| end as usize <= from + at);
            let (Some(&end), Some(found)) = (self.ends.get(row), self.rows.get(row)) else {
                break;
            };
            let begin = match row {
                0 => 0,
                _ => self.ends[row - 1] as usize,
            };
            from = end as usize;
            let own = &haystack[begin..from];
            let all = others
                .iter()
                .all(|word| memmem::find(own, word.as_bytes()).is_some());
            if all && fits(found, find) && !more(found) {
                return false;
            }
        }
        true
    }
}

fn fits(row: &Row, find: &Find) -> bool {
    find.birth.is_none_or(|birth| row.birth == Some(birth))
        && (find.sex.is_none() || find.sex == row.sex)
}
