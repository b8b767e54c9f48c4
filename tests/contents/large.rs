//! Large contents: chunks that are there do not travel again, and do not rest
//! again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Site, noise, record};

pub(crate) const VOLUME: &str = "0410000001/STD01";
const MIB: usize = 1024 * 1024;

/// A number from the environment, for long runs.
pub(crate) fn size(name: &str, short: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(short, |text| text.parse().unwrap())
}

pub(crate) fn file_of(patient: &str) -> String {
    format!("{VOLUME}/{}", record(patient, 1))
}

fn center() -> Site {
    let site = Site::empty();
    site.configure(false);
    site
}

/// Bytes of all segments of the backup.
pub(crate) fn stored(site: &Site) -> u64 {
    let files = fs::read_dir(site.path("backup/store/segments")).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

fn received(report: &Value) -> u64 {
    report["link"]["bytes_received"].as_u64().unwrap()
}

#[track_caller]
fn walked_and_synced(site: &Site) -> Value {
    site.center(&["scan", "--walk"]).ok();
    let report = site.sync().ok();
    site.assert_equal();
    report
}

/// A document of which one page changed, and its table at the end: what
/// travels and what is stored is about as much as changed. HIKAE_DOCUMENT_MB=300
/// is the long run.
#[test]
fn a_document_with_a_changed_page() {
    let site = center();
    let mut document = noise(size("HIKAE_DOCUMENT_MB", 16) * MIB, 1);
    let path = file_of("1000001");
    site.put(&path, &document);
    let first = walked_and_synced(&site);
    assert!(received(&first) > document.len() as u64);
    let before = stored(&site);
    let page = document.len() / 3;
    document.splice(page..page + 20_000, noise(27_000, 2));
    let end = document.len() - 200_000;
    document.splice(end.., noise(200_100, 3));
    site.put(&path, &document);
    let second = walked_and_synced(&site);
    assert!(received(&second) < 2 * MIB as u64, "{second:#}");
    let more = stored(&site) - before;
    assert!(more < 2 * MIB as u64, "{more} bytes more are stored");
    // Another name, the same bytes but for one: again a chunk or two.
    document[5 * MIB] ^= 1;
    site.put(&file_of("1000001").replace("_1", "_2"), &document);
    fs::remove_file(site.volumes().join(&path)).unwrap();
    let third = walked_and_synced(&site);
    assert!(received(&third) < MIB as u64, "{third:#}");
    site.backup(&["verify"]).ok();
    // The states before are forgotten, and what only they had is freed.
    std::thread::sleep(Duration::from_millis(1100));
    site.backup(&["prune"]).ok();
    site.backup(&["verify"]).ok();
    site.backup(&["rebuild"]).ok();
    site.backup(&["verify"]).ok();
}

/// Sizes around every bound, and many large files in one folder.
#[test]
fn sizes_around_the_bounds_and_a_folder_of_images() {
    let site = center();
    let bounds = [
        0,
        1,
        32 << 10,
        (1 << 20) - 1,
        1 << 20,
        (1 << 20) + 1,
        3 << 19,
    ];
    for (order, bytes) in (1..).zip(bounds) {
        let path = format!("{VOLUME}/{}", record("1000001", order));
        site.put(&path, &noise(bytes, order));
        site.put(&path.replace("OMP-01", "OMG-01"), &vec![b'x'; bytes]);
    }
    let images = size("HIKAE_IMAGES", 12);
    for image in 0..images {
        let path = format!("{VOLUME}/100/000/1000002/20250401/DICOM/series/{image:04}");
        site.put(&path, &noise(1_100_000, 1000 + image as u64));
    }
    let report = walked_and_synced(&site);
    let bytes = report["bytes"].as_u64().unwrap();
    assert!(received(&report) < bytes + bytes / 20, "{report:#}");
    site.backup(&["verify"]).ok();
    let again = site.sync().ok();
    assert_eq!(again["pull"]["requests"], 0, "{again:#}");
}

/// Holes are read as zeros; a chunk of zeros travels once, rests once, and is
/// a hole again in the tree. HIKAE_SPARSE_MB=2048 is the long run.
#[test]
fn a_sparse_file() {
    use std::os::unix::fs::MetadataExt;
    let site = center();
    let bytes = (size("HIKAE_SPARSE_MB", 192) * MIB) as u64;
    let path = file_of("1000001");
    site.put(&path, b"");
    let file = File::options()
        .write(true)
        .open(site.volumes().join(&path))
        .unwrap();
    file.set_len(bytes).unwrap();
    for (at, seed) in [(0, 1), (bytes / 2 - 77, 2), (bytes - 3000, 3)] {
        file.write_all_at(&noise(3000, seed), at).unwrap();
    }
    drop(file);
    site.center(&["scan", "--walk"]).ok();
    let report = site.sync().ok();
    assert!(received(&report) < 2 * MIB as u64, "{report:#}");
    assert!(
        stored(&site) < 4 * MIB as u64,
        "{} bytes are stored",
        stored(&site)
    );
    let shown = site.tree().join(&path);
    let found = fs::metadata(&shown).unwrap();
    assert_eq!(found.len(), bytes);
    assert!(
        found.blocks() * 512 < 16 * MIB as u64,
        "{} blocks",
        found.blocks()
    );
    assert_eq!(digest_of(&shown), digest_of(&site.volumes().join(&path)));
}

fn digest_of(path: &Path) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).unwrap()).unwrap();
    hasher.finalize()
}

/// Somebody writes to a large file all the time: what comes is never mixed of
/// two states, nothing else is kept back, and it converges.
#[test]
fn a_large_file_that_changes_while_it_is_read() {
    let site = center();
    let path = file_of("1000001");
    site.put(&path, &noise(6 * MIB, 1));
    site.put(&file_of("1000002"), b"another patient");
    site.center(&["scan", "--walk"]).ok();
    let center = site.serve();
    let file = File::options()
        .write(true)
        .open(site.volumes().join(&path))
        .unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seed = 10;
            while !stop.load(Ordering::Relaxed) {
                file.write_all_at(&noise(5000, seed), (seed * 700_001) % (5 * MIB as u64))
                    .unwrap();
                seed += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for _ in 0..3 {
            let ran = site.backup(&["sync"]);
            assert!(matches!(ran.code, Some(0 | 1)), "{}", ran.stderr);
            let other = fs::read(site.tree().join(file_of("1000002"))).unwrap();
            assert_eq!(other, b"another patient");
            let verified = site.backup(&["verify"]);
            for difference in verified.json["differences"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let what = difference["what"].as_str().unwrap();
                assert!(what.contains("could not hand out"), "{}", verified.json);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    std::thread::sleep(Duration::from_millis(2200));
    // Nobody tells without an INDEX DB.
    center.end();
    site.center(&["scan", "--walk"]).ok();
    site.sync().ok();
    site.assert_equal();
    site.backup(&["verify"]).ok();
}
