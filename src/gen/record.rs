//! Records: the content of one record, whatever its kind.

use super::document::DocumentFile;
use super::event::What;
use super::frame::Page;
use super::kind::Kind;

impl Page<'_> {
    /// The message of a record of the standard storage.
    pub(super) fn message(&self, kind: Kind) -> Vec<u8> {
        let mut message = self.open(kind.message_type(self.version.taken_back));
        let m = &mut message;
        match kind {
            Kind::Basics => self.basics(m),
            Kind::Allergies => self.allergies(m),
            Kind::Problems => self.problems(m),
            Kind::Meal => self.meal(m),
            Kind::Prescription => self.prescription(m),
            Kind::InjectionOrder => self.injection_order(m),
            Kind::PrescriptionGiven => self.prescription_given(m),
            Kind::InjectionGiven => self.injection_given(m),
            Kind::SpecimenOrder => self.specimen_order(m),
            Kind::SpecimenResult => self.specimen_result(m),
            Kind::RadiologyOrder => self.study_order(m, false),
            Kind::EndoscopyOrder => self.study_order(m, true),
            Kind::PhysiologyOrder => self.physiology_order(m),
            Kind::RadiologyDone => self.study_done(m, false),
            Kind::EndoscopyDone => self.study_done(m, true),
            Kind::PhysiologyResult => self.physiology_result(m),
            Kind::Physician
            | Kind::Visit
            | Kind::AdmissionPlan
            | Kind::Admission
            | Kind::Leave
            | Kind::Return
            | Kind::TransferPlan
            | Kind::Transfer
            | Kind::DischargePlan
            | Kind::Discharge => self.movement(m, kind),
        }
        message.encode()
    }

    /// The files of a record; a standard record is one file without a name of its own.
    pub(super) fn files(&self) -> Vec<DocumentFile> {
        match self.event.what {
            What::Standard(kind) => vec![("", self.message(kind))],
            What::Document(place) => self.document(place),
        }
    }
}
