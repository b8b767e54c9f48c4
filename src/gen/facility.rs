//! Facilities: each has a gateway with habits of its own, and a staff.

use super::chance::{Chance, Stream};
use super::moment::Moment;
use super::people::PLACES;
use super::person::Staff;
use super::ward::{DEPARTMENTS, INSTITUTIONS, TOWNS};

/// Patients up to which ids of eight digits or fewer are roomy enough.
const SHORT_IDS_MAX: u64 = 1_000_000;

/// Habits of a facility's gateway: what real storages differ in.
pub(super) struct Habits {
    /// Digits of a patient id.
    id_width: usize,
    id_start: u64,
    id_step: u64,
    /// Departments with two digits instead of three.
    short_departments: bool,
    /// Order numbers of 13 digits instead of 15.
    pub(super) short_orders: bool,
    /// The local triplet of a coded field first.
    pub(super) local_first: bool,
    /// Family and given name of doctors in one component.
    pub(super) undivided: bool,
    /// OBX-8 is filled.
    pub(super) abnormal_flags: bool,
    /// Units as another laboratory writes them.
    pub(super) other_units: bool,
    /// MSH-18 and MSH-20.
    pub(super) charset: (&'static str, &'static str),
    /// PID-3 with an identifier type.
    pub(super) id_type: bool,
}

/// One facility.
pub(super) struct Facility {
    /// Place in the center, from 0.
    pub(super) index: u32,
    /// Ten digits.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) name_kana: String,
    pub(super) postal: &'static str,
    pub(super) address: &'static str,
    pub(super) phone: String,
    /// Patients of the initial storage, whether they have records or not.
    pub(super) patients: u64,
    pub(super) habits: Habits,
    pub(super) doctors: Vec<Staff>,
    pub(super) nurses: Vec<Staff>,
    pub(super) clerks: Vec<Staff>,
}

impl Facility {
    /// The facility with this number; always the same under one seed.
    pub(super) fn of(seed: u64, index: u32, patients: u64) -> Self {
        let chance = &mut Chance::of(seed, Stream::Facility, &[u64::from(index)]);
        let town = TOWNS[(index as usize + chance.below(3) * 7) % TOWNS.len()];
        let form = INSTITUTIONS[index as usize % INSTITUTIONS.len()];
        // Towns repeat in a large center; a numeral keeps the names apart.
        let number = match index as usize / TOWNS.len() {
            0 => String::new(),
            round => format!("第{}", round + 1),
        };
        let (postal, address, area) = *chance.pick(PLACES);
        let habits = Habits::draw(chance, patients);
        let mut staff = |prefix: &str, count: u32| -> Vec<Staff> {
            (1..=count)
                .map(|n| Staff::draw(chance, format!("{prefix}{n:03}")))
                .collect()
        };
        Self {
            index,
            id: format!("04{:08}", 10_000_001 + u64::from(index)),
            name: format!("{}{number}{}", town.0, form.0),
            name_kana: format!("{}{}", town.1, form.1),
            postal,
            address,
            phone: format!("{area}-{:03}-{:04}", 200 + index % 500, 1000 + index % 9000),
            patients,
            habits,
            doctors: staff("D", 14),
            nurses: staff("N", 12),
            clerks: staff("C", 4),
        }
    }

    /// The id of a patient, from the number that he has here.
    pub(super) fn patient_id(&self, number: u64) -> String {
        let Habits {
            id_width,
            id_start,
            id_step,
            ..
        } = self.habits;
        format!("{:0id_width$}", id_start + number * id_step)
    }

    /// Department code as this facility writes it.
    pub(super) fn department(&self, index: usize) -> &'static str {
        let code = DEPARTMENTS[index % DEPARTMENTS.len()].0;
        if self.habits.short_departments {
            &code[1..]
        } else {
            code
        }
    }

    /// An order number: the day of entry and a number within the patient's day or life.
    pub(super) fn order(&self, entered: Moment, number: u64) -> String {
        if self.habits.short_orders && number < 100_000 {
            format!("{}{number:05}", entered.date())
        } else {
            format!("{}{number:07}", entered.date())
        }
    }
}

impl Habits {
    fn draw(chance: &mut Chance, patients: u64) -> Self {
        let roomy = patients <= SHORT_IDS_MAX;
        let id_width = if roomy {
            [7, 8, 10, 10][chance.below(4)]
        } else {
            10
        };
        let id_step = if roomy { [1, 3, 7][chance.below(3)] } else { 1 };
        Self {
            id_width,
            id_start: 1_000 * (1 + chance.below(900) as u64),
            id_step,
            short_departments: chance.percent(40.0),
            short_orders: chance.percent(25.0),
            local_first: chance.percent(30.0),
            undivided: chance.percent(25.0),
            abnormal_flags: chance.percent(50.0),
            other_units: chance.percent(30.0),
            charset: (
                ["~ISO IR87", "~ISOIR87"][chance.below(2)],
                ["ISO 2022-1994", "ISO2022-1994"][chance.below(2)],
            ),
            id_type: chance.percent(70.0),
        }
    }
}
