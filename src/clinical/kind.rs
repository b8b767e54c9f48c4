//! Kinds: the data kinds of the standard storage, by the code of their folder.

use crate::language::Language;

/// A data kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// ADT-00
    Basics,
    /// ADT-01
    Physician,
    /// ADT-12
    Visit,
    /// ADT-21
    AdmissionPlanned,
    /// ADT-22
    Admission,
    /// ADT-31
    Leave,
    /// ADT-32
    Return,
    /// ADT-41
    TransferPlanned,
    /// ADT-42
    Transfer,
    /// ADT-51
    DischargePlanned,
    /// ADT-52
    Discharge,
    /// ADT-61
    Allergies,
    /// PPR-01
    Problems,
    /// OMD
    Meals,
    /// OMP-01
    Prescription,
    /// OMP-02
    Injection,
    /// OMP-11
    PrescriptionGiven,
    /// OMP-12
    InjectionGiven,
    /// OML-01
    LabOrder,
    /// OML-11
    LabResult,
    /// OMG-01
    RadiologyOrder,
    /// OMG-02
    EndoscopyOrder,
    /// OMG-03
    PhysiologyOrder,
    /// OMG-11
    RadiologyDone,
    /// OMG-12
    EndoscopyDone,
    /// OMG-13
    PhysiologyResult,
    /// A document of the extended storage, whatever its kind folder.
    Document,
    /// Another folder: shown as it is.
    Unknown,
}

/// Kind, code, messages that it consists of, Japanese and English name.
type Row = (
    Kind,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

#[rustfmt::skip] // a table: one kind a line
const KINDS: [Row; 26] = [
    (Kind::Basics, "ADT-00", &["ADT"], "患者基本情報", "patient basics"),
    (Kind::Physician, "ADT-01", &["ADT"], "担当医", "attending physician"),
    (Kind::Visit, "ADT-12", &["ADT"], "外来受付", "outpatient visit"),
    (Kind::AdmissionPlanned, "ADT-21", &["ADT"], "入院予定", "admission planned"),
    (Kind::Admission, "ADT-22", &["ADT"], "入院実施", "admission"),
    (Kind::Leave, "ADT-31", &["ADT"], "外出泊実施", "leave"),
    (Kind::Return, "ADT-32", &["ADT"], "外出泊帰院", "return from leave"),
    (Kind::TransferPlanned, "ADT-41", &["ADT"], "転科・転棟予定", "transfer planned"),
    (Kind::Transfer, "ADT-42", &["ADT"], "転科・転棟実施", "transfer"),
    (Kind::DischargePlanned, "ADT-51", &["ADT"], "退院予定", "discharge planned"),
    (Kind::Discharge, "ADT-52", &["ADT"], "退院実施", "discharge"),
    (Kind::Allergies, "ADT-61", &["ADT"], "アレルギー", "allergies"),
    (Kind::Problems, "PPR-01", &["PPR"], "病名", "problems"),
    (Kind::Meals, "OMD", &["OMD"], "食事", "meals"),
    (Kind::Prescription, "OMP-01", &["RDE"], "処方オーダ", "prescription ordered"),
    (Kind::Injection, "OMP-02", &["RDE"], "注射オーダ", "injection ordered"),
    (Kind::PrescriptionGiven, "OMP-11", &["RAS"], "処方実施", "prescription given"),
    (Kind::InjectionGiven, "OMP-12", &["RAS"], "注射実施", "injection given"),
    (Kind::LabOrder, "OML-01", &["OML"], "検体検査オーダ", "laboratory ordered"),
    (Kind::LabResult, "OML-11", &["OUL"], "検体検査結果", "laboratory results"),
    (Kind::RadiologyOrder, "OMG-01", &["OMG"], "放射線検査オーダ", "radiology ordered"),
    (Kind::EndoscopyOrder, "OMG-02", &["OMG"], "内視鏡検査オーダ", "endoscopy ordered"),
    (Kind::PhysiologyOrder, "OMG-03", &["OMG"], "生理検査オーダ", "physiology ordered"),
    (Kind::RadiologyDone, "OMG-11", &["OMI"], "放射線検査実施", "radiology done"),
    (Kind::EndoscopyDone, "OMG-12", &["OMI"], "内視鏡検査実施", "endoscopy done"),
    (Kind::PhysiologyResult, "OMG-13", &["ORU"], "生理検査結果", "physiology results"),
];

impl Kind {
    /// Every kind of the standard storage, in the order of their codes' table.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|row| row.0)
    }

    /// The kind of a folder; [`Kind::Document`] for one with carets.
    pub fn of_folder(folder: &[u8]) -> Self {
        if folder.contains(&b'^') {
            return Self::Document;
        }
        KINDS
            .iter()
            .find(|row| row.1.as_bytes() == folder)
            .map_or(Self::Unknown, |row| row.0)
    }

    fn row(self) -> Option<&'static Row> {
        KINDS.iter().find(|row| row.0 == self)
    }

    /// `ADT-00` and so on; empty for what has no code of its own.
    pub fn code(self) -> &'static str {
        self.row().map_or("", |row| row.1)
    }

    /// For people.
    pub fn text(self, language: Language) -> &'static str {
        match (self.row(), self) {
            (Some(row), _) => language.pick(row.3, row.4),
            (None, Self::Document) => language.pick("文書", "document"),
            (None, _) => language.pick("その他", "other"),
        }
    }

    /// A message of this type (MSH-9, first component) can be of this kind.
    pub(super) fn takes(self, message_type: &str) -> bool {
        match self.row() {
            Some(row) => row.2.contains(&message_type),
            None => true,
        }
    }

    /// Records of this kind lie in the folder `-`.
    pub fn is_undated(self) -> bool {
        matches!(
            self,
            Self::Basics | Self::Physician | Self::Allergies | Self::Problems
        )
    }

    /// A visit, or a step of a stay.
    pub fn is_movement(self) -> bool {
        matches!(
            self,
            Self::Physician
                | Self::Visit
                | Self::AdmissionPlanned
                | Self::Admission
                | Self::Leave
                | Self::Return
                | Self::TransferPlanned
                | Self::Transfer
                | Self::DischargePlanned
                | Self::Discharge
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_names_its_kind() {
        for kind in Kind::all() {
            assert_eq!(Kind::of_folder(kind.code().as_bytes()), kind);
            assert_ne!(kind.text(Language::Japanese), kind.text(Language::English));
        }
        assert_eq!(Kind::of_folder(b"OMP-99"), Kind::Unknown);
        assert_eq!(
            Kind::of_folder("^x^^18842-5^^LN".as_bytes()),
            Kind::Document
        );
    }
}
