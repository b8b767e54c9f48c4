//! The emergency summary: what a doctor in a shelter needs on one page.
//!
//! Only records that count are in it. Those that were left out because they may be another
//! patient's are listed, so that a page can say so. That nothing is recorded is told apart from
//! nothing being wrong.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::administration::Administration;
use super::allergy::{Allergy, AllergyClass};
use super::basics::Basics;
use super::folding::fold;
use super::kind::Kind;
use super::problem::Problem;
use super::record::{Body, Record};
use super::regimen::{Medication, Taking, medications};
use super::series::{Series, series};
use super::stay::{Stay, stays};
use super::when::When;

/// Administrations, stays and documents that are shown at most.
const GIVEN_MAX: usize = 20;
const STAYS_MAX: usize = 5;
const DOCUMENTS_MAX: usize = 10;
/// Days for which a drug is shown whose end is not known.
const UNKNOWN_DAYS: i32 = 180;
/// Days for which what was given is shown.
const GIVEN_DAYS: i32 = 7;

/// A patient on one page.
#[derive(Debug, Clone, PartialEq)]
pub struct EmergencySummary<'a> {
    /// The newest basics.
    pub basics: Option<(&'a Record, &'a Basics)>,
    /// Allergies, drugs and severe ones first, each once.
    pub allergies: Vec<(&'a Record, &'a Allergy)>,
    /// Some record speaks of allergies. If not, nothing is known, which is not "none".
    pub allergies_recorded: bool,
    /// Problems that are not over, main ones first.
    pub problems: Vec<(&'a Record, &'a Problem)>,
    /// What was *ordered* and is probably still taken, planned, or unclear (an estimate), each
    /// drug once.
    pub medications: Vec<Medication<'a>>,
    /// What was *given* in the last days before the newest of it.
    pub given: Vec<(&'a Record, &'a Administration)>,
    /// Laboratory results by test; the last point of each is the newest.
    pub laboratory: Vec<Series<'a>>,
    /// The last stays.
    pub stays: Vec<Stay<'a>>,
    /// The newest documents.
    pub documents: Vec<&'a Record>,
    /// Valid records that were left out: they may be another patient's.
    pub left_out: Vec<&'a Record>,
    /// The newest date folder among the records.
    pub newest: Option<Date>,
}

/// Puts a summary together from the current records of one patient. `today` decides what is
/// probably still taken.
pub fn summarize<'a>(records: &[&'a Record], today: Date) -> EmergencySummary<'a> {
    let all = || records.iter().copied();
    let counting: Vec<&'a Record> = all().filter(|record| record.counts()).collect();
    let allergies = allergies_of(&counting);
    let mut documents: Vec<&'a Record> = counting
        .iter()
        .copied()
        .filter(|record| matches!(record.body, Body::Document(_)))
        .collect();
    documents.sort_by(|one, other| (other.date, &other.timestamp).cmp(&(one.date, &one.timestamp)));
    documents.truncate(DOCUMENTS_MAX);
    let mut stays = stays(all());
    stays.truncate(STAYS_MAX);
    EmergencySummary {
        basics: basics_of(&counting),
        allergies_recorded: counting.iter().any(|record| speaks_of_allergies(record)),
        allergies,
        problems: problems_of(&counting),
        medications: taken(all(), today),
        given: given_of(&counting),
        laboratory: series(all()),
        stays,
        documents,
        left_out: all().filter(|record| record.warning().is_some()).collect(),
        newest: counting.iter().filter_map(|record| record.date).max(),
    }
}

fn basics_of<'a>(records: &[&'a Record]) -> Option<(&'a Record, &'a Basics)> {
    let found = records.iter().filter_map(|record| match &record.body {
        Body::Basics(basics) => Some((*record, &**basics)),
        _ => None,
    });
    found.max_by(|one, other| one.0.timestamp.cmp(&other.0.timestamp))
}

/// ADT-61 is there, or the basics name an allergy.
fn speaks_of_allergies(record: &Record) -> bool {
    match &record.body {
        Body::Allergies(_) => record.kind == Kind::Allergies,
        Body::Basics(basics) => !basics.allergies.is_empty(),
        _ => false,
    }
}

fn allergies_of<'a>(records: &[&'a Record]) -> Vec<(&'a Record, &'a Allergy)> {
    let mut found: Vec<(&'a Record, &'a Allergy)> = Vec::new();
    // ADT-61 says more than ADT-00, so it comes first.
    for record in records {
        if let Body::Allergies(allergies) = &record.body {
            found.extend(allergies.iter().map(|allergy| (*record, allergy)));
        }
    }
    for record in records {
        if let Body::Basics(basics) = &record.body {
            found.extend(basics.allergies.iter().map(|allergy| (*record, allergy)));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|(_, allergy)| {
        !allergy.is_withdrawn() && seen.insert((allergy.class, fold(allergy.substance.text())))
    });
    found.sort_by_key(|(_, allergy)| {
        (
            allergy.class != AllergyClass::Drug,
            !allergy.is_severe(),
            allergy.class,
        )
    });
    found
}

fn problems_of<'a>(records: &[&'a Record]) -> Vec<(&'a Record, &'a Problem)> {
    let mut found: Vec<(&'a Record, &'a Problem)> = Vec::new();
    for record in records {
        if let Body::Problems(problems) = &record.body {
            found.extend(problems.iter().map(|problem| (*record, problem)));
        }
    }
    found.retain(|(_, problem)| !problem.is_withdrawn() && !problem.is_over());
    found.sort_by_key(|(_, problem)| {
        let since = problem.since().and_then(When::earliest);
        (!problem.is_main(), std::cmp::Reverse(since))
    });
    found
}

/// What was prescribed and is not over, as far as that is known, each drug once: the newest
/// prescription of it. An estimate.
pub fn taken<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    today: Date,
) -> Vec<Medication<'a>> {
    let recent = |from: Option<Date>| {
        from.is_none_or(|from| {
            today
                .since(from)
                .is_ok_and(|span| span.get_days() <= UNKNOWN_DAYS)
        })
    };
    let mut seen = BTreeSet::new();
    let mut found = medications(records, today);
    found.retain(|one| {
        let shown = match one.taking {
            Taking::Probably { .. } | Taking::Planned { .. } => true,
            Taking::Unknown => recent(one.from),
            Taking::Over { .. } => false,
        };
        let drug = &one.order.drug;
        let name = drug
            .standard()
            .map_or_else(|| fold(drug.text()), |code| code.code.clone());
        shown && seen.insert((name, one.order.usage()))
    });
    found
}

fn given_of<'a>(records: &[&'a Record]) -> Vec<(&'a Record, &'a Administration)> {
    let mut found: Vec<(&'a Record, &'a Administration)> = Vec::new();
    for record in records {
        if let Body::PrescriptionGiven(given) | Body::InjectionGiven(given) = &record.body {
            found.extend(given.iter().map(|one| (*record, one)));
        }
    }
    let day = |(record, one): &(&Record, &Administration)| {
        one.from.as_ref().and_then(When::day).or(record.date)
    };
    let newest = found.iter().filter_map(day).max();
    found.retain(|one| match (newest, day(one)) {
        (Some(newest), Some(day)) => newest
            .since(day)
            .is_ok_and(|span| span.get_days() < GIVEN_DAYS),
        _ => false,
    });
    found.sort_by_key(|(_, one)| std::cmp::Reverse(one.from.as_ref().and_then(When::earliest)));
    found.truncate(GIVEN_MAX);
    found
}
