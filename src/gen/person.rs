//! People: patients and staff. A person is the same at every facility.

use super::chance::{Chance, Stream};
use super::moment::Moment;
use super::people::{EMPLOYERS, FAMILIES, INSURANCES, KINSHIPS, MEN, PLACES, WOMEN};

/// Years of childhood, as paediatric departments count them.
const CHILD_YEARS: i16 = 16;

/// A name in kanji and in katakana.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) family: &'static str,
    pub(super) given: &'static str,
    pub(super) family_kana: &'static str,
    pub(super) given_kana: &'static str,
}

impl Name {
    fn draw(chance: &mut Chance, male: bool) -> Self {
        let (family, family_kana) = *chance.pick(FAMILIES);
        let (given, given_kana) = *chance.pick(if male { MEN } else { WOMEN });
        Self {
            family,
            given,
            family_kana,
            given_kana,
        }
    }

    /// PID-5 and the like: XPN with kanji and kana repetitions.
    pub(super) fn xpn(&self) -> String {
        let Self {
            family,
            given,
            family_kana,
            given_kana,
        } = self;
        format!("{family}^{given}^^^^^L^I~{family_kana}^{given_kana}^^^^^L^P")
    }
}

/// A member of the staff: XCN fields are written by it.
#[derive(Clone)]
pub(super) struct Staff {
    pub(super) id: String,
    pub(super) name: Name,
}

impl Staff {
    pub(super) fn draw(chance: &mut Chance, id: String) -> Self {
        let male = chance.percent(50.0);
        Self {
            id,
            name: Name::draw(chance, male),
        }
    }

    /// XCN; `undivided` writes family and given name in one, as some gateways do.
    pub(super) fn xcn(&self, undivided: bool) -> String {
        let (id, family, given) = (&self.id, self.name.family, self.name.given);
        if undivided {
            format!("{id}^{family}{given}^^^^^^^^L^^^^^I")
        } else {
            format!("{id}^{family}^{given}^^^^^^^L^^^^^I")
        }
    }
}

/// Who a patient is, everywhere.
pub(super) struct Person {
    pub(super) name: Name,
    pub(super) male: bool,
    pub(super) birth: Moment,
    pub(super) postal: &'static str,
    /// Address with block numbers.
    pub(super) address: String,
    pub(super) phone: String,
    pub(super) work_phone: Option<String>,
    pub(super) kin: Name,
    /// HL70063 code and text.
    pub(super) kinship: (&'static str, &'static str),
    pub(super) employer: &'static str,
    /// JHSD0001 code and text, and the insurer's number.
    pub(super) insurance: (&'static str, &'static str, String),
    pub(super) height_cm: f64,
    pub(super) weight_kg: f64,
    pub(super) blood: &'static str,
    pub(super) rh_negative: bool,
}

impl Person {
    /// The person with these numbers (facility of first registration, number there).
    pub(super) fn of(seed: u64, facility: u64, number: u64) -> Self {
        let chance = &mut Chance::of(seed, Stream::Person, &[facility, number]);
        let male = chance.percent(48.0);
        let name = Name::draw(chance, male);
        let kin_male = chance.percent(50.0);
        let kin = Name {
            family: name.family,
            family_kana: name.family_kana,
            ..Name::draw(chance, kin_male)
        };
        // The old are ill more often: three draws, the earliest year counts twice.
        let years = [chance.between(0, 95), chance.between(25, 95)];
        let age = years[usize::from(chance.percent(70.0))];
        let birth = Moment::of_date(2025, 3, 31).plus_days(-age * 365 - chance.between(1, 364));
        let (postal, place, area) = *chance.pick(PLACES);
        let wide = chance.percent(60.0);
        let block = [
            chance.between(1, 9),
            chance.between(1, 29),
            chance.between(1, 19),
        ];
        let block = if wide {
            block
                .map(|n| n.to_string().chars().map(wide_digit).collect::<String>())
                .join("－")
        } else {
            block.map(|n| n.to_string()).join("-")
        };
        let insurance = if age >= 75 {
            &INSURANCES[3]
        } else {
            chance.pick(INSURANCES)
        };
        let (height_cm, weight_kg) = body(chance, male, age);
        Self {
            name,
            male,
            birth,
            postal,
            address: format!("{place}{block}"),
            phone: format!(
                "{area}-{:03}-{:04}",
                chance.between(200, 399),
                chance.between(0, 9999)
            ),
            work_phone: chance.percent(25.0).then(|| {
                format!(
                    "{area}-{:03}-{:04}",
                    chance.between(700, 799),
                    chance.between(0, 9999)
                )
            }),
            kin,
            kinship: *chance.pick(KINSHIPS),
            employer: EMPLOYERS[chance.below(EMPLOYERS.len())],
            insurance: (
                insurance.0,
                insurance.1,
                format!("{}{:04}", insurance.2, chance.between(1000, 9999)),
            ),
            height_cm,
            weight_kg,
            blood: ["A", "A", "A", "A", "O", "O", "O", "B", "B", "AB"][chance.below(10)],
            rh_negative: chance.percent(0.5),
        }
    }

    /// Whether paediatricians see the patient.
    pub(super) fn is_child(&self) -> bool {
        self.birth > Moment::of_date(2025 - CHILD_YEARS, 4, 1)
    }

    /// PID-8.
    pub(super) fn sex(&self) -> &'static str {
        if self.male { "M" } else { "F" }
    }
}

/// Height in centimetres and weight in kilograms; children grow into it.
fn body(chance: &mut Chance, male: bool, age: i64) -> (f64, f64) {
    let (low, high, light) = if male { (158, 182, 52) } else { (145, 168, 42) };
    let height = chance.between(low * 10, high * 10) as f64 / 10.0;
    let weight = chance.between(light * 10, (light + 38) * 10) as f64 / 10.0;
    let grown = (age as f64 / f64::from(CHILD_YEARS)).min(1.0);
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    (
        tenths(52.0 + (height - 52.0) * grown),
        tenths(3.2 + (weight - 3.2) * grown),
    )
}

/// The full-width form of an ASCII digit.
fn wide_digit(digit: char) -> char {
    char::from_u32(u32::from(digit) + 0xFEE0).unwrap_or(digit)
}
