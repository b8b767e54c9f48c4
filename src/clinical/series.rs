//! Series: results of one test over time.
//!
//! Results are joined only where analyte, specimen and unit agree. JLAC10 codes agree when
//! analyte, identification, material and kind of result do; the method may differ. Where a code
//! is a facility's own, only that facility's results are joined. Where the unit changes in
//! between, the line breaks.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use unicode_normalization::UnicodeNormalization;

use super::coded::Coded;
use super::folding::fold;
use super::laboratory::{Panel, Specimen};
use super::observation::{Comparator, Observation, ResultStatus};
use super::record::{Body, Record};
use super::when::When;

/// Digits of a full JLAC10 code, and its parts: analyte and identification, material, method,
/// kind of result.
const JLAC10_DIGITS: usize = 17;
const ANALYTE: std::ops::Range<usize> = 0..9;
const MATERIAL: std::ops::Range<usize> = 9..12;
const RESULT: std::ops::Range<usize> = 15..17;

/// Results that may be compared with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<'a> {
    /// The test's name, by the newest result.
    pub title: &'a str,
    /// The specimen's name, by the newest result; empty where it is not said.
    pub specimen: &'a str,
    /// The unit, by the newest result; empty for a ratio.
    pub unit: &'a str,
    /// The results, the oldest first.
    pub points: Vec<Point<'a>>,
}

/// One result in a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// OBX-14, else SPM-17, else OBR-7, else the record's date.
    pub at: DateTime,
    /// The record that it stands in.
    pub record: &'a Record,
    /// The result with its flag and range.
    pub observation: &'a Observation,
    /// The number; `None` for a result in words, which is listed, never drawn.
    pub value: Option<(Comparator, f64)>,
    /// The line is broken before this point: in between the test was reported in another unit.
    pub begins: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    analyte: String,
    specimen: String,
}

struct Found<'a> {
    point: Point<'a>,
    specimen: &'a str,
    unit: String,
}

/// The series of all laboratory results that count (valid, of this patient, not withdrawn), by
/// the tests' codes.
pub fn series<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Series<'a>> {
    let mut found: BTreeMap<Key, Vec<Found<'a>>> = BTreeMap::new();
    for record in records.into_iter().filter(|record| record.counts()) {
        let Body::LabResult(report) = &record.body else {
            continue;
        };
        for (specimen, panel, observation) in report.results() {
            let Some(at) = time_of(record, specimen, panel, observation) else {
                continue;
            };
            if !is_result(observation) {
                continue;
            }
            let point = Point {
                at,
                record,
                observation,
                value: observation.number(),
                begins: false,
            };
            found
                .entry(Key::of(record, specimen, observation))
                .or_default()
                .push(Found {
                    point,
                    specimen: specimen.material.text(),
                    unit: unit_of(&observation.unit),
                });
        }
    }
    found.into_values().flat_map(by_unit).collect()
}

fn is_result(observation: &Observation) -> bool {
    let status = &observation.status;
    !observation.readings.is_empty()
        && !matches!(status, ResultStatus::Withdrawn | ResultStatus::Ordered)
}

fn time_of(
    record: &Record,
    specimen: &Specimen,
    panel: &Panel,
    observation: &Observation,
) -> Option<DateTime> {
    let times = [&observation.at, &specimen.collected, &panel.observed];
    let known = times
        .into_iter()
        .flatten()
        .find(|when| when.day().is_some());
    let at = known.and_then(When::earliest);
    at.or_else(|| Some(record.date?.to_datetime(jiff::civil::Time::midnight())))
}

/// One series for each unit; a point knows whether another unit came in between.
fn by_unit(mut found: Vec<Found<'_>>) -> Vec<Series<'_>> {
    found.sort_by_key(|one| one.point.at);
    let mut series: BTreeMap<String, Series<'_>> = BTreeMap::new();
    let mut unit_before: Option<String> = None;
    for Found {
        mut point,
        specimen,
        unit,
    } in found
    {
        point.begins = unit_before.as_ref() != Some(&unit);
        let one = series.entry(unit.clone()).or_insert_with(|| Series {
            title: "",
            specimen: "",
            unit: "",
            points: Vec::new(),
        });
        one.title = point.observation.code.text();
        one.specimen = specimen;
        one.unit = point.observation.unit.text();
        one.points.push(point);
        unit_before = Some(unit);
    }
    series.into_values().collect()
}

impl Series<'_> {
    /// The points that one line may join: cut where the unit changed in between. Results without
    /// a number are in none.
    pub fn lines(&self) -> Vec<Vec<&Point<'_>>> {
        let mut lines: Vec<Vec<&Point<'_>>> = Vec::new();
        for point in &self.points {
            if point.begins || lines.is_empty() {
                lines.push(Vec::new());
            }
            if let (Some(line), Some(_)) = (lines.last_mut(), point.value) {
                line.push(point);
            }
        }
        lines.retain(|line| !line.is_empty());
        lines
    }
}

impl Key {
    fn of(record: &Record, specimen: &Specimen, observation: &Observation) -> Self {
        let material = &specimen.material;
        let by_specimen = material
            .code_in("JC10")
            .map(str::to_owned)
            .unwrap_or_else(|| fold(material.text()));
        let jlac10 = observation
            .code
            .code_in("JC10")
            .filter(|code| is_full(code));
        let part = |range| jlac10.and_then(|code| code.get(range)).unwrap_or_default();
        if jlac10.is_some() {
            // Where SPM-4 is silent, the code's own material tells.
            let told = if by_specimen.is_empty() {
                part(MATERIAL).to_owned()
            } else {
                by_specimen
            };
            return Self {
                analyte: format!("JC10 {} {}", part(ANALYTE), part(RESULT)),
                specimen: format!("{} {told}", part(MATERIAL)),
            };
        }
        let code = observation
            .code
            .standard()
            .or(observation.code.codes.first());
        let analyte = match code {
            Some(code) if code.is_standard() && !code.code.is_empty() => {
                format!("{} {}", code.system, code.code)
            }
            Some(code) => format!(
                "{} {} {} {}",
                record.place.facility,
                code.system,
                code.code,
                fold(&code.text)
            ),
            None => format!(
                "{} {}",
                record.place.facility,
                fold(observation.code.text())
            ),
        };
        Self {
            analyte,
            specimen: by_specimen,
        }
    }
}

fn is_full(code: &str) -> bool {
    code.len() == JLAC10_DIGITS && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The form by which units are compared. Case is folded but for a leading `M`, which is a
/// million where `m` is a thousandth; thousands in kanji are `10*3`.
fn unit_of(unit: &Coded) -> String {
    let code = unit.codes.first();
    let text = code.map_or("", |code| {
        if code.code.is_empty() {
            &code.text
        } else {
            &code.code
        }
    });
    let plain: String = text
        .nfkc()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| match letter {
            'µ' | 'μ' => 'u',
            '×' => 'x',
            letter => letter,
        })
        .collect();
    let plain = plain
        .replace('千', "10*3")
        .replace('万', "10*4")
        .replace("x10^", "10*")
        .replace("10^", "10*");
    let parts: Vec<String> = plain
        .split('/')
        .map(|part| match part.strip_prefix('M') {
            Some(rest) => format!("M{}", rest.to_lowercase()),
            None => part.to_lowercase(),
        })
        .collect();
    parts.join("/")
}
