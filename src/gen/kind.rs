//! Kinds: the data kinds of the standard storage and the documents of the extended one.

use encoding_rs::SHIFT_JIS;

/// A data kind of the standard storage (DOMAIN.md, "Data kinds and messages").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Basics,
    Physician,
    Visit,
    AdmissionPlan,
    Admission,
    Leave,
    Return,
    TransferPlan,
    Transfer,
    DischargePlan,
    Discharge,
    Allergies,
    Problems,
    Meal,
    Prescription,
    InjectionOrder,
    PrescriptionGiven,
    InjectionGiven,
    SpecimenOrder,
    SpecimenResult,
    RadiologyOrder,
    EndoscopyOrder,
    PhysiologyOrder,
    RadiologyDone,
    EndoscopyDone,
    PhysiologyResult,
}

/// Every kind: code, message type when it is made, message type when it is taken back.
const KINDS: &[(Kind, &str, &str, &str)] = &[
    (Kind::Basics, "ADT-00", "ADT^A08^ADT_A01", "ADT^A23^ADT_A21"),
    (
        Kind::Physician,
        "ADT-01",
        "ADT^A54^ADT_A54",
        "ADT^A55^ADT_A52",
    ),
    (Kind::Visit, "ADT-12", "ADT^A04^ADT_A01", "ADT^A11^ADT_A09"),
    (
        Kind::AdmissionPlan,
        "ADT-21",
        "ADT^A14^ADT_A05",
        "ADT^A27^ADT_A21",
    ),
    (
        Kind::Admission,
        "ADT-22",
        "ADT^A01^ADT_A01",
        "ADT^A11^ADT_A09",
    ),
    (Kind::Leave, "ADT-31", "ADT^A21^ADT_A21", "ADT^A52^ADT_A52"),
    (Kind::Return, "ADT-32", "ADT^A22^ADT_A21", "ADT^A53^ADT_A52"),
    (
        Kind::TransferPlan,
        "ADT-41",
        "ADT^A15^ADT_A15",
        "ADT^A26^ADT_A21",
    ),
    (
        Kind::Transfer,
        "ADT-42",
        "ADT^A02^ADT_A02",
        "ADT^A12^ADT_A12",
    ),
    (
        Kind::DischargePlan,
        "ADT-51",
        "ADT^A16^ADT_A16",
        "ADT^A25^ADT_A21",
    ),
    (
        Kind::Discharge,
        "ADT-52",
        "ADT^A03^ADT_A03",
        "ADT^A13^ADT_A01",
    ),
    (
        Kind::Allergies,
        "ADT-61",
        "ADT^A60^ADT_A60",
        "ADT^A60^ADT_A60",
    ),
    (
        Kind::Problems,
        "PPR-01",
        "PPR^ZD1^PPR_ZD1",
        "PPR^ZD1^PPR_ZD1",
    ),
    (Kind::Meal, "OMD", "OMD^O03^OMD_O03", "OMD^O03^OMD_O03"),
    (
        Kind::Prescription,
        "OMP-01",
        "RDE^O11^RDE_O11",
        "RDE^O11^RDE_O11",
    ),
    (
        Kind::InjectionOrder,
        "OMP-02",
        "RDE^O11^RDE_O11",
        "RDE^O11^RDE_O11",
    ),
    (
        Kind::PrescriptionGiven,
        "OMP-11",
        "RAS^O17^RAS_O17",
        "RAS^O17^RAS_O17",
    ),
    (
        Kind::InjectionGiven,
        "OMP-12",
        "RAS^O17^RAS_O17",
        "RAS^O17^RAS_O17",
    ),
    (
        Kind::SpecimenOrder,
        "OML-01",
        "OML^O33^OML_O33",
        "OML^O33^OML_O33",
    ),
    (
        Kind::SpecimenResult,
        "OML-11",
        "OUL^R22^OUL_R22",
        "OUL^R22^OUL_R22",
    ),
    (
        Kind::RadiologyOrder,
        "OMG-01",
        "OMG^O19^OMG_O19",
        "OMG^O19^OMG_O19",
    ),
    (
        Kind::EndoscopyOrder,
        "OMG-02",
        "OMG^O19^OMG_O19",
        "OMG^O19^OMG_O19",
    ),
    (
        Kind::PhysiologyOrder,
        "OMG-03",
        "OMG^O19^OMG_O19",
        "OMG^O19^OMG_O19",
    ),
    (
        Kind::RadiologyDone,
        "OMG-11",
        "OMI^Z23^OMI_Z23",
        "OMI^Z23^OMI_Z23",
    ),
    (
        Kind::EndoscopyDone,
        "OMG-12",
        "OMI^Z23^OMI_Z23",
        "OMI^Z23^OMI_Z23",
    ),
    (
        Kind::PhysiologyResult,
        "OMG-13",
        "ORU^R01^ORU_R01",
        "ORU^R01^ORU_R01",
    ),
];

impl Kind {
    /// How many there are.
    pub(super) const COUNT: usize = KINDS.len();

    /// The kind at a place of the table, counted around.
    pub(super) fn at(place: usize) -> Self {
        KINDS[place % KINDS.len()].0
    }

    /// The kind with this code.
    pub(super) fn of_code(code: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str) {
        &KINDS[self as usize]
    }

    /// `ADT-00` and so on.
    pub(super) fn code(self) -> &'static str {
        self.row().1
    }

    /// MSH-9 of the message that makes a record, or takes it back.
    pub(super) fn message_type(self, taken_back: bool) -> &'static str {
        let (_, _, made, back) = self.row();
        if taken_back { back } else { made }
    }

    /// Lies in the folder `-`, one record for a patient.
    pub(super) fn undated(self) -> bool {
        matches!(
            self,
            Self::Basics | Self::Physician | Self::Allergies | Self::Problems
        )
    }

    /// Happens in a stay at the hospital only.
    pub(super) fn inpatient(self) -> bool {
        matches!(
            self,
            Self::AdmissionPlan
                | Self::Admission
                | Self::Leave
                | Self::Return
                | Self::TransferPlan
                | Self::Transfer
                | Self::DischargePlan
                | Self::Discharge
                | Self::Meal
        )
    }
}

/// A kind of the extended storage.
pub(super) struct Document {
    /// The kind folder's name.
    pub(super) folder: &'static str,
    /// The kind in a content folder's name.
    pub(super) code: &'static str,
    /// Code for the CDA header: code, coding system OID, name.
    pub(super) cda: (&'static str, &'static str, &'static str),
    /// Share of the documents, in percent.
    share: usize,
    /// Made for people in bed only.
    pub(super) inpatient: bool,
}

const LOINC: &str = "2.16.840.1.113883.6.1";
const LOCAL: &str = "1.2.392.200250.9.99";

/// The kinds of documents; [`VITALS`] is a message, the others are CDA.
pub(super) const DOCUMENTS: &[Document] = &[
    Document {
        folder: "^経過記録^^11506-3^経過記録^LN",
        code: "11506-3",
        cda: ("11506-3", LOINC, "経過記録"),
        share: 28,
        inpatient: true,
    },
    Document {
        folder: "^外来カルテ^^34108-1^外来診療記録^LN",
        code: "34108-1",
        cda: ("34108-1", LOINC, "外来診療記録"),
        share: 22,
        inpatient: false,
    },
    Document {
        folder: "^入院カルテ^^34112-3^入院診療記録^LN",
        code: "34112-3",
        cda: ("34112-3", LOINC, "入院診療記録"),
        share: 12,
        inpatient: true,
    },
    Document {
        folder: "^退院サマリ^^18842-5^退院時サマリー^LN",
        code: "18842-5",
        cda: ("18842-5", LOINC, "退院時サマリー"),
        share: 8,
        inpatient: true,
    },
    Document {
        folder: "^紹介状^^57133-1^診療情報提供書^LN",
        code: "57133-1",
        cda: ("57133-1", LOINC, "診療情報提供書"),
        share: 10,
        inpatient: false,
    },
    Document {
        folder: "^J-SPEED^^74465-6^災害診療記録^LN",
        code: "74465-6",
        cda: ("74465-6", LOINC, "災害診療記録"),
        share: 2,
        inpatient: false,
    },
    Document {
        folder: "V01^バイタルデータ^99L^8716-3^バイタルサイン^LN",
        code: "8716-3",
        cda: ("8716-3", LOINC, "バイタルサイン"),
        share: 10,
        inpatient: true,
    },
    Document {
        folder: "DISP01^調剤実施^99L^^^",
        code: "DISP01",
        cda: ("DISP01", LOCAL, "調剤実施記録"),
        share: 8,
        inpatient: false,
    },
];

/// Place of the vitals in [`DOCUMENTS`].
pub(super) const VITALS: usize = 6;
/// Place of the discharge summary.
pub(super) const DISCHARGE_SUMMARY: usize = 3;
/// Place of the dispensing record.
pub(super) const DISPENSING: usize = 7;

impl Document {
    /// A kind by its share; `point` is any number.
    pub(super) fn by_share(point: usize) -> usize {
        let mut rest = point % 100;
        for (place, document) in DOCUMENTS.iter().enumerate() {
            if rest < document.share {
                return place;
            }
            rest -= document.share;
        }
        0
    }

    /// The kind folder's name in Shift_JIS.
    pub(super) fn folder_shift_jis(&self) -> Vec<u8> {
        SHIFT_JIS.encode(self.folder).0.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_kinds() {
        for (place, row) in KINDS.iter().enumerate() {
            assert_eq!(row.0 as usize, place, "{}", row.1);
            assert_eq!(Kind::of_code(row.1), Some(row.0));
        }
        assert_eq!(
            DOCUMENTS
                .iter()
                .map(|document| document.share)
                .sum::<usize>(),
            100
        );
    }
}
