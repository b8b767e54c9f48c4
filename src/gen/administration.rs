//! Administration: patient basics, movements, allergies, problems and meals.

use super::chance::Stream;
use super::disease::{ALLERGENS, DISEASES, MEAL_NOTES, MEALS, MODIFIERS};
use super::frame::Page;
use super::kind::Kind;
use super::message::Message;
use super::people::INSURANCES;

impl Page<'_> {
    /// ADT-00: who the patient is.
    pub(super) fn basics(&self, message: &mut Message) {
        let person = &self.patient.person;
        let (kin_code, kin_text) = person.kinship;
        message
            .segment("NK1")
            .at(1, 1)
            .at(2, person.kin.xpn())
            .at(3, format_args!("{kin_code}^{kin_text}^HL70063"))
            .at(
                4,
                format_args!("^^^^{}^JPN^H^{}", person.postal, person.address),
            )
            .at(5, format_args!("^PRN^PH^^^^^^^^^{}", person.phone))
            .at(13, format_args!("{}^D", person.employer));
        self.pv1(message, None);
        self.body(message);
        let (code, text, number) = &person.insurance;
        debug_assert!(INSURANCES.iter().any(|row| row.0 == *code));
        message
            .segment("IN1")
            .at(1, 1)
            .at(2, format_args!("{code}^{text}^JHSD0001"))
            .at(3, number)
            .at(12, "20250401")
            .at(17, "SEL^本人^HL70063");
    }

    /// Disability, measures, blood group and allergies of ADT-00.
    fn body(&self, message: &mut Message) {
        let person = &self.patient.person;
        let disabled = self.patient.number % 23 == 7;
        message
            .segment("DB1")
            .at(1, 1)
            .at(2, "PT")
            .at(4, if disabled { "Y" } else { "N" });
        // A correction is mostly a new weight.
        let weight = person.weight_kg + 0.3 * f64::from(self.version.revision);
        observation(
            message,
            1,
            "NM",
            "9N001000000000001^身長^JC10",
            &format!("{:.1}", person.height_cm),
            "cm^cm^ISO+",
        );
        observation(
            message,
            2,
            "NM",
            "9N006000000000001^体重^JC10",
            &format!("{weight:.1}"),
            "kg^kg^ISO+",
        );
        let blood = person.blood;
        observation(
            message,
            3,
            "CWE",
            "5H010000009199911^血液型-ABO式^JC10",
            &format!("{blood}^{blood}^JSHR002"),
            "",
        );
        let rh = if person.rh_negative {
            "-^陰性^JSHR003"
        } else {
            "+^陽性^JSHR003"
        };
        observation(
            message,
            4,
            "CWE",
            "5H020000009199911^血液型-Rh式^JC10",
            rh,
            "",
        );
        for (place, &allergy) in self.patient.allergies.iter().enumerate() {
            let (class, class_text, code, name, system, ..) = ALLERGENS[allergy];
            message
                .segment("AL1")
                .at(1, place + 1)
                .at(2, format_args!("{class}^{class_text}^HL70127"))
                .at(3, format_args!("{code}^{name}^{system}"));
        }
    }

    /// ADT-61: allergies.
    pub(super) fn allergies(&self, message: &mut Message) {
        let mut chance = self.patient.chance(Stream::Event, self.event.number);
        let action = match (self.version.taken_back, self.version.revision) {
            (true, _) => "D^削除",
            (false, 0) => "A^追加",
            _ => "U^更新",
        };
        for (place, &allergy) in self.patient.allergies.iter().enumerate() {
            let (class, class_text, code, name, system, severity, reaction) = ALLERGENS[allergy];
            let iam = message
                .segment("IAM")
                .at(1, place + 1)
                .at(2, format_args!("{class}^{class_text}^HL70127"))
                .at(3, format_args!("{code}^{name}^{system}"))
                .at(4, format_args!("{severity}^HL70128"))
                .at(5, reaction)
                .at(6, format_args!("{action}^HL70323"));
            // The onset is a date, or what the patient remembers.
            let _ = if chance.percent(60.0) {
                iam.at(
                    11,
                    format_args!("{}{:02}", chance.between(1980, 2024), chance.between(1, 12)),
                )
            } else {
                iam.at(
                    12,
                    *chance.pick(&["小学校低学年の頃", "幼少時より", "１０年ほど前", "出産後"]),
                )
            };
        }
    }

    /// PPR-01: all problems of the patient.
    pub(super) fn problems(&self, message: &mut Message) {
        let written = self.version.written;
        let action = if self.version.taken_back {
            "DE"
        } else {
            ["AD", "UP"][usize::from(self.version.revision > 0)]
        };
        for (place, problem) in self.patient.problems.iter().enumerate() {
            let disease = &DISEASES[problem.disease];
            let setting = if self.event.stay.is_some() {
                "I^入院時"
            } else {
                "O^外来時"
            };
            let outcome = ["N^回復せず", "R^回復", "C^継続"][(problem.disease + place) % 3];
            let mut prb = message
                .segment("PRB")
                .at(1, action)
                .at(2, written.date())
                .at(3, format_args!("{}^{}^MDCDX2", disease.code, disease.name))
                .at(4, format_args!("{}{:03}", self.event.order, place + 1))
                .at(7, problem.onset.date())
                .at(9, problem.onset.plus_days(1).date())
                .at(
                    10,
                    format_args!("{}^^I10^{setting}^JHSD0004", disease.icd10),
                );
            if problem.suspected {
                prb = prb.at(13, "1^疑い^JHSD0005");
            }
            prb = prb
                .at(14, format_args!("{outcome}^HL70241"))
                .at(15, written.date())
                .at(16, problem.onset.date())
                .at(17, disease.name);
            if place == 0 {
                prb = prb.at(18, "1^主診断^JHSD0007");
            }
            let _ = prb.at(25, "V^非常に限定^HL70177");
            let mut zpr = message
                .segment("ZPR")
                .at(2, format_args!("{}^{}^MDCDX2", disease.code, disease.name));
            if let Some((code, text)) = problem.modifier.and_then(|place| MODIFIERS.get(place)) {
                zpr = zpr.at(5, format_args!("{code}^{text}^MDCDX2"));
            }
            drop(zpr);
        }
        let order = format!("{}{:07}", written.date(), self.event.number % 10_000_000);
        self.orc(message, "NW", &order, "", "");
    }

    /// ADT movements and visits: the place says it all.
    pub(super) fn movement(&self, message: &mut Message, kind: Kind) {
        self.pv1(message, Some(kind));
        if kind == Kind::AdmissionPlan {
            let days = 5 + self.event.number % 9;
            message
                .segment("PV2")
                .at(8, self.event.happened.date())
                .at(11, days);
        }
        if let (Kind::Admission, Some(problem)) = (kind, self.patient.problems.first()) {
            let disease = &DISEASES[problem.disease];
            message
                .segment("DG1")
                .at(1, 1)
                .at(3, format_args!("{}^{}^I10", disease.icd10, disease.name))
                .at(6, "A");
        }
    }

    /// OMD: meals.
    pub(super) fn meal(&self, message: &mut Message) {
        let mut chance = self.patient.chance(Stream::Event, self.event.number);
        self.pv1(message, None);
        self.orc(message, "NW", &self.event.order, "", "");
        let times = [("TID", "１日３回"), ("BID", "１日２回")][usize::from(chance.percent(12.0))];
        message
            .segment("TQ1")
            .at(1, 1)
            .at(3, format_args!("{}&{}&HL70335", times.0, times.1))
            .at(
                7,
                format_args!(
                    "{}{:02}",
                    self.event.happened.date(),
                    [7, 12, 18][chance.below(3)]
                ),
            )
            .at(9, "R^ルーチン^HL70485");
        let meals = 1 + chance.below(2);
        for _ in 0..meals {
            let (code, name) = *chance.pick(MEALS);
            let note = MEAL_NOTES[(chance.below(MEAL_NOTES.len())
                + self.version.revision as usize)
                % MEAL_NOTES.len()];
            message
                .segment("ODS")
                .at(1, "D")
                .at(3, format_args!("{code}^{name}^99XY3"))
                .at(4, note);
        }
    }
}

/// One OBX with a final result.
pub(super) fn observation(
    message: &mut Message,
    set: usize,
    value_type: &str,
    test: &str,
    value: &str,
    unit: &str,
) {
    message
        .segment("OBX")
        .at(1, set)
        .at(2, value_type)
        .at(3, test)
        .at(5, value)
        .at(6, unit)
        .at(11, "F");
}
