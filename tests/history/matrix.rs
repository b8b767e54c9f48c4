//! The damage matrix: every action at every place at every moment. What was
//! harmed is named or made anew, `verify --repair` makes it whole, and a panic is
//! never the answer. What only an older snapshot had in a harmed segment nobody
//! has any more; it stays named, and all that is current comes again. (Of
//! segments `damaged.rs` and `rotten.rs` flip more bits.)

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Ran, Seen, Site, copy, look};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Flip,
    Cut,
    Empty,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    StoreId,
    Checkpoint,
    Index,
    Clean,
    Published,
    Guard,
    GuardCopy,
    Scrub,
    TreeFile,
    FirstSegment,
    LastSegment,
}

impl Place {
    /// Whether it has what nothing else is made from.
    fn is_segment(self) -> bool {
        matches!(self, Place::FirstSegment | Place::LastSegment)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// After a clean stop.
    Stopped,
    /// After a kill: nothing says that the index is believed.
    Killed,
}

const ACTIONS: [Action; 4] = [Action::Flip, Action::Cut, Action::Empty, Action::Delete];
const PLACES: [Place; 11] = [
    Place::StoreId,
    Place::Checkpoint,
    Place::Index,
    Place::Clean,
    Place::Published,
    Place::Guard,
    Place::GuardCopy,
    Place::Scrub,
    Place::TreeFile,
    Place::FirstSegment,
    Place::LastSegment,
];
const MOMENTS: [Moment; 2] = [Moment::Stopped, Moment::Killed];

/// A backup with history, two segments and a checkpoint, and how it was kept.
struct Lived {
    site: Site,
    good: BTreeMap<Vec<u8>, Seen>,
}

impl Lived {
    fn new() -> Lived {
        let site = Site::generated_in_memory(1, 8, 80);
        let center = site.serve();
        for day in 0..4_u8 {
            for at in 0..40_u8 {
                let mut content = vec![0; 900];
                blake3::Hasher::new()
                    .update(&[day, at])
                    .finalize_xof()
                    .fill(&mut content);
                site.put(&format!("0410000001/STD01/noise{at}"), &content);
            }
            site.center(&["scan", "--walk"]).ok();
            site.backup(&["sync"]).ok();
        }
        std::thread::sleep(std::time::Duration::from_millis(1100));
        site.day(20);
        site.center(&["scan"]).ok();
        site.backup(&["sync"]).ok();
        let pruned = site.backup(&["prune"]).ok();
        assert!(pruned["segments_compacted"].as_u64() >= Some(1), "{pruned}");
        site.day(20);
        site.center(&["scan"]).ok();
        site.backup(&["sync"]).ok();
        center.end();
        let store = site.path("backup/store");
        for name in ["checkpoint", "clean", "guard", "guard.copy"] {
            assert!(store.join(name).exists(), "no {name}");
        }
        copy(&store, &site.path("kept-store"));
        copy(&site.tree(), &site.path("kept-tree"));
        let good = look(&site.tree());
        Lived { site, good }
    }

    /// As it was; the tree's root stays the same folder.
    fn again(&self) {
        let (store, tree) = (self.site.path("backup/store"), self.site.tree());
        fs::remove_dir_all(&store).unwrap();
        copy(&self.site.path("kept-store"), &store);
        for item in fs::read_dir(&tree).unwrap() {
            let path = item.unwrap().path();
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        copy(&self.site.path("kept-tree"), &tree);
    }

    fn file(&self, place: Place) -> PathBuf {
        let store = self.site.path("backup/store");
        match place {
            Place::StoreId => store.join("segments/store.id"),
            Place::Checkpoint => store.join("checkpoint"),
            Place::Index => largest(&store.join("catalogue")),
            Place::Clean => store.join("clean"),
            Place::Published => store.join("published"),
            Place::Guard => store.join("guard"),
            Place::GuardCopy => store.join("guard.copy"),
            Place::Scrub => store.join("scrub"),
            Place::TreeFile => largest(&self.site.tree()),
            Place::FirstSegment => segments(&store).remove(0),
            Place::LastSegment => segments(&store).pop().unwrap(),
        }
    }

    fn harm(&self, (action, place, moment): (Action, Place, Moment)) -> PathBuf {
        if moment == Moment::Killed {
            fs::remove_file(self.site.path("backup/store/clean")).unwrap();
        }
        let file = self.file(place);
        let Ok(mut bytes) = fs::read(&file) else {
            return file;
        };
        match action {
            Action::Flip => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                fs::write(&file, bytes).unwrap();
            }
            Action::Cut => fs::write(&file, &bytes[..bytes.len() * 2 / 3]).unwrap(),
            Action::Empty => fs::write(&file, b"").unwrap(),
            Action::Delete => fs::remove_file(&file).unwrap(),
        }
        file
    }
}

fn largest(folder: &Path) -> PathBuf {
    let files = walkdir::WalkDir::new(folder).into_iter();
    let files = files.filter_map(Result::ok);
    let largest = files
        .filter(|file| file.file_type().is_file())
        .max_by_key(|file| (file.metadata().unwrap().len(), file.path().to_path_buf()));
    largest.unwrap().into_path()
}

fn segments(store: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(store.join("segments")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|name| name == "seg"))
        .collect();
    files.sort();
    files
}

/// How a combination was met.
#[derive(Default)]
struct Met {
    named: u64,
    past_lost: u64,
    by_hand: u64,
}

impl Lived {
    /// Damages, looks, repairs; says what was not as it should be.
    fn meet(&self, case: (Action, Place, Moment), met: &mut Met) -> Result<(), String> {
        let (_, place, _) = case;
        let site = &self.site;
        self.again();
        let file = self.harm(case);
        let name = file.file_name().unwrap().to_str().unwrap();
        let found = ran(site.backup(&["verify"]))?;
        let told = format!("{}{}", found.json, found.stderr);
        if place.is_segment() {
            // Where the last one ended only others know.
            let lost = told.contains("the end of the segments is lost");
            if found.code != Some(3) || !(told.contains(name) || lost) {
                return Err(format!("not named: {told}"));
            }
            met.named += 1;
        }
        if place == Place::TreeFile {
            if found.code == Some(0) || !told.contains(name) {
                return Err(format!("not named: {told}"));
            }
            met.named += 1;
        }
        if found.code == Some(1) && !place.is_segment() {
            // What only a person may decide; the message says what to do.
            if !told.contains(name) || !told.contains("remove") {
                return Err(format!("no advice: {told}"));
            }
            fs::remove_file(&file).unwrap();
            met.by_hand += 1;
        }
        ran(site.backup(&["sync"]))?;
        let repaired = ran(site.backup(&["verify", "--repair"]))?;
        // Of a segment something older may be gone for good; it is named.
        let fine = |ran: &Ran| match (ran.code, place.is_segment()) {
            (Some(0), _) => true,
            (Some(3), true) => ran.json.to_string().contains(".seg"),
            _ => false,
        };
        if !fine(&repaired) {
            return Err(format!("not repaired: {}", repaired.json));
        }
        met.past_lost += u64::from(repaired.code == Some(3));
        if look(&site.tree()) != self.good {
            return Err("the tree is another one".into());
        }
        for arguments in ["verify", "rebuild", "verify"] {
            let after = ran(site.backup(&[arguments]))?;
            if !fine(&after) {
                return Err(format!(
                    "{arguments} afterwards: {:?} {}",
                    after.code, after.json
                ));
            }
        }
        let to = site.text("restored");
        let newest = ran(site.backup(&["restore", "--at", "2099-01-01T00:00:00Z", "--to", &to]))?;
        if newest.code != Some(0) || look(to.as_ref()) != self.good {
            return Err(format!("the newest does not restore: {}", newest.json));
        }
        fs::remove_dir_all(to).unwrap();
        Ok(())
    }
}

/// Panics are never an answer.
fn ran(ran: Ran) -> Result<Ran, String> {
    match ran.stderr.contains("panicked") || ran.json.to_string().contains("panicked") {
        true => Err(format!("{}\n{}", ran.json, ran.stderr)),
        false => Ok(ran),
    }
}

/// [S10-11] every combination is named where it took something, and ends whole.
#[test]
fn every_damage_is_named_and_repaired() {
    let lived = Lived::new();
    let center = lived.site.serve();
    let (mut cases, mut met, mut failed) = (0, Met::default(), Vec::new());
    for action in ACTIONS {
        for place in PLACES {
            for moment in MOMENTS {
                cases += 1;
                if let Err(why) = lived.meet((action, place, moment), &mut met) {
                    let why: String = why.chars().take(900).collect();
                    failed.push(format!("{action:?} {place:?} {moment:?}: {why}"));
                }
            }
        }
    }
    center.end();
    println!(
        "{cases} combinations, {} named by file, {} decided by hand, {} with a loss of the past",
        met.named, met.by_hand, met.past_lost
    );
    assert!(failed.is_empty(), "{}: {}", failed.len(), failed.join("\n"));
}
