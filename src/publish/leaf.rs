//! One leaf on its way to the tree: planned, staged, shown.

use std::collections::{BTreeMap, BTreeSet};

use hikae_protocol::entry::Entry;
use hikae_protocol::objectpath::{LEAF_DEPTH_MAX, LeafKey, ObjectPath, PathText, split_last};
use rustix::io::Errno;

use super::placing::{Lost, Placement};
use super::staging::{FOLDER, Staged, Staging, set_mtime};
use super::steps::{RecordSteps, fresh_folders, steps, top};
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
    /// Folders below the leaf's directory that the tree lacks: they are staged
    /// as a whole. Empty is the directory itself.
    fresh: BTreeSet<Vec<u8>>,
    /// The leaf has no files any more.
    emptied: bool,
    staged_folders: BTreeMap<Vec<u8>, MadeFolder>,
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
        let steps = steps(&shown, &wanted);
        let is_new = shown.is_empty()
            && report.foreign.is_empty()
            && key.depth() == LEAF_DEPTH_MAX
            && !wanted.is_empty();
        Ok(LeafPlan {
            directory: key.as_bytes().to_vec(),
            fresh: match is_new {
                true => BTreeSet::from([vec![]]),
                false => fresh_folders(&shown, &steps),
            },
            steps,
            places: places.collect(),
            emptied: wanted.is_empty() && key.depth() == LEAF_DEPTH_MAX,
            staged_folders: BTreeMap::new(),
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
        for folder in &self.fresh {
            let made = match unread && folder.is_empty() {
                true => MadeFolder::in_place(staging, &self.directory)?,
                false => MadeFolder::begin(staging)?,
            };
            self.staged_folders.insert(folder.clone(), made);
        }
        let is_new = self.fresh.contains(&b""[..]);
        for steps in &mut self.steps {
            for entry in std::mem::take(&mut steps.placements) {
                let folder = match is_new {
                    true => b"",
                    false => top(&entry.path).unwrap_or_default(),
                };
                self.report.files_written += 1;
                self.report.bytes_written += entry.size;
                let staged = match self.staged_folders.get_mut(folder) {
                    Some(made) => made.staged(folder, &entry.path)?,
                    None => {
                        let staged = staging.reserve();
                        self.staged.insert(entry.path.clone(), staged.clone());
                        steps.placements.push(entry.clone());
                        staged
                    }
                };
                let place = self.places.get(&entry.path).copied();
                placements.push(Placement {
                    plan: number,
                    entry,
                    place: place.unwrap_or(ContentPlace::Storage),
                    staged,
                });
            }
        }
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
        let mut folders = self.staged_folders.values();
        folders.try_for_each(|made| made.sync(staging))
    }

    /// Gives everything its name.
    pub(super) fn show(
        &mut self,
        root: &Directory,
        staging: &Staging,
        touched: &mut Touched,
    ) -> Result<PublishReport, PublishError> {
        for (folder, made) in std::mem::take(&mut self.staged_folders) {
            let path = match folder.is_empty() {
                true => self.directory.clone(),
                false => join(&self.directory, &folder),
            };
            let in_place = made.top.is_in_place();
            if !in_place && !show_whole(root, staging, &made.top, &path, touched)? {
                self.show_files_of(root, staging, (&folder, &made), touched)?;
            }
        }
        for steps in std::mem::take(&mut self.steps) {
            self.show_record(root, staging, &steps, touched)?;
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

    /// Moves the files of a staged folder into one that is there.
    fn show_files_of(
        &self,
        root: &Directory,
        staging: &Staging,
        (folder, made): (&[u8], &MadeFolder),
        touched: &mut Touched,
    ) -> Result<(), PublishError> {
        let lane = staging.folder(&made.top);
        for path in made.files.iter().filter(|path| !self.lost.contains(*path)) {
            let (above, name) = path.split_name();
            let target = self.open_folder(root, above, touched)?;
            let staged = made.top.below(below(folder, path));
            let (staged_above, staged_name) = split_last(&staged.name);
            lane.open(staged_above)?
                .rename(staged_name, &target, name)?;
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
        if from_above != to_above {
            vacated.insert(from_above.to_vec());
        }
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

/// A path below a folder of its leaf.
fn below<'a>(folder: &[u8], path: &'a ObjectPath) -> &'a [u8] {
    let path = path.as_bytes();
    let path = path.strip_prefix(folder).unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

/// A folder that is staged whole. It is ours alone and new, so each folder in
/// it is made once, without a look at what may be there.
struct MadeFolder {
    top: Staged,
    /// Folders in it.
    made: BTreeSet<Vec<u8>>,
    /// The files that are to lie in it.
    files: Vec<ObjectPath>,
    lane: Directory,
}

impl MadeFolder {
    /// A folder in the staging folder.
    fn begin(staging: &Staging) -> Result<MadeFolder, DiskError> {
        let top = staging.reserve();
        let lane = staging.folder(&top).clone();
        lane.create_directory(&top.name)?;
        Ok(MadeFolder {
            top,
            made: BTreeSet::new(),
            files: vec![],
            lane,
        })
    }

    /// A leaf's own folder where it is to be in the end, and those above.
    fn in_place(staging: &Staging, directory: &[u8]) -> Result<MadeFolder, DiskError> {
        let top = Staged::in_place(directory);
        let lane = staging.folder(&top).clone();
        let (above, name) = split_last(directory);
        lane.open_or_create(above)?.create_directory(name)?;
        Ok(MadeFolder {
            top,
            made: BTreeSet::new(),
            files: vec![],
            lane,
        })
    }

    /// Makes the folders of a file, of which this is `folder`; gives its own
    /// place.
    fn staged(&mut self, folder: &[u8], path: &ObjectPath) -> Result<Staged, DiskError> {
        let below = below(folder, path);
        for (at, _) in slashes(below) {
            let above = &below[..at];
            if !self.made.contains(above) {
                self.lane.create_directory(&join(&self.top.name, above))?;
                self.made.insert(above.to_vec());
            }
        }
        self.files.push(path.clone());
        Ok(self.top.below(below))
    }

    /// Syncs the folder and all in it.
    fn sync(&self, staging: &Staging) -> Result<(), DiskError> {
        let top = staging.folder(&self.top).open(&self.top.name)?;
        top.sync()?;
        let mut folders = self.made.iter();
        folders.try_for_each(|path| top.open(path)?.sync())
    }
}

/// Renames a staged folder to `path`; says no if there is something.
fn show_whole(
    root: &Directory,
    staging: &Staging,
    whole: &Staged,
    path: &[u8],
    touched: &mut Touched,
) -> Result<bool, PublishError> {
    let (above, name) = split_last(path);
    let parent = open_touched(root, above, touched)?;
    match staging.folder(whole).rename(&whole.name, &parent, name) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.source, Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
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
    let (above, name) = split_last(path);
    let folder = match root.open(path) {
        Err(error) if error.source == Errno::NOENT && !path.is_empty() => {
            open_touched(root, above, touched)?.make(name)?
        }
        opened => opened?,
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
