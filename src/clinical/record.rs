//! Records: one file, read by its place and its bytes.

use jiff::civil::Date;

use super::administration::Administration;
use super::allergy::Allergy;
use super::basics::Basics;
use super::cda::Cda;
use super::document::{DocumentKind, Media, media_of};
use super::examination::Examination;
use super::folding::fold_id;
use super::kind::Kind;
use super::laboratory::LabReport;
use super::meal::Meal;
use super::medication::MedicationOrder;
use super::movement::Movement;
use super::note::Note;
use super::person::{Name, Sex};
use super::place::Place;
use super::problem::Problem;
use super::when::{When, day_of_name};
use crate::hl7::{Message, Segment};
use crate::ssmix::{Anomaly, Flag, Object, RecordName, anomalies, classify};

/// Segments of a message that is interpreted; real ones have some hundreds at most.
const SEGMENTS_MAX: usize = 20_000;
/// Notes of one sort that are kept at most.
const NOTES_MAX: usize = 50;
/// Days that a year inside may lie beyond the folder's date without a note: around New Year.
const NEW_YEAR_DAYS: i32 = 60;

/// Fields that are times.
const TIMES: [(&str, &[usize]); 16] = [
    ("MSH", &[7]),
    ("EVN", &[2, 6]),
    ("PID", &[7, 33]),
    ("PV1", &[44, 45]),
    ("PV2", &[8, 9]),
    ("ORC", &[9]),
    ("OBR", &[7, 8, 22]),
    ("OBX", &[14]),
    ("SPM", &[17, 18]),
    ("TQ1", &[7, 8]),
    ("RXA", &[3, 4, 22]),
    ("PRB", &[2, 7, 9, 15, 16]),
    ("IAM", &[11]),
    ("AL1", &[6]),
    ("IN1", &[12, 13]),
    ("DG1", &[5]),
];
/// Those of them that should lie near the folder's date.
const NEAR: [(&str, usize); 4] = [("ORC", 9), ("OBR", 7), ("RXA", 3), ("SPM", 17)];

/// A record: what its place says, what its content says, and notes on both.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it lies.
    pub place: Place,
    /// By its kind folder.
    pub kind: Kind,
    /// The kind of a document, by its kind folder.
    pub document: Option<DocumentKind>,
    /// The date folder; `None` for `-` and for what is no day.
    pub date: Option<Date>,
    /// Order number of the name.
    pub order: String,
    /// Timestamp of the name, as it is written: 14 to 17 digits.
    pub timestamp: String,
    /// Department of the name; empty for `-` and for none.
    pub department: String,
    /// Life cycle; `None` for a stray file.
    pub flag: Option<Flag>,
    /// What the content says about whose it is.
    pub identity: Identity,
    /// MSH-7, or a document's effective time: when it was written.
    pub written: Option<When>,
    /// The content by its kind.
    pub body: Body,
    /// The whole message, with everything that has no type. Empty for a document.
    pub message: Message,
    /// What a reader has to know.
    pub notes: Vec<Note>,
}

/// What a record says about whose it is. The path decides; this is to be compared with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// PID-3, each repetition.
    pub ids: Vec<String>,
    /// PID-5.
    pub name: Name,
    /// PID-7.
    pub birth: Option<When>,
    /// PID-8.
    pub sex: Sex,
}

/// The content of a record, by its kind. What is ordered and what was given are different.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// ADT-00
    Basics(Box<Basics>),
    /// ADT-01 to 52: see the record's kind.
    Movement(Box<Movement>),
    /// ADT-61
    Allergies(Vec<Allergy>),
    /// PPR-01
    Problems(Vec<Problem>),
    /// OMD
    Meals(Vec<Meal>),
    /// OMP-01: ordered.
    Prescription(Vec<MedicationOrder>),
    /// OMP-02: ordered.
    Injection(Vec<MedicationOrder>),
    /// OMP-11: given.
    PrescriptionGiven(Vec<Administration>),
    /// OMP-12: given.
    InjectionGiven(Vec<Administration>),
    /// OML-01
    LabOrder(LabReport),
    /// OML-11
    LabResult(LabReport),
    /// OMG-01/02/03
    ExaminationOrder(Examination),
    /// OMG-11/12/13
    ExaminationDone(Examination),
    /// `main_document.hl7` of the extended storage: vitals and the like.
    Vitals(Examination),
    /// CDA of the extended storage.
    Document(Box<Cda>),
    /// Another file of a content folder: a PDF, a picture.
    Attachment(Media),
    /// Nothing that could be interpreted: see the message, or the bytes.
    Uninterpreted,
}

impl Record {
    /// Reads a file. Whatever the bytes are, a record comes of it.
    pub fn read(place: Place, bytes: &[u8]) -> Self {
        let mut record = Self::of_place(place);
        match (record.kind, media_of(record.place.file_name())) {
            (Kind::Document, Media::Xml) => record.read_cda(bytes),
            (Kind::Document, media) if media != Media::Hl7 => {
                record.body = Body::Attachment(media);
            }
            _ => record.read_message(bytes),
        }
        record
    }

    /// What stands before everything else that is shown of this record: it may be another
    /// patient's. Such a record stays out of every summary.
    pub fn warning(&self) -> Option<&Note> {
        self.notes.iter().find(|note| note.blocks())
    }

    /// The record counts: it is valid, and it is no other patient's.
    pub fn counts(&self) -> bool {
        self.flag == Some(Flag::Valid) && self.warning().is_none()
    }

    /// Adds notes where this record's person differs from the patient's basics.
    pub fn compare_with(&mut self, basics: &Basics) {
        let (identity, mut found) = (&self.identity, Vec::new());
        let mut compare = |place, inside: &str, basics: &str| {
            if !inside.is_empty() && !basics.is_empty() && inside != basics {
                found.push(Note::OtherPerson {
                    place,
                    inside: inside.to_owned(),
                    basics: basics.to_owned(),
                });
            }
        };
        let plain = |name: &Name| name.kanji.replace([' ', '　'], "");
        compare("PID-5", &plain(&identity.name), &plain(&basics.name));
        let day = |when: &Option<When>| when.as_ref().map(When::show).unwrap_or_default();
        compare("PID-7", &day(&identity.birth), &day(&basics.birth));
        if identity.sex != Sex::Unknown && basics.sex != Sex::Unknown {
            let sex = |sex: &Sex| sex.text(crate::language::Language::English).to_owned();
            compare("PID-8", &sex(&identity.sex), &sex(&basics.sex));
        }
        self.notes.extend(found);
    }

    fn of_place(place: Place) -> Self {
        let object = place.object.clone();
        let (kind, document, date, name) = match classify(&object) {
            Object::Standard { date, kind, name } => {
                (Kind::of_folder(kind), None, date, Some(name))
            }
            Object::Extended {
                date,
                kind,
                content,
                ..
            } => (
                Kind::Document,
                Some(DocumentKind::of(&kind)),
                date,
                Some(content),
            ),
            Object::Stray { .. } => (Kind::Unknown, None, &b""[..], None),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let of_name = |field: fn(&RecordName<'_>) -> Vec<u8>| {
            name.as_ref()
                .map(|name| text(&field(name)))
                .unwrap_or_default()
        };
        let department = of_name(|name| name.department.unwrap_or_default().to_vec());
        let mut notes: Vec<Note> = anomalies(&place.directory, &object)
            .into_iter()
            .filter(|anomaly| kind != Kind::Document || !is_usual_in_documents(anomaly))
            .map(Note::Name)
            .collect();
        if kind == Kind::Unknown {
            notes.push(Note::UnknownKind);
        }
        Self {
            kind,
            document,
            date: day_of_name(date),
            order: of_name(|name| name.order.to_vec()),
            timestamp: of_name(|name| name.timestamp.to_vec()),
            department: if department == "-" {
                String::new()
            } else {
                department
            },
            flag: name.map(|name| name.flag),
            identity: Identity::default(),
            written: None,
            body: Body::Uninterpreted,
            message: Message::default(),
            notes,
            place,
        }
    }

    fn read_cda(&mut self, bytes: &[u8]) {
        match Cda::read(bytes) {
            Ok((cda, parts)) => {
                self.identity = Identity {
                    ids: cda.patient.ids.clone(),
                    name: cda.patient.name.clone(),
                    birth: cda.patient.birth.clone(),
                    sex: cda.patient.sex.clone(),
                };
                self.written = cda.time.clone();
                self.notes
                    .extend(parts.into_iter().map(|what| Note::DocumentPart { what }));
                self.body = Body::Document(Box::new(cda));
                self.note_identity();
            }
            Err(error) => self.notes.push(Note::Document(error)),
        }
    }

    fn read_message(&mut self, bytes: &[u8]) {
        self.message = Message::read(bytes);
        let notes = self.message.notes.iter().take(NOTES_MAX).cloned();
        self.notes.extend(notes.map(Note::Reading));
        if !self.message.is_message() {
            return;
        }
        if self.message.segments.len() > SEGMENTS_MAX {
            let segments = self.message.segments.len();
            self.notes.push(Note::TooManySegments { segments });
            self.identity = Identity::of(&self.message);
            self.note_identity();
            return;
        }
        self.identity = Identity::of(&self.message);
        self.written = When::of(self.message.field("MSH", 7));
        self.note_identity();
        self.note_content();
        self.interpret();
    }

    /// The path owns the identity: every id inside differs, so the record may be another's.
    fn note_identity(&mut self) {
        let patient = fold_id(&String::from_utf8_lossy(self.place.patient()));
        let ids = &self.identity.ids;
        if ids.is_empty() {
            self.notes.push(Note::NoPatient);
        } else if !ids.iter().any(|id| fold_id(id) == patient) {
            self.notes.push(Note::OtherPatient {
                inside: ids.clone(),
            });
        }
    }

    fn note_content(&mut self) {
        let mut notes = Vec::new();
        note_times(&self.message, self.date, &mut notes);
        note_deletions(&self.message, &mut notes);
        note_shift(&self.message, &mut notes);
        note_order(&self.message, self.kind, &self.order, &mut notes);
        let segments = self
            .message
            .segments
            .iter()
            .filter(|segment| !segment.name.is_empty());
        let blank = segments.filter(|segment| segment.is_blank()).count();
        if blank > 0 {
            notes.push(Note::Blank { segments: blank });
        }
        self.notes.append(&mut notes);
    }

    fn interpret(&mut self) {
        let message = &self.message;
        let message_type = message.field("MSH", 9).component(1).text();
        if !message_type.is_empty() && !self.kind.takes(&message_type) {
            self.notes.push(Note::MessageType {
                found: message.field("MSH", 9).text(),
                kind: self.kind.code(),
            });
            return;
        }
        self.body = match self.kind {
            Kind::Basics => Body::Basics(Box::new(Basics::of(message))),
            Kind::Allergies => Body::Allergies(Allergy::all(message)),
            Kind::Problems => Body::Problems(Problem::all(message)),
            Kind::Meals => Body::Meals(Meal::all(message)),
            Kind::Prescription => Body::Prescription(MedicationOrder::all(message)),
            Kind::Injection => Body::Injection(MedicationOrder::all(message)),
            Kind::PrescriptionGiven => Body::PrescriptionGiven(Administration::all(message)),
            Kind::InjectionGiven => Body::InjectionGiven(Administration::all(message)),
            Kind::LabOrder => Body::LabOrder(LabReport::of(message)),
            Kind::LabResult => Body::LabResult(LabReport::of(message)),
            Kind::RadiologyOrder | Kind::EndoscopyOrder | Kind::PhysiologyOrder => {
                Body::ExaminationOrder(Examination::of(message))
            }
            Kind::RadiologyDone | Kind::EndoscopyDone | Kind::PhysiologyResult => {
                Body::ExaminationDone(Examination::of(message))
            }
            Kind::Document => Body::Vitals(Examination::of(message)),
            Kind::Unknown => Body::Uninterpreted,
            _ => Body::Movement(Box::new(Movement::of(message))),
        };
    }
}

/// Six fields and 15 digits are what real content folders have.
fn is_usual_in_documents(anomaly: &Anomaly) -> bool {
    matches!(anomaly, Anomaly::Department | Anomaly::Timestamp { .. })
}

impl Identity {
    fn of(message: &Message) -> Self {
        let ids = message.field("PID", 3);
        Self {
            ids: ids
                .repetitions()
                .map(|id| id.component(1).text())
                .filter(|id| !id.is_empty())
                .collect(),
            name: Name::of(message.field("PID", 5)),
            birth: When::of(message.field("PID", 7)),
            sex: Sex::of(message.field("PID", 8)),
        }
    }
}

/// Adds a note once, and not too many of its sort.
fn add(notes: &mut Vec<Note>, note: Note) {
    let same = |other: &&Note| std::mem::discriminant(*other) == std::mem::discriminant(&note);
    if notes.iter().filter(same).count() < NOTES_MAX && !notes.contains(&note) {
        notes.push(note);
    }
}

fn note_times(message: &Message, folder: Option<Date>, notes: &mut Vec<Note>) {
    for segment in &message.segments {
        let Some((name, numbers)) = TIMES.iter().find(|(name, _)| *name == segment.name) else {
            continue;
        };
        for &number in *numbers {
            let Some(when) = When::of(segment.field(number)) else {
                continue;
            };
            let place = format!("{name}-{number}");
            if when.odd {
                let text = when.text.clone();
                add(
                    notes,
                    Note::Time {
                        place: place.clone(),
                        text,
                    },
                );
            }
            if let (Some(folder), Some(day), true) =
                (folder, when.day(), NEAR.contains(&(*name, number)))
                && day.year() != folder.year()
                && day
                    .since(folder)
                    .is_ok_and(|span| span.get_days().abs() > NEW_YEAR_DAYS)
            {
                let (inside, folder) = (day.to_string(), folder.to_string());
                add(
                    notes,
                    Note::Year {
                        place,
                        inside,
                        folder,
                    },
                );
            }
        }
    }
}

fn note_deletions(message: &Message, notes: &mut Vec<Note>) {
    for segment in &message.segments {
        if !segment.text.contains("\"\"") {
            continue;
        }
        let deleted = segment.fields().filter(|(_, field)| {
            field.repetitions().any(|one| {
                let mut components = one.raw().split(message.delimiters.component);
                components.any(|component| component.trim() == "\"\"")
            })
        });
        for (number, _) in deleted {
            let place = format!("{}-{number}", segment.name);
            add(notes, Note::Deletion { place });
        }
    }
}

/// PID-7 is empty, and a neighbour has the birth date.
fn note_shift(message: &Message, notes: &mut Vec<Note>) {
    let Some(pid) = message.first("PID").filter(|pid| pid.field(7).is_empty()) else {
        return;
    };
    for (number, found) in [(6, "PID-6"), (8, "PID-8"), (9, "PID-9"), (10, "PID-10")] {
        let text = pid.field(number).text();
        if text.len() == 8 && When::parse(&text).day().is_some() {
            let expected = "PID-7";
            notes.push(Note::Shifted {
                expected,
                found,
                text,
            });
        }
    }
}

/// The first order number inside is the name's; a name of nines alone names none.
fn note_order(message: &Message, kind: Kind, named: &str, notes: &mut Vec<Note>) {
    let names_none = named.is_empty() || named.bytes().all(|digit| digit == b'9');
    if names_none || kind.is_undated() || kind.is_movement() || kind == Kind::Document {
        return;
    }
    let number = |segment: Option<&Segment>| segment.map(|one| one.field(2).component(1).text());
    let inside = number(message.first("ORC")).or(number(message.first("OBR")));
    let Some(inside) = inside.filter(|inside| !inside.is_empty() && inside != named) else {
        return;
    };
    let named = named.to_owned();
    notes.push(Note::OrderNumber { inside, named });
}
