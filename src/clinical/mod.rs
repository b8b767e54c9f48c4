//! What records say, as values that the viewer's pages show: everything between bytes and pages.
//!
//! [`Record::read`] takes a file's place and bytes and gives its typed content with notes; nothing
//! here fails, and nothing is dropped: what has no type stays in the record's message. The path
//! owns the identity: a record that is of another patient by its own words says so
//! ([`Record::warning`]) and is kept out of every summary. What is ordered and what was given have
//! types of their own, so that no list can mix them. Access rules, pages and storage are left to
//! others; there is no I/O and no clock in here.
//!
//! Source: DOMAIN.md, "What a clinician needs from each" and "Anomalies".

mod administration;
mod allergy;
mod basics;
mod birthdate;
mod cda;
mod cda_text;
mod coded;
mod document;
mod era;
mod examination;
mod folding;
mod kind;
mod laboratory;
mod meal;
mod medication;
mod movement;
mod note;
mod observation;
mod person;
mod place;
mod problem;
mod quantity;
mod range;
mod record;
mod regimen;
mod series;
mod stay;
mod summary;
mod versions;
mod when;

pub use administration::{Administration, Completion};
pub use allergy::{Allergy, AllergyClass};
pub use basics::{Basics, Insurance, Kin};
pub use birthdate::parse_birth_date;
pub use cda::{CDA_BYTES_MAX, Cda, CdaError, CdaPerson, CdaSection};
pub use cda_text::{Block, Cell, Inline, Mark, Row};
pub use coded::{Code, Coded};
pub use document::{Contents, DocumentKind, DocumentType, Media, media_of};
pub use era::{age, era_date};
pub use examination::{Detail, Examination, Image, Order};
pub use folding::{fold, fold_id};
pub use kind::Kind;
pub use laboratory::{Culture, LabReport, Panel, Specimen};
pub use meal::{Meal, MealItem};
pub use medication::{Ingredient, IngredientRole, MedicationOrder, Route, Timing};
pub use movement::{Diagnosis, Location, Movement, PatientClass};
pub use note::Note;
pub use observation::{Comparator, Flag, Flagged, Observation, Reading, ResultStatus};
pub use person::{Address, Name, Phone, Sex, Staff};
pub use place::Place;
pub use problem::Problem;
pub use quantity::Quantity;
pub use range::{ReferenceRange, derive_flag};
pub use record::{Body, Identity, Record};
pub use regimen::{Medication, Taking, medications};
pub use series::{Point, Series, series};
pub use stay::{Stay, stays};
pub use summary::{EmergencySummary, summarize, taken};
pub use versions::{Version, Versions, versions};
pub use when::{Moment, When};
