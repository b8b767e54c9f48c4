//! Frames: the segments that many messages share (MSH, EVN, PID, PV1, ORC).

use super::chart::Patient;
use super::event::{Event, What};
use super::kind::{DOCUMENTS, Kind};
use super::message::Message;
use super::moment::Moment;
use super::ward::{DEPARTMENTS, DISPOSITIONS, WARDS};

/// Which writing of a record a message is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version {
    /// 0 for the first writing; a correction counts up.
    pub(super) revision: u32,
    /// The message takes the record back: the content of a tombstone.
    pub(super) taken_back: bool,
    /// When it is written: the timestamp of its name.
    pub(super) written: Moment,
}

/// All that a composer needs.
pub(super) struct Page<'a> {
    pub(super) patient: &'a Patient<'a>,
    pub(super) event: &'a Event,
    pub(super) version: Version,
}

impl Page<'_> {
    /// Writes MSH and PID, which open every message; EVN too where there is an event.
    pub(super) fn open(&self, message_type: &str) -> Message {
        let mut message = Message::new();
        let facility = self.patient.facility;
        let (set, scheme) = facility.habits.charset;
        message
            .segment("MSH")
            .at(3, format_args!("HIS{:03}", facility.index + 1))
            .at(4, "SEND")
            .at(5, "GW")
            .at(6, "RCV")
            .at(7, self.version.written.hl7())
            .at(9, message_type)
            .at(10, self.control_id())
            .at(11, "P")
            .at(12, "2.5")
            .at(18, set)
            .at(20, scheme)
            .at(
                21,
                "SS-MIX2_1.20^SS-MIX2^1.2.392.200250.2.1.100.1.2.120^ISO",
            );
        if message_type.starts_with("ADT") {
            self.evn(&mut message);
        }
        self.pid(&mut message);
        message
    }

    /// Unique in the center: facility, patient, event and revision in base 36, 18 characters.
    pub(super) fn control_id(&self) -> String {
        let facility = u64::from(self.patient.facility.index);
        let last = u64::from(self.version.revision) * 2 + u64::from(self.version.taken_back);
        let mut id = String::with_capacity(18);
        for (number, width) in [
            (facility, 3),
            (self.patient.number, 6),
            (self.event.number, 7),
            (last, 2),
        ] {
            base36(number, width, &mut id);
        }
        id
    }

    fn evn(&self, message: &mut Message) {
        let clerk = &self.patient.facility.clerks
            [self.event.number as usize % self.patient.facility.clerks.len()];
        let evn = message
            .segment("EVN")
            .at(2, self.version.written.minutes())
            .at(5, clerk.xcn(self.patient.facility.habits.undivided));
        if !matches!(self.event.what, What::Standard(kind) if kind.undated()) {
            let _ = evn.at(6, self.event.happened.minutes());
        }
    }

    fn pid(&self, message: &mut Message) {
        let (patient, person) = (self.patient, &self.patient.person);
        let id_type = if patient.facility.habits.id_type {
            "^^^^PI"
        } else {
            ""
        };
        let mut phones = format!("^PRN^PH^^^^^^^^^{}", person.phone);
        if self.full() {
            phones.push_str(&format!("~^EMR^PH^^^^^^^^^{}", person.phone));
        }
        let mut pid = message
            .segment("PID")
            .at(1, "0001")
            .at(3, format_args!("{}{id_type}", patient.id))
            .at(5, person.name.xpn())
            .at(7, person.birth.date())
            .at(8, person.sex())
            .at(
                11,
                format_args!("^^^^{}^JPN^H^{}", person.postal, person.address),
            )
            .at(13, phones);
        if let Some(work) = &person.work_phone {
            pid = pid.at(14, format_args!("^WPN^PH^^^^^^^^^{work}"));
        }
        let _ = pid.at(33, self.version.written.seconds());
    }

    fn full(&self) -> bool {
        self.event.what == What::Standard(Kind::Basics)
    }

    /// PV1: where the patient is, and who is responsible.
    pub(super) fn pv1(&self, message: &mut Message, kind: Option<Kind>) {
        let event = self.event;
        let doctor = self.doctor();
        let department = self.patient.facility.department(event.department);
        let Some(stay) = event.stay else {
            message
                .segment("PV1")
                .at(1, "0001")
                .at(2, "O")
                .at(3, format_args!("{department}^^^^^C"))
                .at(7, &doctor)
                .at(10, department)
                .at(44, event.happened.minutes());
            return;
        };
        let bed = |ward: usize| format!("{}^{}^{}^^^N", WARDS[ward].0, stay.room, stay.bed);
        let moved = matches!(kind, Some(Kind::Transfer | Kind::TransferPlan));
        let left = matches!(kind, Some(Kind::Discharge | Kind::DischargePlan));
        let place = if moved {
            bed(stay.other_ward)
        } else {
            bed(stay.ward)
        };
        let mut pv1 = message.segment("PV1").at(1, "0001").at(2, "I").at(3, place);
        if moved {
            pv1 = pv1.at(6, bed(stay.ward));
        }
        pv1 = pv1.at(7, &doctor).at(10, department);
        if kind.is_some() {
            pv1 = pv1.at(17, &doctor);
        }
        if left {
            let (code, text) = DISPOSITIONS[(event.number % 6) as usize];
            pv1 = pv1.at(36, format_args!("{code}^{text}^HL70112"));
        }
        pv1 = pv1.at(44, stay.admitted.minutes());
        if left {
            let _ = pv1.at(45, event.happened.minutes());
        }
    }

    /// ORC of an order: `control` is NW, PA, CH or SC; a taken-back or corrected one says so.
    pub(super) fn orc(
        &self,
        message: &mut Message,
        control: &str,
        order: &str,
        group: &str,
        parent: &str,
    ) {
        let (event, facility) = (self.event, self.patient.facility);
        let undivided = facility.habits.undivided;
        let control = match (control, self.version.taken_back, self.version.revision) {
            ("NW", true, _) => "CA",
            ("NW", false, 1..) => "XO",
            _ => control,
        };
        let clerk = &facility.clerks[event.number as usize % facility.clerks.len()];
        let (code, name) = (
            facility.department(event.department),
            DEPARTMENTS[event.department % DEPARTMENTS.len()].1,
        );
        let kind = if event.stay.is_some() {
            "I^入院患者オーダ^HL70482"
        } else {
            "O^外来患者オーダ^HL70482"
        };
        message
            .segment("ORC")
            .at(1, control)
            .at(2, order)
            .at(4, group)
            .at(8, parent)
            .at(9, event.happened.seconds())
            .at(10, clerk.xcn(undivided))
            .at(12, self.doctor())
            .at(17, format_args!("{code}^{name}^99XY1"))
            .at(18, format_args!("PC{:02}^^99XY2", event.number % 40))
            .at(21, &facility.name)
            .at(
                22,
                format_args!("^^^^{}^JPN^^{}1-2-3", facility.postal, facility.address),
            )
            .at(23, format_args!("^^^^^^^^^^^{}", facility.phone))
            .at(29, kind);
    }

    /// XCN of the responsible doctor.
    pub(super) fn doctor(&self) -> String {
        let facility = self.patient.facility;
        facility.doctors[self.event.doctor % facility.doctors.len()].xcn(facility.habits.undivided)
    }

    /// XCN of a nurse, another for another `turn`.
    pub(super) fn nurse(&self, turn: u64) -> String {
        let facility = self.patient.facility;
        facility.nurses[(self.event.number + turn) as usize % facility.nurses.len()]
            .xcn(facility.habits.undivided)
    }

    /// CWE with a standard and a local triplet, in the facility's order.
    pub(super) fn coded(&self, standard: (&str, &str, &str), local: (&str, &str, &str)) -> String {
        let (first, second) = if self.patient.facility.habits.local_first {
            (local, standard)
        } else {
            (standard, local)
        };
        format!(
            "{}^{}^{}^{}^{}^{}",
            first.0, first.1, first.2, second.0, second.1, second.2
        )
    }

    /// Name of what is recorded, for people.
    pub(super) fn title(&self) -> &'static str {
        match self.event.what {
            What::Standard(kind) => kind.code(),
            What::Document(place) => DOCUMENTS[place].cda.2,
        }
    }
}

/// Appends a number in base 36, padded to a width.
fn base36(mut number: u64, width: usize, out: &mut String) {
    let from = out.len();
    for _ in 0..width {
        let digit = (number % 36) as u32;
        out.insert(
            from,
            char::from_digit(digit, 36)
                .unwrap_or('0')
                .to_ascii_uppercase(),
        );
        number /= 36;
    }
}
