//! The filter of a sparse replica: what it keeps, and bringing the tree to a
//! filter that was changed.
//!
//! Narrower: volumes become bare and contents are let go, under the snapshot
//! that is there; their blocks are freed when no kept snapshot needs them.
//! Wider: contents are lacking from then on, and the next pull asks for them;
//! a volume that was bare is compared by the pull itself.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use hikae_protocol::digest::{Digest, Domain};
use hikae_protocol::filter::ContentFilter;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Replica, ReplicaError};
use crate::catalogue::{Catalogue, CatalogueError, ContentPlace, LeafRecord};
use crate::config;
use crate::disk::{DiskError, Record, read_record, write_record};
use crate::plan::Filter;
use crate::progress::Monitor;
use crate::replicate::center::now_ms;

/// The file of the store that says which filter the tree was brought to.
const FILTER: &str = "filter";
/// Records that are staged at a time.
const BATCH: usize = 1024;

/// What a sparse replica does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sparse {
    /// Patterns of the volumes that it keeps; none: every volume.
    pub volumes: Vec<String>,
    /// Patterns of the kinds whose contents it keeps; none: every kind.
    pub kinds: Vec<String>,
    /// The first day whose contents it keeps, YYYYMMDD.
    pub since: Option<String>,
    /// Volumes of which it knows the digest alone.
    pub bare: Vec<String>,
    /// Those of them that it would keep, but no source gives them.
    pub not_given: Vec<String>,
}

impl fmt::Display for Sparse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |list: &[String]| match list {
            [] => "all".to_string(),
            list => list.join(", "),
        };
        let (volumes, kinds) = (list(&self.volumes), list(&self.kinds));
        write!(
            f,
            "keeps less than everything: volumes {volumes}; kinds {kinds}"
        )?;
        if let Some(since) = &self.since {
            write!(f, "; since {since}")?;
        }
        write!(
            f,
            "; {} volumes are known by their digests alone",
            self.bare.len()
        )?;
        match &self.not_given[..] {
            [] => Ok(()),
            not_given => write!(f, "; NOT given by a source: {}", not_given.join(", ")),
        }
    }
}

/// What a configuration means at a moment. The first day of a period moves
/// once a month, so that not every day is a pass over the whole store.
pub(super) fn filter_of(configured: Option<&config::Filter>, now: Timestamp) -> Filter {
    let Some(configured) = configured else {
        return Filter::default();
    };
    let since = configured.since.and_then(|since| {
        let since = SignedDuration::try_from(since).ok()?;
        let first = now.checked_sub(since).ok()?;
        let day = first.to_zoned(jiff::tz::TimeZone::UTC).date();
        Some(day.first_of_month().strftime("%Y%m%d").to_string())
    });
    let kinds = configured.kinds.clone().unwrap_or_default();
    let contents = (!kinds.is_empty() || since.is_some()).then_some(ContentFilter { kinds, since });
    Filter {
        volumes: configured.volumes.clone().unwrap_or_default(),
        contents: contents.map(Arc::new),
    }
}

impl Replica {
    /// What is kept.
    pub(super) fn filter(&self) -> Filter {
        filter_of(self.config().filter.as_ref(), Timestamp::now())
    }

    /// What this replica does not hold, by its filter or because no source
    /// gives it; none of one that holds everything.
    ///
    /// Errors: `CatalogueError`.
    pub fn sparse(&self) -> Result<Option<Sparse>, CatalogueError> {
        let filter = self.filter();
        let bare = self.catalogue.view().bare_volumes()?;
        if filter.is_whole() && bare.is_empty() {
            return Ok(None);
        }
        let not_given = bare.iter();
        let not_given = not_given.filter(|bare| filter.keeps_volume(bare.volume.as_bytes()));
        let contents = filter.contents.as_deref().cloned().unwrap_or_default();
        Ok(Some(Sparse {
            not_given: not_given
                .map(|bare| bare.volume.text().to_string())
                .collect(),
            bare: bare
                .iter()
                .map(|bare| bare.volume.text().to_string())
                .collect(),
            volumes: filter.volumes,
            kinds: contents.kinds,
            since: contents.since,
        }))
    }

    /// Brings the tree to `filter`, if it was brought to another one; says what
    /// is to be asked for.
    ///
    /// Errors: `ReplicaError`.
    pub(super) fn refilter(
        &self,
        filter: &Filter,
        monitor: &dyn Monitor,
    ) -> Result<Filter, ReplicaError> {
        let mark = mark_of(filter);
        let files = self.catalogue.files();
        match read_record::<Digest>(files, FILTER).map_err(CatalogueError::Disk)? {
            Record::Value(known) if known == mark => return Ok(filter.clone()),
            _ => {}
        }
        if self.catalogue.has_staged() {
            // It was staged for another filter.
            self.catalogue.unstage(&[])?;
        }
        // Of a damaged tree no root can be told; the pull makes it whole first,
        // with all that it has.
        if self.catalogue.commit_record().is_some() && !self.catalogue.is_whole()? {
            return Ok(with_held(&self.catalogue, filter)?);
        }
        self.filter_tree(filter, monitor)?;
        write_record(files, FILTER, &mark).map_err(CatalogueError::Disk)?;
        Ok(filter.clone())
    }

    fn filter_tree(&self, filter: &Filter, monitor: &dyn Monitor) -> Result<(), ReplicaError> {
        let catalogue = &self.catalogue;
        let (Some(commit), Some(snapshot)) = (catalogue.commit_record(), catalogue.snapshot())
        else {
            return Ok(());
        };
        let narrowed = narrowed(catalogue, filter, snapshot.cursor.sequence)?;
        let names: BTreeSet<&[u8]> = narrowed.iter().map(|bare| bare.key.as_bytes()).collect();
        let leaves = catalogue.view().leaves_below(&[])?;
        monitor.stage("bring the store to the filter", Some(leaves.len() as u64));
        let mut records = narrowed.clone();
        for (key, value) in leaves {
            monitor.advance(1);
            if value.bare.is_some() || value.entries == 0 || names.contains(key.as_bytes()) {
                continue;
            }
            if names.contains(key.volume()) {
                records.push(LeafRecord::left_out(key, value.sequence));
            } else {
                let record = catalogue.record(value.place)?;
                records.extend(refiltered(record, filter));
            }
            if records.len() >= BATCH {
                catalogue.stage(std::mem::take(&mut records))?;
            }
        }
        catalogue.stage(records)?;
        if !catalogue.has_staged() {
            return Ok(());
        }
        let (update, totals) = catalogue.with_staged()?;
        catalogue.commit((&update, totals), &commit.verified()?, now_ms())?;
        Ok(())
    }
}

/// What was lost may have been the way to the filter: the next sync looks at
/// every leaf.
///
/// Errors: `DiskError`.
pub(in crate::replicate) fn forget_filter(catalogue: &Catalogue) -> Result<(), DiskError> {
    catalogue.files().remove(FILTER)?;
    catalogue.files().sync_folder("")
}

/// The filter, and all volumes that are held whole.
fn with_held(catalogue: &Catalogue, filter: &Filter) -> Result<Filter, CatalogueError> {
    let mut wider = filter.clone();
    for volume in catalogue.view().volumes()? {
        let name = volume.as_bytes();
        if !filter.keeps_volume(name) && !catalogue.is_bare(name)? {
            // What is no text no pattern names, and `*` does.
            let pattern = String::from_utf8(name.to_vec());
            wider.volumes.push(pattern.unwrap_or_else(|_| "*".into()));
        }
    }
    Ok(wider)
}

fn mark_of(filter: &Filter) -> Digest {
    let value = (&filter.volumes, filter.contents.as_deref());
    // Encoding these types can't fail.
    Domain::Record.digest(&postcard::to_stdvec(&value).unwrap_or_default())
}

/// The records of volumes that are held and not kept.
fn narrowed(
    catalogue: &Catalogue,
    filter: &Filter,
    sequence: u64,
) -> Result<Vec<LeafRecord>, CatalogueError> {
    let view = catalogue.view();
    let mut narrowed = Vec::new();
    for volume in view.volumes()? {
        let name = volume.as_bytes();
        if !filter.keeps_volume(name) && !catalogue.is_bare(name)? {
            let bare = view.volume_as_bare(&volume)?;
            narrowed.extend(bare.map(|bare| LeafRecord::bare(bare, sequence)));
        }
    }
    Ok(narrowed)
}

/// The record with the contents that are kept; none if it has just these.
fn refiltered(mut record: LeafRecord, filter: &Filter) -> Option<LeafRecord> {
    let held = record.held();
    let mut changed = false;
    for file in &mut record.files {
        let keeps = filter.keeps(&file.entry.path);
        let place = match (keeps, file.content) {
            (true, ContentPlace::NotHeld) => {
                let held = held.get(&file.entry.digest).copied();
                held.unwrap_or(ContentPlace::Lacking)
            }
            (false, _) => ContentPlace::NotHeld,
            (true, place) => place,
        };
        changed |= std::mem::replace(&mut file.content, place) != place;
    }
    if !changed {
        return None;
    }
    let lacking: BTreeSet<_> = record
        .lacking()
        .map(|file| file.entry.path.clone())
        .collect();
    record
        .standins
        .retain(|file| lacking.contains(&file.entry.path));
    Some(record)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_period_begins_with_a_month() {
        let now: Timestamp = "2026-11-24T20:00:00Z".parse().unwrap();
        let since = |days: u64| {
            let configured = config::Filter {
                volumes: None,
                kinds: None,
                since: Some(Duration::from_secs(days * 86_400)),
            };
            let contents = filter_of(Some(&configured), now).contents;
            contents.and_then(|contents| contents.since.clone())
        };
        assert_eq!(since(1).as_deref(), Some("20261101"));
        assert_eq!(since(24).as_deref(), Some("20261001"));
        assert_eq!(since(731).as_deref(), Some("20241101"));
        // Before there was time.
        assert_eq!(since(40_000_000), None);
        assert!(filter_of(None, now).is_whole());
    }
}
