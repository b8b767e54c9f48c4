//! Specimen tests: what is ordered (OML-01) and what came out (OML-11).

use super::chance::{Chance, Stream};
use super::frame::Page;
use super::laboratory::{CULTURES, GRADES, HALF_WIDTH, ORGANISMS, PANELS, Panel, Test, URINE};
use super::message::Message;

/// Urine among the panels, in percent; cultures likewise.
const URINE_PERCENT: f64 = 8.0;
const CULTURE_PERCENT: f64 = 4.0;

impl Page<'_> {
    fn panel(&self, chance: &mut Chance) -> &'static Panel {
        // The first two panels are what everybody gets.
        let place = if chance.percent(70.0) {
            chance.below(2)
        } else {
            chance.below(PANELS.len())
        };
        &PANELS[place]
    }

    /// The tests that are done of a panel: a run of it, all of a small one.
    fn tests(chance: &mut Chance, panel: &'static Panel) -> &'static [Test] {
        let tests = panel.tests;
        let count = (3 + chance.below(7)).min(tests.len());
        let from = chance.below(tests.len() - count + 1);
        &tests[from..from + count]
    }

    fn test_code(&self, test: &Test) -> String {
        self.coded(
            (test.code, test.name, "JC10"),
            (test.local, test.short, "99X03"),
        )
    }

    fn spm(&self, message: &mut Message, code: &str, name: &str) {
        let collected = self.event.happened.plus_minutes(-15);
        message
            .segment("SPM")
            .at(1, 1)
            .at(2, format_args!("{:015}", self.event.subject))
            .at(
                4,
                format_args!("{code}^{name}^JC10^{}^{name}^99Z01", &code[1..]),
            )
            .at(17, collected.minutes());
    }

    /// OML-01: the order.
    pub(super) fn specimen_order(&self, message: &mut Message) {
        let chance = &mut self.patient.chance(Stream::Event, self.event.subject);
        self.pv1(message, None);
        // The same draws as in the result, so that both name the same panel.
        let _ = (chance.real(), chance.real());
        let panel = self.panel(chance);
        self.spm(message, panel.specimen.0, panel.specimen.1);
        self.orc(message, "NW", &self.event.order, "", "");
        message
            .segment("OBR")
            .at(1, 1)
            .at(2, &self.event.order)
            .at(4, format_args!("{}^{}^99O03", panel.code.0, panel.code.1))
            .at(16, self.doctor());
        for (place, test) in Self::tests(chance, panel).iter().enumerate() {
            message
                .segment("OBX")
                .at(1, place + 1)
                .at(3, self.test_code(test))
                .at(11, "O");
        }
    }

    /// OML-11: the result.
    pub(super) fn specimen_result(&self, message: &mut Message) {
        let chance = &mut self.patient.chance(Stream::Event, self.event.subject);
        self.pv1(message, None);
        let (urine, culture) = (
            chance.percent(URINE_PERCENT),
            chance.percent(CULTURE_PERCENT),
        );
        // An ordered panel is answered as ordered.
        let answered = self.event.subject != self.event.number;
        match (urine && !answered, culture && !answered) {
            (true, _) => self.urine(message, chance),
            (_, true) => self.culture(message, chance),
            _ => {
                let panel = self.panel(chance);
                self.result_head(message, panel.specimen, panel.code);
                for (place, test) in Self::tests(chance, panel).iter().enumerate() {
                    self.number(message, place, test);
                }
            }
        }
    }

    fn result_head(&self, message: &mut Message, specimen: (&str, &str), panel: (&str, &str)) {
        self.spm(message, specimen.0, specimen.1);
        let day = self.event.happened.date();
        message
            .segment("OBR")
            .at(1, 1)
            .at(2, &self.event.order)
            .at(3, format_args!("{:015}", self.event.subject))
            .at(4, format_args!("{}^{}^99O03", panel.0, panel.1))
            .at(7, &day)
            .at(8, &day)
            .at(16, self.doctor())
            .at(22, self.version.written.seconds());
        self.orc(message, "SC", &self.event.order, "", "");
    }

    /// OBX-11: final, corrected or deleted.
    fn status(&self) -> &'static str {
        match (self.version.taken_back, self.version.revision) {
            (true, _) => "D",
            (false, 0) => "F",
            _ => "C",
        }
    }

    fn number(&self, message: &mut Message, place: usize, test: &Test) {
        let draw = self.event.subject * 8
            + if place == 0 {
                u64::from(self.version.revision)
            } else {
                0
            };
        let value = self.patient.measure(test, self.event.happened, draw);
        let (low, high) = test.range;
        let decimals = test.decimals as usize;
        let below = test.floor > 0.0 && value < test.floor;
        let text = if below {
            format!("<{}", test.floor)
        } else {
            format!("{value:.decimals$}")
        };
        let flag = match (value < low, value > high) {
            _ if !self.patient.facility.habits.abnormal_flags => "",
            (true, _) => "L",
            (_, true) => "H",
            _ => "N",
        };
        let range = match (low == 0.0, test.short) {
            (true, _) => format!("<{high}"),
            (_, "HDL-C") => format!(">{low}"),
            _ => format!("{low:.decimals$}-{high:.decimals$}"),
        };
        let unit = self.unit(test.unit);
        message
            .segment("OBX")
            .at(1, place + 1)
            .at(2, if below { "ST" } else { "NM" })
            .at(3, self.test_code(test))
            .at(5, text)
            .at(6, unit)
            .at(7, range)
            .at(8, flag)
            .at(11, self.status())
            .at(14, self.event.happened.plus_minutes(-15).minutes());
    }

    /// OBX-6: facilities write the same unit in different ways.
    fn unit(&self, unit: &str) -> String {
        match (unit, self.patient.facility.habits.other_units) {
            ("", _) => String::new(),
            (unit, false) => format!("{unit}^{unit}^ISO+"),
            ("10*3/uL", true) => "千/μL^千/μL^99XYZ".to_owned(),
            (unit, true) => {
                let lower = unit.to_lowercase();
                format!("{lower}^{lower}^99XYZ")
            }
        }
    }

    fn urine(&self, message: &mut Message, chance: &mut Chance) {
        self.result_head(message, ("001", "尿(含むその他)"), ("E010", "尿定性検査"));
        let half_width = self.patient.facility.habits.other_units;
        for (place, (code, name, short, normal)) in URINE.iter().enumerate() {
            let grade = if chance.percent(75.0) {
                *normal
            } else {
                *chance.pick(GRADES)
            };
            let local = if half_width {
                HALF_WIDTH[place % HALF_WIDTH.len()]
            } else {
                short
            };
            let flag = if !self.patient.facility.habits.abnormal_flags || grade == *normal {
                ""
            } else {
                "A"
            };
            message
                .segment("OBX")
                .at(1, place + 1)
                .at(2, "ST")
                .at(
                    3,
                    self.coded(
                        (code, name, "JC10"),
                        (&format!("7{place:04}"), local, "99X03"),
                    ),
                )
                .at(5, grade)
                .at(7, normal)
                .at(8, flag)
                .at(11, self.status())
                .at(14, self.event.happened.plus_minutes(-15).minutes());
        }
    }

    /// A culture: OBX-4 pairs an organism with its amount.
    fn culture(&self, message: &mut Message, chance: &mut Chance) {
        let specimen = *chance.pick(CULTURES);
        self.result_head(message, specimen, ("E020", "一般細菌培養同定検査"));
        let mut set = 0;
        for pair in 1..=1 + chance.below(2) {
            let (code, name) = *chance.pick(ORGANISMS);
            let amount = *chance.pick(&["(1+)", "(2+)", " 2 +", "少数", ">1000"]);
            for (value_type, test, value) in [
                (
                    "CWE",
                    "6B010000006174111^一般細菌培養同定-菌名^JC10",
                    format!("{code}^{name}^JANIS"),
                ),
                (
                    "ST",
                    "6B010000006174104^一般細菌培養同定-菌量^JC10",
                    amount.to_owned(),
                ),
            ] {
                set += 1;
                message
                    .segment("OBX")
                    .at(1, set)
                    .at(2, value_type)
                    .at(3, test)
                    .at(4, pair)
                    .at(5, value)
                    .at(11, self.status())
                    .at(14, self.event.happened.plus_minutes(-15).minutes());
            }
        }
    }
}
