//! Examinations: radiology, endoscopy and physiology, ordered and done.
//!
//! An order is a tree: NW for the whole, PA for the parent, CH for each part.

use super::administration::observation;
use super::chance::{Chance, Stream};
use super::frame::Page;
use super::imaging::{
    ECG_FINDINGS, ECG_MEASURES, ENDOSCOPY, RADIOLOGY, REASONS, ROLES, SEDATION, Study,
};
use super::message::Message;

/// A study as it was drawn: the same for the order and for what was done.
struct Drawn {
    study: &'static Study,
    parts: usize,
    reason: (&'static str, &'static str),
    system: &'static str,
}

impl Page<'_> {
    fn draw_study(
        &self,
        chance: &mut Chance,
        studies: &'static [Study],
        system: &'static str,
    ) -> Drawn {
        let study = chance.pick(studies);
        let parts = 1 + chance.below(study.parts.len());
        Drawn {
            study,
            parts,
            reason: *chance.pick(REASONS),
            system,
        }
    }

    fn radiology(&self) -> Drawn {
        self.draw_study(
            &mut self.patient.chance(Stream::Event, self.event.subject),
            RADIOLOGY,
            "JJ1017",
        )
    }

    fn endoscopy(&self) -> Drawn {
        self.draw_study(
            &mut self.patient.chance(Stream::Event, self.event.subject),
            ENDOSCOPY,
            "LENDO",
        )
    }

    fn child_order(&self, part: usize) -> String {
        format!("{}-{:02}", self.event.order, part + 1)
    }

    /// OBR of the tree; a child names its parent in OBR-29.
    fn obr(&self, message: &mut Message, order: &str, code: &str, done: bool, child: bool) {
        message.segment("TQ1").at(1, 1).at(9, "R^^HL70485");
        let mut obr = message.segment("OBR").at(1, 1).at(2, order).at(4, code);
        if done {
            obr = obr.at(7, self.event.happened.date());
        }
        obr = obr.at(16, self.doctor());
        if done {
            obr = obr
                .at(22, self.version.written.seconds())
                .at(25, if self.version.taken_back { "X" } else { "F" });
        }
        if child {
            let _ = obr.at(29, &self.event.order);
        }
    }

    fn ipc(&self, message: &mut Message, modality: &str) {
        let accession = format!(
            "A{}{:06}",
            self.event.happened.date(),
            self.event.subject % 1_000_000
        );
        let uid = format!(
            "1.2.392.200250.{}.{}.{}",
            self.patient.facility.index + 1,
            self.patient.number + 1,
            self.event.subject
        );
        message
            .segment("IPC")
            .at(1, accession)
            .at(2, format_args!("P{:05}", self.event.subject % 100_000))
            .at(3, uid)
            .at(5, format_args!("{modality}^^DCM"));
    }

    /// OMG-01 and OMG-02: the order.
    pub(super) fn study_order(&self, message: &mut Message, endoscopy: bool) {
        let drawn = if endoscopy {
            self.endoscopy()
        } else {
            self.radiology()
        };
        let (code, name, _) = drawn.study.parent;
        let parent = format!("{code}^{name}^{}", drawn.system);
        self.pv1(message, None);
        self.orc(message, "NW", &self.event.order, "", "");
        self.obr(message, &self.event.order, &parent, false, false);
        self.orc(message, "PA", &self.event.order, "", "");
        self.obr(message, &self.event.order, &parent, false, false);
        let weight = self.patient.person.weight_kg + f64::from(self.version.revision) * 0.1;
        observation(
            message,
            1,
            "NM",
            "01-02^体重^JSHR001",
            &format!("{weight:.1}"),
            "kg^kg^ISO+",
        );
        observation(message, 2, "TX", "MS3-24^外来所見^JSHR", drawn.reason.1, "");
        observation(message, 3, "TX", "MS3-34^臨床病名^JSHR", drawn.reason.0, "");
        for (place, (code, name)) in drawn.study.parts.iter().take(drawn.parts).enumerate() {
            let order = self.child_order(place);
            self.orc(message, "CH", &order, "", &self.event.order);
            self.obr(
                message,
                &order,
                &format!("{code}^{name}^{}", drawn.system),
                false,
                true,
            );
        }
    }

    /// OMG-11 and OMG-12: what was done.
    pub(super) fn study_done(&self, message: &mut Message, endoscopy: bool) {
        let drawn = if endoscopy {
            self.endoscopy()
        } else {
            self.radiology()
        };
        let (code, name, modality) = drawn.study.parent;
        let parent = format!("{code}^{name}^{}", drawn.system);
        self.pv1(message, None);
        for control in ["NW", "PA"] {
            self.orc(message, control, &self.event.order, "", "");
            self.obr(message, &self.event.order, &parent, true, false);
            if control == "PA" {
                observation(message, 1, "TX", "MS3-34^臨床病名^JSHR", drawn.reason.0, "");
            }
            self.ipc(message, modality);
        }
        for (place, (code, name)) in drawn.study.parts.iter().take(drawn.parts).enumerate() {
            let order = self.child_order(place);
            let part = format!("{code}^{name}^{}", drawn.system);
            self.orc(message, "CH", &order, "", &self.event.order);
            self.obr(message, &order, &part, true, true);
            let ze1 = message
                .segment("ZE1")
                .at(1, place + 1)
                .at(2, "RS")
                .at(3, &part);
            if endoscopy {
                drop(ze1);
                self.endoscopy_details(message, place);
            } else {
                let _ = ze1.at(7, self.nurse(place as u64));
                let minutes = 5 + place + self.version.revision as usize;
                observation(
                    message,
                    1,
                    "TS",
                    "TM-P1^開始時間^JSHR",
                    &self.event.happened.seconds(),
                    "",
                );
                observation(
                    message,
                    2,
                    "NM",
                    "TM-P3^所要時間^JSHR",
                    &minutes.to_string(),
                    "min^min^ISO+",
                );
            }
            self.ipc(message, modality);
        }
    }

    fn endoscopy_details(&self, message: &mut Message, part: usize) {
        let mut set = 0;
        let mut next = || {
            set += 1;
            set
        };
        for (turn, (code, role)) in ROLES.iter().enumerate() {
            let who = if turn == 0 {
                self.doctor()
            } else {
                self.nurse((turn + part) as u64)
            };
            observation(
                message,
                next(),
                "XCN",
                &format!("{code}^{role}^JSHR"),
                &who,
                "",
            );
        }
        let to = self
            .event
            .happened
            .plus_minutes(25 + i64::from(self.version.revision));
        observation(
            message,
            next(),
            "TS",
            "TM-P1^開始時間^JSHR",
            &self.event.happened.seconds(),
            "",
        );
        observation(
            message,
            next(),
            "TS",
            "TM-P2^終了時間^JSHR",
            &to.seconds(),
            "",
        );
        for (code, name, unit, unit_name) in SEDATION.iter().take(2 + part) {
            let drug = format!("{code}^{name}^HOT9^1^{unit}&{unit_name}&MR9P");
            observation(message, next(), "ZRD", "DE-02^薬品^JSHR", &drug, "");
        }
        observation(
            message,
            next(),
            "CWE",
            "DE-06^内視鏡^JSHR",
            "4953170067938^GIF-XQ240^JAN",
            "",
        );
    }

    fn ecg_finding(&self) -> &'static str {
        // A patient's heart stays what it is, mostly.
        let own = self.patient.number as usize + self.patient.problems.len();
        ECG_FINDINGS[(own + usize::from(self.event.subject.is_multiple_of(5))) % ECG_FINDINGS.len()]
    }

    /// OMG-03: an electrocardiogram ordered.
    pub(super) fn physiology_order(&self, message: &mut Message) {
        self.pv1(message, None);
        self.orc(message, "NW", &self.event.order, "", "");
        message.segment("TQ1").at(1, 1).at(2, 1).at(9, "A^^HL70485");
        message
            .segment("OBR")
            .at(1, 1)
            .at(2, &self.event.order)
            .at(4, "9A110^標準１２誘導心電図^JC10")
            .at(16, self.doctor());
        let reason =
            REASONS[(self.event.subject as usize + self.version.revision as usize) % REASONS.len()];
        observation(
            message,
            1,
            "TX",
            "9A100&IMP^心電図所見^JC10",
            &format!("{}（{}）", self.ecg_finding(), reason.0),
            "",
        );
    }

    /// OMG-13: its result.
    pub(super) fn physiology_result(&self, message: &mut Message) {
        let chance = &mut self.patient.chance(Stream::Event, self.event.number);
        self.pv1(message, None);
        message
            .segment("OBR")
            .at(1, 1)
            .at(2, &self.event.order)
            .at(4, "9A110^標準１２誘導心電図^JC10")
            .at(7, self.event.happened.date())
            .at(16, self.doctor())
            .at(22, self.version.written.seconds())
            .at(25, "F");
        observation(
            message,
            1,
            "TX",
            "9A100&IMP^心電図所見^JC10",
            self.ecg_finding(),
            "",
        );
        for (place, (code, name, unit, low, high, decimals)) in ECG_MEASURES.iter().enumerate() {
            let digits = *decimals as usize;
            let value =
                low + (high - low) * chance.real() + f64::from(self.version.revision) * 0.001;
            message
                .segment("OBX")
                .at(1, place + 2)
                .at(2, "NM")
                .at(3, format_args!("{code}^{name}^99MFR"))
                .at(4, 2)
                .at(5, format_args!("{value:.digits$}"))
                .at(6, unit)
                .at(11, "F");
        }
    }
}
