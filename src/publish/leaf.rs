//! One leaf on its way to the tree: planned, staged, shown.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, ObjectPath, PathText, split_last};

use super::placing::{Lost, Placement};
use super::staging::{FOLDER, Staged, Staging, set_mtime};
use super::steps::{RecordSteps, steps};
use super::target::{Pin, Wanted, entries, wanted};
use super::{PublishError, PublishReport};
use crate::catalogue::{Catalogue, ContentPlace, FileRecord, LeafRecord};
use crate::disk::{Directory, DiskError, join};
use crate::walk::look_at;

/// Folders that were changed and must be synced.
#[derive(Default)]
pub(super) struct Touched {
    folders: BTreeMap<Vec<u8>, Directory>,
    /// Files that got another time and nothing else.
    pub(super) times: u64,
}

impl Touched {
    fn add(&mut self, folder: &Directory) {
        self.folders
            .entry(folder.path().to_vec())
            .or_insert_with(|| folder.clone());
    }

    /// Syncs every folder.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.folders.values().try_for_each(Directory::sync)
    }
}

/// What is to be done to one leaf.
pub(super) struct LeafPlan {
    /// The directory in the tree: facility, label, and down.
    directory: Vec<u8>,
    steps: Vec<RecordSteps>,
    places: BTreeMap<ObjectPath, ContentPlace>,
    /// The leaf is not in the tree: it is staged as a directory.
    whole: bool,
    /// The leaf has no files any more.
    emptied: bool,
    staged_whole: Option<MadeFolders>,
    staged: BTreeMap<ObjectPath, Staged>,
    /// What could not be read from the store.
    lost: BTreeSet<ObjectPath>,
    report: PublishReport,
}

/// A leaf that is to be brought from one state to another.
pub(super) struct LeafTask<'a> {
    pub key: LeafKey,
    /// The commit that the tree shows.
    pub from: u64,
    /// The commit that it is to show.
    pub to: u64,
    pub pins: &'a [Pin],
    /// What the tree shows is to be taken from the disk.
    pub look: bool,
}

impl LeafPlan {
    /// Compares what the tree shows of a leaf with what it is to show.
    pub(super) fn new(
        catalogue: &Catalogue,
        root: &Directory,
        task: &LeafTask,
    ) -> Result<LeafPlan, PublishError> {
        let key = &task.key;
        if key.volume().starts_with(FOLDER) {
            return Err(PublishError::Reserved(key.text()));
        }
        let newest = catalogue
            .leaf_record(key)?
            .unwrap_or_else(|| LeafRecord::empty(key.clone()));
        let old = catalogue.record_as_of(&newest, task.from)?;
        let Wanted { files, not_held } = wanted(catalogue, &newest, task.to, task.pins)?;
        let mut report = PublishReport {
            not_held,
            ..PublishReport::default()
        };
        let shown: Vec<Entry> = match task.look {
            true => {
                report.leaves_recovered = 1;
                let known = [Some(&newest), old.as_ref()].into_iter().flatten();
                shown_on_disk(root, key, known, &files, &mut report)?
            }
            false => old
                .map(|old| {
                    old.showable()
                        .into_iter()
                        .map(|file| file.entry.clone())
                        .collect()
                })
                .unwrap_or_default(),
        };
        let wanted = entries(&files);
        let places = files.into_iter();
        let places = places.map(|file| (file.entry.path, file.content));
        Ok(LeafPlan {
            directory: key.as_bytes().to_vec(),
            whole: shown.is_empty()
                && report.foreign.is_empty()
                && key.depth() == LEAF_DEPTH_MAX
                && !wanted.is_empty(),
            steps: steps(&shown, &wanted),
            places: places.collect(),
            emptied: wanted.is_empty() && key.depth() == LEAF_DEPTH_MAX,
            staged_whole: None,
            staged: BTreeMap::new(),
            lost: BTreeSet::new(),
            report,
        })
    }

    /// How many files are to be written.
    pub(super) fn placements(&self) -> u64 {
        self.steps
            .iter()
            .map(|steps| steps.placements.len() as u64)
            .sum()
    }

    /// Makes the folders in the staging folder for what is to be placed; gives
    /// the files that are to be written there, of the plan `number`. Where the
    /// tree is `unread`, a leaf that is not there is made in its own place.
    pub(super) fn prepare(
        &mut self,
        number: usize,
        staging: &Staging,
        unread: bool,
    ) -> Result<Vec<Placement>, PublishError> {
        let mut placements = Vec::with_capacity(self.places.len());
        let mut made = match (self.whole, unread) {
            (true, true) => Some(MadeFolders::in_place(staging, &self.directory)?),
            (true, false) => Some(MadeFolders::begin(staging)?),
            (false, _) => None,
        };
        for entry in self.steps.iter().flat_map(|steps| &steps.placements) {
            let place = self.places.get(&entry.path).copied();
            let staged = match &mut made {
                Some(made) => made.staged(&entry.path)?,
                None => {
                    let staged = staging.reserve();
                    self.staged.insert(entry.path.clone(), staged.clone());
                    staged
                }
            };
            self.report.files_written += 1;
            self.report.bytes_written += entry.size;
            placements.push(Placement {
                plan: number,
                entry: entry.clone(),
                place: place.unwrap_or(ContentPlace::Storage),
                staged,
            });
        }
        self.staged_whole = made;
        Ok(placements)
    }

    /// A file could not be read from the store, and was left away.
    pub(super) fn lose(&mut self, lost: Lost) {
        let Lost { entry, error, .. } = lost;
        self.report.files_written -= 1;
        self.report.bytes_written -= entry.size;
        self.report.damaged.push(format!(
            "{}/{}: {error}",
            PathText::new(&self.directory),
            entry.path.text()
        ));
        self.staged.remove(&entry.path);
        self.lost.insert(entry.path);
    }

    /// Syncs the folders that were made in the staging folder.
    pub(super) fn sync(&self, staging: &Staging) -> Result<(), DiskError> {
        match &self.staged_whole {
            Some(made) => made.sync(staging),
            None => Ok(()),
        }
    }

    /// Gives everything its name.
    pub(super) fn show(
        &mut self,
        root: &Directory,
        staging: &Staging,
        touched: &mut Touched,
    ) -> Result<PublishReport, PublishError> {
        if let Some(MadeFolders { leaf, .. }) = self.staged_whole.take()
            && !leaf.is_in_place()
            && !self.show_whole(root, staging, &leaf, touched)?
        {
            self.show_files_of(root, staging, &leaf, touched)?;
            return Ok(std::mem::take(&mut self.report));
        }
        if !self.whole {
            for steps in std::mem::take(&mut self.steps) {
                self.show_record(root, staging, &steps, touched)?;
            }
        }
        if self.emptied {
            self.remove_leaf(root, touched)?;
        }
        Ok(std::mem::take(&mut self.report))
    }

    /// Removes the folder of a leaf that has no files, if it is empty.
    fn remove_leaf(&self, root: &Directory, touched: &mut Touched) -> Result<(), PublishError> {
        let (above, name) = split_last(&self.directory);
        let parent = match root.open(above) {
            Ok(parent) => parent,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if parent.remove_directory(name)? {
            touched.folders.remove(&self.directory);
            touched.add(&parent);
        }
        Ok(())
    }

    /// Renames a staged leaf into place; says no if there is something.
    fn show_whole(
        &self,
        root: &Directory,
        staging: &Staging,
        whole: &Staged,
        touched: &mut Touched,
    ) -> Result<bool, PublishError> {
        let (above, name) = split_last(&self.directory);
        let parent = open_touched(root, above, touched)?;
        match staging.folder(whole).rename(&whole.name, &parent, name) {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(
                    error.source,
                    rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the files of a staged leaf into a directory that is there.
    fn show_files_of(
        &mut self,
        root: &Directory,
        staging: &Staging,
        whole: &Staged,
        touched: &mut Touched,
    ) -> Result<(), PublishError> {
        let from = staging.folder(whole).open(&whole.name)?;
        let placements = self.steps.iter().flat_map(|steps| &steps.placements);
        for entry in placements.filter(|entry| !self.lost.contains(&entry.path)) {
            let (above, name) = entry.path.split_name();
            let target = self.open_folder(root, above, touched)?;
            from.open(above)?.rename(name, &target, name)?;
        }
        Ok(())
    }

    fn open_folder(
        &self,
        root: &Directory,
        above: &[u8],
        touched: &mut Touched,
    ) -> Result<Directory, DiskError> {
        let path = match above.is_empty() {
            true => self.directory.clone(),
            false => join(&self.directory, above),
        };
        open_touched(root, &path, touched)
    }

    fn show_record(
        &mut self,
        root: &Directory,
        staging: &Staging,
        steps: &RecordSteps,
        touched: &mut Touched,
    ) -> Result<(), PublishError> {
        let mut vacated = BTreeSet::new();
        for (from, to) in &steps.renames {
            self.rename(root, from, to, touched, &mut vacated)?;
        }
        for path in &steps.removals {
            let (above, name) = path.split_name();
            let folder = self.open_folder(root, above, touched)?;
            self.report.files_removed += u64::from(folder.remove_file(name)?);
            vacated.insert(above.to_vec());
        }
        self.remove_empty(root, &vacated, touched)?;
        for (from, to) in &steps.revivals {
            self.rename(root, from, to, touched, &mut vacated)?;
        }
        for entry in &steps.placements {
            let (above, name) = entry.path.split_name();
            let target = self.open_folder(root, above, touched)?;
            if let Some(staged) = self.staged.get(&entry.path) {
                staging.folder(staged).rename(&staged.name, &target, name)?;
            }
        }
        for entry in &steps.touches {
            let (above, name) = entry.path.split_name();
            let folder = self.open_folder(root, above, touched)?;
            touched.times += u64::from(touch(&folder, name, entry)?);
        }
        self.remove_empty(root, &vacated, touched)
    }

    fn rename(
        &mut self,
        root: &Directory,
        from: &ObjectPath,
        to: &Entry,
        touched: &mut Touched,
        vacated: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), PublishError> {
        let (from_above, from_name) = from.split_name();
        let (to_above, to_name) = to.path.split_name();
        let source = self.open_folder(root, from_above, touched)?;
        let target = self.open_folder(root, to_above, touched)?;
        source.rename(from_name, &target, to_name)?;
        touched.times += u64::from(touch(&target, to_name, to)?);
        self.report.files_renamed += 1;
        vacated.insert(from_above.to_vec());
        Ok(())
    }

    /// Removes folders that became empty, up to the leaf's own.
    fn remove_empty(
        &self,
        root: &Directory,
        vacated: &BTreeSet<Vec<u8>>,
        touched: &mut Touched,
    ) -> Result<(), PublishError> {
        for folder in vacated {
            let mut path = folder.as_slice();
            while !path.is_empty() {
                let (above, name) = split_last(path);
                let parent = match root.open(&join(&self.directory, above)) {
                    Ok(parent) => parent,
                    Err(error) if error.is_absent() => break,
                    Err(error) => return Err(error.into()),
                };
                if !parent.remove_directory(name)? {
                    break;
                }
                touched.folders.remove(&join(&self.directory, path));
                touched.add(&parent);
                path = above;
            }
        }
        Ok(())
    }
}

/// The folders of a leaf that is staged whole. They are ours alone and new, so
/// each is made once, without a look at what may be there.
struct MadeFolders {
    leaf: Staged,
    /// Folders of the leaf.
    made: BTreeSet<Vec<u8>>,
    lane: Directory,
}

impl MadeFolders {
    /// The leaf's own folder.
    fn begin(staging: &Staging) -> Result<MadeFolders, DiskError> {
        let leaf = staging.reserve();
        let lane = staging.folder(&leaf).clone();
        lane.create_directory(&leaf.name)?;
        Ok(MadeFolders {
            leaf,
            made: BTreeSet::new(),
            lane,
        })
    }

    /// The leaf's own folder where it is to be in the end, and those above.
    fn in_place(staging: &Staging, directory: &[u8]) -> Result<MadeFolders, DiskError> {
        let leaf = Staged::in_place(directory);
        let lane = staging.folder(&leaf).clone();
        let (above, name) = split_last(directory);
        lane.open_or_create(above)?.create_directory(name)?;
        Ok(MadeFolders {
            leaf,
            made: BTreeSet::new(),
            lane,
        })
    }

    /// Makes the folders of a file; gives its own place.
    fn staged(&mut self, path: &ObjectPath) -> Result<Staged, DiskError> {
        for (at, _) in slashes(path.as_bytes()) {
            let above = &path.as_bytes()[..at];
            if !self.made.contains(above) {
                self.lane.create_directory(&join(&self.leaf.name, above))?;
                self.made.insert(above.to_vec());
            }
        }
        Ok(self.leaf.below(path.as_bytes()))
    }

    /// Syncs the leaf's folder and all in it.
    fn sync(&self, staging: &Staging) -> Result<(), DiskError> {
        let leaf = staging.folder(&self.leaf).open(&self.leaf.name)?;
        leaf.sync()?;
        let mut folders = self.made.iter();
        folders.try_for_each(|path| leaf.open(path)?.sync())
    }
}

fn slashes(path: &[u8]) -> impl Iterator<Item = (usize, &u8)> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/')
}

fn open_touched(
    root: &Directory,
    path: &[u8],
    touched: &mut Touched,
) -> Result<Directory, DiskError> {
    if let Some(folder) = touched.folders.get(path) {
        return Ok(folder.clone());
    }
    let folder = match root.open(path) {
        Ok(folder) => folder,
        Err(error) if error.source == rustix::io::Errno::NOENT => {
            let (above, _) = split_last(path);
            if !path.is_empty() {
                open_touched(root, above, touched)?;
            }
            root.open_or_create(path)?
        }
        Err(error) => return Err(error),
    };
    touched.add(&folder);
    Ok(folder)
}

/// Sets the time of a file; says whether it was another.
fn touch(folder: &Directory, name: &[u8], entry: &Entry) -> Result<bool, PublishError> {
    let stat = folder.stat_file(name)?;
    if stat.is_some_and(|stat| stat.mtime_ns == Some(entry.mtime_ns)) {
        return Ok(false);
    }
    let file = folder.open_file(name)?;
    let wrong = |errno| PublishError::Disk(folder.error("set the time of", name, errno));
    set_mtime(&file, entry.mtime_ns).map_err(wrong)?;
    Ok(true)
}

/// After an unclean stop: what really lies in the leaf's directory. Files
/// that neither the old nor the new state knows are not ours.
fn shown_on_disk<'a>(
    root: &Directory,
    key: &LeafKey,
    records: impl Iterator<Item = &'a LeafRecord>,
    wanted: &[FileRecord],
    report: &mut PublishReport,
) -> Result<Vec<Entry>, PublishError> {
    let directory = match root.open_listed(key.as_bytes()) {
        Ok(directory) => directory,
        Err(error) if error.is_absent() => return Ok(vec![]),
        Err(error) => return Err(error.into()),
    };
    let look = look_at(
        &LeafRecord::empty(key.clone()),
        b"",
        Some(&directory),
        true,
        &mut Vec::new(),
    );
    let mut known: BTreeSet<&ObjectPath> = wanted.iter().map(|file| &file.entry.path).collect();
    for record in records {
        known.extend(record.files.iter().map(|file| &file.entry.path));
        known.extend(record.tombstones.iter().map(|tombstone| &tombstone.path));
    }
    let (ours, foreign): (Vec<Entry>, Vec<Entry>) = look
        .added
        .into_iter()
        .map(|file| file.entry)
        .partition(|entry| known.contains(&entry.path));
    let names = foreign
        .iter()
        .map(|entry| format!("{}/{}", key.text(), entry.path.text()));
    report.foreign.extend(names);
    report
        .foreign
        .extend(look.left_out.iter().map(ToString::to_string));
    Ok(ours)
}
