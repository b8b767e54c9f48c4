//! Medication: what is ordered (OMP-01, OMP-02) and what is given (OMP-11, OMP-12).

use super::chance::{Chance, Stream};
use super::frame::Page;
use super::message::Message;
use super::pharmacy::{Drug, INFUSIONS, Infusion, ORAL, REMARKS, USAGES};
use super::ward::WARDS;

/// Drugs on one prescription at most.
const DRUGS_MAX: usize = 5;
/// Days that a prescription is for.
const COURSES: [u32; 6] = [5, 7, 14, 28, 28, 35];

impl Page<'_> {
    fn subject(&self) -> Chance {
        self.patient.chance(Stream::Event, self.event.subject)
    }

    /// The drugs of this prescription: the patient's own, now and then one more.
    fn drugs(&self, chance: &mut Chance) -> Vec<&'static Drug> {
        let own = &self.patient.drugs;
        let count = 1 + chance.below(own.len().min(DRUGS_MAX));
        let from = chance.below(own.len());
        let mut places: Vec<usize> = (0..count).map(|n| own[(from + n) % own.len()]).collect();
        if chance.percent(15.0) {
            places.push(chance.below(ORAL.len()));
        }
        places.sort_unstable_by_key(|&place| (ORAL[place].usage, place));
        places.dedup();
        places.into_iter().map(|place| &ORAL[place]).collect()
    }

    /// OMP-01: a prescription; drugs with one usage stand in one Rp.
    pub(super) fn prescription(&self, message: &mut Message) {
        let chance = &mut self.subject();
        self.pv1(message, None);
        let drugs = self.drugs(chance);
        let days =
            COURSES[(chance.below(COURSES.len()) + self.version.revision as usize) % COURSES.len()];
        let inside = self.event.stay.is_some() || chance.percent(25.0);
        let place = match (self.event.stay.is_some(), inside) {
            (true, _) => "IHP^入院処方^MR9P~OHI^院内処方^MR9P",
            (false, true) => "OHP^外来処方^MR9P~OHI^院内処方^MR9P",
            (false, false) => "OHP^外来処方^MR9P~OHE^院外処方^MR9P",
        };
        let (mut group, mut usage) = (0, usize::MAX);
        for drug in drugs {
            if drug.usage != usage {
                (group, usage) = (group + 1, drug.usage);
            }
            let (code, text, times) = USAGES[usage];
            let unit = format!("{}^{}^MR9P", drug.unit, drug.unit_name);
            self.orc(message, "NW", &self.event.order, &group.to_string(), "");
            let remark = if chance.percent(12.0) {
                format!("^{}^99XY4", chance.pick(REMARKS))
            } else {
                String::new()
            };
            message
                .segment("RXE")
                .at(2, format_args!("{}^{}^HOT9", drug.code, drug.name))
                .at(3, tenths(drug.dose_tenths))
                .at(5, &unit)
                .at(7, remark)
                .at(10, tenths(drug.dose_tenths * times * days))
                .at(11, &unit)
                .at(
                    15,
                    format_args!(
                        "{}{:03}",
                        self.event.happened.date(),
                        self.event.number % 1000
                    ),
                )
                .at(
                    19,
                    format_args!(
                        "{}^{}&{}&MR9P",
                        tenths(drug.dose_tenths * times),
                        drug.unit,
                        drug.unit_name
                    ),
                )
                .at(21, place);
            message
                .segment("TQ1")
                .at(1, 1)
                .at(3, format_args!("{code}&{text}&JAMISDP01"))
                .at(6, format_args!("{days}^d"))
                .at(7, format_args!("{}00", self.event.happened.date()));
            message.segment("RXR").at(1, route(drug));
        }
    }

    /// OMP-11: drugs given at one time.
    pub(super) fn prescription_given(&self, message: &mut Message) {
        let chance = &mut self.subject();
        self.pv1(message, None);
        let drugs = self.drugs(chance);
        self.orc(message, "NW", &self.event.order, "1", "");
        let ward = self.event.stay.map_or("薬剤部^^^^^N".to_owned(), |stay| {
            format!("{}^{}^{}^^^N", WARDS[stay.ward].0, stay.room, stay.bed)
        });
        for drug in &drugs {
            let refused = chance.percent(2.0);
            self.rxa(
                message,
                (drug.code, drug.name),
                &tenths(drug.dose_tenths),
                (drug.unit, drug.unit_name),
                &ward,
                refused,
                "",
            );
            message.segment("RXR").at(1, route(drug));
        }
    }

    fn infusion(&self, chance: &mut Chance) -> &'static Infusion {
        // One or two infusions are the patient's own: they run day after day.
        let own = (self.patient.stream[1] as usize * 3 + chance.below(2)) % INFUSIONS.len();
        if chance.percent(80.0) {
            &INFUSIONS[own]
        } else {
            chance.pick(INFUSIONS)
        }
    }

    /// OMP-02: infusions ordered.
    pub(super) fn injection_order(&self, message: &mut Message) {
        let chance = &mut self.subject();
        self.pv1(message, None);
        let infusion = self.infusion(chance);
        let bottles = if infusion.hours > 8 {
            1
        } else {
            1 + chance.below(2) as i64
        };
        for bottle in 0..bottles {
            let from = self
                .event
                .happened
                .plus_minutes(120 + bottle * i64::from(infusion.hours) * 60);
            let to = from.plus_minutes(i64::from(infusion.hours) * 60);
            let group = format!("{}_01_{:03}", self.event.order, bottle + 1);
            self.orc(message, "NW", &self.event.order, &group, "");
            let rate = infusion.volume_ml / infusion.hours;
            message
                .segment("RXE")
                .at(2, "00^一般^99I02")
                .at(3, infusion.volume_ml + self.version.revision)
                .at(5, "ML^ミリリットル^MR9P")
                .at(6, "INJ^注射剤^MR9P")
                .at(7, format_args!("^{}時間一定速度で^99IC6", infusion.hours))
                .at(
                    15,
                    format_args!("{}-{:03}", from.date(), self.event.number % 1000),
                )
                .at(
                    21,
                    if self.event.stay.is_some() {
                        "IHP^入院処方^MR9P~FTP^定時処方^99I01"
                    } else {
                        "OHP^外来処方^MR9P"
                    },
                )
                .at(22, "H1")
                .at(23, rate)
                .at(24, "ml/hr^ミリリッター／時間^ISO+");
            message
                .segment("TQ1")
                .at(1, 1)
                .at(7, from.minutes())
                .at(8, to.minutes());
            message
                .segment("RXR")
                .at(1, "IV^静脈内^HL70162")
                .at(3, "IVP^点滴ポンプ^HL70164");
            for (role, part) in [("B", infusion.base), ("A", infusion.additive)] {
                let (code, name, unit, unit_name) = part;
                message
                    .segment("RXC")
                    .at(1, role)
                    .at(2, format_args!("{code}^{name}^HOT9"))
                    .at(3, 1)
                    .at(4, format_args!("{unit}^{unit_name}^MR9P"));
            }
        }
    }

    /// OMP-12: an infusion given.
    pub(super) fn injection_given(&self, message: &mut Message) {
        let chance = &mut self.subject();
        self.pv1(message, None);
        let infusion = self.infusion(chance);
        self.orc(
            message,
            "NW",
            &self.event.order,
            &format!("{}_01_001", self.event.order),
            "",
        );
        let ward = self.event.stay.map_or("処置室^^^^^N".to_owned(), |stay| {
            format!("{}^{}^{}^^^N", WARDS[stay.ward].0, stay.room, stay.bed)
        });
        let site = *chance.pick(&[
            "^左手に実施^99IC2",
            "^右前腕に実施^99IC2",
            "^ＣＶポートより^99IC2",
        ]);
        let stopped = chance.percent(2.0);
        for part in [infusion.base, infusion.additive] {
            self.rxa(
                message,
                (part.0, part.1),
                "1",
                (part.2, part.3),
                &ward,
                stopped,
                site,
            );
        }
        message
            .segment("RXR")
            .at(1, "IV^静脈内^HL70162")
            .at(3, "IVP^点滴ポンプ^HL70164");
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one segment")]
    fn rxa(
        &self,
        message: &mut Message,
        drug: (&str, &str),
        amount: &str,
        unit: (&str, &str),
        ward: &str,
        refused: bool,
        site: &str,
    ) {
        let from = self.event.happened;
        let to = if site.is_empty() {
            from
        } else {
            from.plus_minutes(55 + i64::from(self.version.revision) * 5)
        };
        message
            .segment("RXA")
            .at(1, 0)
            .at(2, 1)
            .at(3, from.minutes())
            .at(4, to.minutes())
            .at(5, format_args!("{}^{}^HOT9", drug.0, drug.1))
            .at(6, amount)
            .at(7, format_args!("{}^{}^MR9P", unit.0, unit.1))
            .at(9, site)
            .at(10, self.nurse(0))
            .at(11, ward)
            .at(20, if refused { "NA" } else { "CP" })
            .at(22, self.version.written.seconds());
    }
}

fn route(drug: &Drug) -> &'static str {
    if USAGES[drug.usage].1.starts_with("外用") {
        "AP^外用^HL70162"
    } else {
        "PO^口^HL70162"
    }
}

/// A number of tenths as text: 10 is `1`, 25 is `2.5`.
fn tenths(number: u32) -> String {
    if number.is_multiple_of(10) {
        (number / 10).to_string()
    } else {
        format!("{}.{}", number / 10, number % 10)
    }
}
