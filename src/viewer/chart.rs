//! One patient's files in one facility, over all its volumes, as of a commit.
//! Only a grant opens a chart.

use std::sync::Arc;

use hikae_protocol::objectpath::{LeafKey, ObjectPath};

use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, FileRecord};
use crate::clinical::{Kind, Place, Record, versions};
use crate::registry::Grant;
use crate::ssmix::{ExtendedKind, Flag, Object, classify, patient_directory};

/// The label of a facility's registry volume, in which no patient is.
pub(super) const REGISTRY_LABEL: &[u8] = b"REG01";
/// Bytes of a content that is shown, at most.
const CONTENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file of the chart, as its path tells it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Facility and label of the volume.
    pub label: String,
    /// Path below the patient directory.
    pub path: ObjectPath,
    /// Bytes.
    pub size: u64,
    /// By its kind folder.
    pub kind: Kind,
    /// The date folder; `-` for undated kinds, empty for a stray file.
    pub date: String,
    /// The time of the transaction, digits; empty for a stray file.
    pub timestamp: String,
    /// Life cycle; none of a stray file.
    pub flag: Option<Flag>,
    /// Which record it is of; none of a stray file.
    pub version: Option<VersionPlace>,
    /// Title of a document's kind; empty otherwise.
    pub title: String,
    /// The file's path below its content folder, of a document.
    pub document: Vec<u8>,
    content: ContentPlace,
}

/// A version of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionPlace {
    /// A number of the record in its chart.
    record: usize,
    /// 0 for the current version, then its history, the newest first.
    order: usize,
}

/// A patient's files.
pub(super) struct Chart {
    facility: String,
    patient: String,
    directory: Vec<u8>,
    catalogue: Arc<Catalogue>,
    items: Vec<Item>,
    /// Of a volume of the facility nothing is kept here.
    is_bare: bool,
}

/// The volumes of a facility that hold records.
pub(super) fn volumes(
    catalogue: &Catalogue,
    facility: &str,
) -> Result<Vec<Vec<u8>>, CatalogueError> {
    let begin = [facility.as_bytes(), b"/"].concat();
    let all = catalogue.names_below(b"")?.into_iter();
    Ok(all
        .filter(|volume| {
            volume
                .strip_prefix(begin.as_slice())
                .is_some_and(|label| label != REGISTRY_LABEL)
        })
        .collect())
}

impl Chart {
    /// Opens the chart that a grant is for: as it is now, or as of a commit.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn open(
        catalogue: &Arc<Catalogue>,
        grant: &Grant,
        commit: Option<u64>,
    ) -> Result<Chart, CatalogueError> {
        let patient = grant.patient();
        Chart::of(catalogue, &patient.facility, &patient.id, commit)
    }

    /// The chart of a patient, for the roster alone: it takes name and birth
    /// date from it, and shows them to those who may.
    pub(super) fn of(
        catalogue: &Arc<Catalogue>,
        facility: &str,
        patient: &str,
        commit: Option<u64>,
    ) -> Result<Chart, CatalogueError> {
        let directory = patient_directory(patient.as_bytes());
        let mut items = Vec::new();
        let mut is_bare = false;
        for volume in volumes(catalogue, facility)? {
            is_bare |= match (LeafKey::parse(&volume), commit) {
                (Ok(volume), Some(commit)) => catalogue.is_bare_at(&volume, commit)?,
                _ => catalogue.is_bare(&volume)?,
            };
            let key = [&volume, &b"/"[..], &directory].concat();
            // An id that is no file name belongs to nobody.
            let Ok(key) = LeafKey::parse(&key) else {
                continue;
            };
            let mut record = catalogue.leaf_record(&key)?;
            if let (Some(newest), Some(commit)) = (&record, commit) {
                record = catalogue.record_as_of(newest, commit)?;
            }
            let label = volume.get(facility.len() + 1..).unwrap_or_default();
            let label = String::from_utf8_lossy(label).into_owned();
            let files = record.map(|record| record.files).unwrap_or_default();
            let begin = items.len();
            items.extend(files.into_iter().map(|file| Item::of(&label, file)));
            place_versions(&mut items, begin);
        }
        Ok(Chart {
            facility: facility.into(),
            patient: patient.into(),
            directory,
            catalogue: catalogue.clone(),
            items,
            is_bare,
        })
    }

    /// The facility's id.
    pub(super) fn facility(&self) -> &str {
        &self.facility
    }

    /// The patient's id.
    pub(super) fn patient(&self) -> &str {
        &self.patient
    }

    /// Whether the filter leaves out a volume of the facility: who has records
    /// there is not known.
    pub(super) fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// Every file.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The file of a volume and path.
    pub(super) fn item(&self, label: &str, path: &[u8]) -> Option<&Item> {
        let mut items = self.items.iter();
        items.find(|item| item.label == label && item.path.as_bytes() == path)
    }

    /// The bytes of a file; none if the filter leaves it out, the source could not
    /// hand them out, or they are too many for a page.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn bytes(&self, item: &Item) -> Result<Option<Vec<u8>>, CatalogueError> {
        if !item.content.is_held() || item.size > CONTENT_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(item.size as usize);
        self.catalogue
            .content::<CatalogueError>(item.content, |part| {
                bytes.extend_from_slice(part);
                Ok(())
            })?;
        Ok(Some(bytes))
    }

    /// A file, read.
    ///
    /// Errors: `CatalogueError`.
    pub(super) fn record(&self, item: &Item) -> Result<Option<Record>, CatalogueError> {
        let place = Place::new(
            &self.facility,
            &item.label,
            &self.directory,
            item.path.as_bytes(),
        );
        let bytes = self.bytes(item)?;
        Ok(bytes.map(|bytes| Record::read(place, &bytes)))
    }
}

impl Item {
    fn of(label: &str, file: FileRecord) -> Item {
        let path = file.entry.path;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (kind, date, name, title, document) = match classify(path.as_bytes()) {
            Object::Standard { date, kind, name } => (
                Kind::of_folder(kind),
                date,
                Some(name),
                String::new(),
                vec![],
            ),
            Object::Extended {
                date,
                kind,
                content,
                document,
            } => (
                Kind::Document,
                date,
                Some(content),
                title(&kind),
                document.to_vec(),
            ),
            Object::Stray { .. } => (Kind::Unknown, &b""[..], None, String::new(), vec![]),
        };
        Item {
            label: label.into(),
            size: file.entry.size,
            content: file.content,
            kind,
            date: text(date),
            timestamp: name.map(|name| text(name.timestamp)).unwrap_or_default(),
            flag: name.map(|name| name.flag),
            version: None,
            title,
            document,
            path,
        }
    }

    /// Whether its content is to be here; the filter leaves out others.
    pub(super) fn is_kept(&self) -> bool {
        self.content != ContentPlace::NotHeld
    }

    /// Whether it is the current file of its record.
    pub(super) fn is_current(&self) -> bool {
        self.version.is_some_and(|version| version.order == 0)
    }

    /// Whether both are of one record; not of stray files.
    pub(super) fn is_of_record(&self, other: &Item) -> bool {
        let record = |item: &Item| item.version.map(|version| version.record);
        record(self).is_some() && record(self) == record(other)
    }

    /// Whether both are files of one version of a document.
    pub(super) fn is_of_version(&self, other: &Item) -> bool {
        self.version.is_some() && self.version == other.version
    }
}

fn title(kind: &ExtendedKind<'_>) -> String {
    kind.title().into_owned()
}

/// Says of the files of one volume, which begin at `begin`, which versions of
/// which records they are.
fn place_versions(items: &mut [Item], begin: usize) {
    let paths = items[begin..].iter().map(|item| item.path.as_bytes());
    for (record, found) in versions(paths).into_iter().enumerate() {
        let current = found.current.iter().map(|version| (0, version));
        let history = (1..).zip(&found.history);
        for (order, version) in current.chain(history) {
            let record = begin + record;
            for place in &version.files {
                items[begin + place].version = Some(VersionPlace { record, order });
            }
        }
    }
}
