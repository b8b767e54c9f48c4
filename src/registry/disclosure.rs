//! Disclosure (開示制御): what a facility may see of others: `disclosure.csv`.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::table::{FaultKind, OnBadRow, Source, Table, read};

const COLUMNS: [&str; 4] = ["person_id", "owner_facility_id", "allowed", "until"];

/// What is said about each person and owner. No row means no.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disclosure {
    rules: BTreeMap<(String, String), (Rule, u64)>,
}

/// What is said about one person's records at one facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// They may be seen.
    Allowed {
        /// To the end of this day, Japanese time; `None` for without an end.
        until: Option<Date>,
    },
    /// They may not, or the table contradicts itself, or the row can't be read.
    Denied,
}

impl Disclosure {
    /// Reads `disclosure.csv`. Whatever might have been a "no" is one: a row that can't be read,
    /// and rows that say different things.
    pub fn read(source: Source<'_>) -> Table<Self> {
        read(
            source,
            &COLUMNS,
            OnBadRow::Void,
            |disclosure: &mut Self, row| {
                let key = (
                    row.get("person_id").to_owned(),
                    row.get("owner_facility_id").to_owned(),
                );
                let rule = rule(row.get("allowed"), row.get("until"));
                let read = rule.as_ref().map_or(Rule::Denied, |rule| *rule);
                if let Some((before, first)) = disclosure.rules.get_mut(&key) {
                    let what = format!("person {} and owner {}", key.0, key.1);
                    let first = *first;
                    if *before != read {
                        *before = Rule::Denied;
                    }
                    return Err(FaultKind::Duplicate { what, first });
                }
                disclosure.rules.insert(key.clone(), (read, row.line));
                row.required("person_id")?;
                row.required("owner_facility_id")?;
                rule.map(drop)
            },
        )
    }

    /// What is said about a person's records at a facility; `None` where nothing is.
    pub fn rule(&self, person: &str, owner: &str) -> Option<Rule> {
        let key = (person.to_owned(), owner.to_owned());
        self.rules.get(&key).map(|(rule, _)| *rule)
    }
}

fn rule(allowed: &str, until: &str) -> Result<Rule, FaultKind> {
    let until = match until {
        "" => None,
        text => Some(text.parse::<Date>().map_err(|_| FaultKind::Value {
            column: "until",
            value: text.to_owned(),
            expected: "a day as 2026-03-31, or nothing",
        })?),
    };
    match allowed {
        "true" => Ok(Rule::Allowed { until }),
        "false" => Ok(Rule::Denied),
        other => Err(FaultKind::Value {
            column: "allowed",
            value: other.to_owned(),
            expected: "true or false",
        }),
    }
}
