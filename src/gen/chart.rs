//! Charts: what a patient suffers from, takes and measures. All records of a patient agree with it.

use super::chance::{Chance, Stream, digest, share};
use super::disease::{ALLERGENS, DISEASES, OF_CHILDREN};
use super::facility::Facility;
use super::laboratory::Test;
use super::moment::Moment;
use super::person::Person;
use super::pharmacy::ORAL;
use super::ward::DEPARTMENTS;

/// Period of the slow change in a series of measurements, in days.
const SERIES_PERIOD_DAYS: f64 = 97.0;

/// A problem of a patient.
pub(super) struct Problem {
    /// Place in `disease::DISEASES`.
    pub(super) disease: usize,
    pub(super) onset: Moment,
    pub(super) suspected: bool,
    /// Place in `disease::MODIFIERS`.
    pub(super) modifier: Option<usize>,
}

/// A patient of a facility.
pub(super) struct Patient<'a> {
    pub(super) facility: &'a Facility,
    /// Number at the facility, from 0.
    pub(super) number: u64,
    /// Id at the facility.
    pub(super) id: String,
    pub(super) person: Person,
    pub(super) problems: Vec<Problem>,
    /// Places in `disease::ALLERGENS`.
    pub(super) allergies: Vec<usize>,
    /// Places in `pharmacy::ORAL`: what is prescribed again and again.
    pub(super) drugs: Vec<usize>,
    /// Department and doctor of most records.
    pub(super) department: usize,
    pub(super) doctor: usize,
    /// Names this patient's streams of chance.
    pub(super) stream: [u64; 2],
    seed: u64,
}

impl<'a> Patient<'a> {
    /// Opens the chart of patient `number` of a facility; `first` is where the person was
    /// registered first: facility and number.
    pub(super) fn of(seed: u64, facility: &'a Facility, number: u64, first: (u64, u64)) -> Self {
        let stream = [u64::from(facility.index), number];
        // Illness and allergy belong to the person, department and doctor to the patient.
        let chance = &mut Chance::of(seed, Stream::Chart, &[first.0, first.1]);
        let start = Moment::of_date(2025, 4, 1);
        let person = Person::of(seed, first.0, first.1);
        let all: Vec<usize> = (0..DISEASES.len()).collect();
        let possible = if person.is_child() { OF_CHILDREN } else { &all };
        let mut diseases: Vec<usize> = (0..1 + chance.below(5))
            .map(|_| *chance.pick(possible))
            .collect();
        diseases.sort_unstable();
        diseases.dedup();
        let problems: Vec<Problem> = diseases
            .iter()
            .map(|&disease| Problem {
                disease,
                onset: start.plus_days(-chance.between(1, 4000)).max(person.birth),
                suspected: chance.percent(8.0),
                modifier: chance.percent(20.0).then(|| chance.below(5)),
            })
            .collect();
        let mut drugs: Vec<usize> = problems
            .iter()
            .flat_map(|problem| DISEASES[problem.disease].drugs)
            .copied()
            .collect();
        drugs.push(chance.below(ORAL.len()));
        drugs.sort_unstable();
        drugs.dedup();
        let mut allergies: Vec<usize> = (0..1 + chance.below(3))
            .map(|_| chance.below(ALLERGENS.len()))
            .collect();
        allergies.sort_unstable();
        allergies.dedup();
        let here = digest(seed, Stream::Chart, &[stream[0], stream[1], 1]) as usize;
        Self {
            id: facility.patient_id(number),
            department: here % DEPARTMENTS.len(),
            doctor: (here >> 8) % facility.doctors.len().max(1),
            facility,
            number,
            person,
            problems,
            allergies,
            drugs,
            stream,
            seed,
        }
    }

    /// Choices of one event of this patient.
    pub(super) fn chance(&self, stream: Stream, number: u64) -> Chance {
        Chance::of(self.seed, stream, &[self.stream[0], self.stream[1], number])
    }

    /// What a test gives on a day: around the patient's own level, moved by the illnesses, with
    /// a slow wave and noise. The same test on the same day and `draw` gives the same.
    pub(super) fn measure(&self, test: &Test, at: Moment, draw: u64) -> f64 {
        let name = test.code.bytes().fold(0u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let own = |salt: u64| {
            share(digest(
                self.seed,
                Stream::Series,
                &[self.stream[0], self.stream[1], name, salt],
            ))
        };
        let (low, high) = test.range;
        let width = high - low;
        let moved: f64 = self
            .problems
            .iter()
            .flat_map(|problem| DISEASES[problem.disease].moves)
            .filter(|(short, _)| *short == test.short)
            .map(|(_, change)| change * (0.6 + 0.8 * own(3)))
            .sum();
        let wave =
            ((at.day_number() as f64 / SERIES_PERIOD_DAYS + own(1)) * std::f64::consts::TAU).sin();
        let level = low + width * (0.25 + 0.5 * own(2) + moved);
        (level + width * (0.12 * wave + 0.3 * (own(draw + 16) - 0.5))).max(low.min(width) * 0.05)
    }
}
