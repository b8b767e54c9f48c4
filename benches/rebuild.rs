//! A backup's index, made anew from all segments and from the checkpoint,
//! beside reading the same segments. One command: `cargo bench --bench
//! rebuild`.
//!
//! The store is that of a backup that pulled a generated center.
//! `HIKAE_REBUILD_RECORDS` (default 1,000,000) and `HIKAE_REBUILD_RUNS`
//! (default 5) set the size; with `TMPDIR=/dev/shm` the storage of a million
//! records is made in memory. Everything is read warm.

mod site;

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use hikae::catalogue::Catalogue;
use hikae::progress::Silent;
use site::{Site, number, order, spread};

const RIVALS: [&str; 3] = [
    "read the segments, hash them",
    "rebuild from all segments",
    "rebuild from the checkpoint",
];

fn main() -> Result<()> {
    let records = number("HIKAE_REBUILD_RECORDS", 1_000_000)?;
    let runs = number("HIKAE_REBUILD_RUNS", 5)?;
    let folder = tempfile::Builder::new()
        .prefix("hikae-rebuild-")
        .tempdir()?;
    let site = Site::new(folder.path(), records)?;
    let port = site.homes("site", false)?;
    site.hikae(&["scan", "--home", &site.text("site-center")])?;
    let center = site.serve("site", port)?;
    site.sync("site")?;
    drop(center);
    let store = site.path("site-backup/store");
    let mut seconds = [const { Vec::new() }; RIVALS.len()];
    // A store below one segment has no checkpoint yet.
    let checkpoint = fs::read(store.join("checkpoint")).ok();
    for run in 0..runs {
        for rival in order(run, RIVALS.len()) {
            seconds[rival].push(match (rival, &checkpoint) {
                (0, _) => read(&store)?,
                (1, _) => rebuild(&store, None)?,
                (_, Some(checkpoint)) => rebuild(&store, Some(checkpoint))?,
                (_, None) => continue,
            });
        }
    }
    let bytes = segment_bytes(&store)?;
    println!(
        "\n{} records, {:.0} MB of segments, {} runs each\n\n| work | median s | min-max s | s per \
         million | of the first |\n|---|---|---|---|---|",
        site.files,
        bytes as f64 / 1e6,
        runs
    );
    let first = spread(seconds[0].clone()).0;
    for (name, seconds) in RIVALS.iter().zip(seconds) {
        let (median, least, greatest) = spread(seconds);
        println!(
            "| {name} | {median:.3} | {least:.3}-{greatest:.3} | {:.2} | {:.1} x |",
            median * 1e6 / site.files as f64,
            median / first
        );
    }
    Ok(())
}

fn segments(store: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for file in fs::read_dir(store.join("segments"))? {
        files.push(file?.path());
    }
    files.sort();
    Ok(files)
}

fn segment_bytes(store: &Path) -> Result<u64> {
    let files = segments(store)?.into_iter();
    let bytes = files.map(|file| Ok(file.metadata()?.len()));
    bytes.sum()
}

fn read(store: &Path) -> Result<f64> {
    let begun = Instant::now();
    for file in segments(store)? {
        blake3::hash(&fs::read(file)?);
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn rebuild(store: &Path, checkpoint: Option<&Vec<u8>>) -> Result<f64> {
    let path = store.join("checkpoint");
    for gone in [&path, &store.join("clean")] {
        if gone.exists() {
            fs::remove_file(gone)?;
        }
    }
    fs::remove_dir_all(store.join("catalogue"))?;
    if let Some(checkpoint) = checkpoint {
        fs::write(&path, checkpoint)?;
    }
    let begun = Instant::now();
    let catalogue = Catalogue::open(store, None, &Silent)?;
    let seconds = begun.elapsed().as_secs_f64();
    let report = catalogue.rebuilt().cloned();
    catalogue.close()?;
    ensure!(
        report.is_some_and(
            |report| report.root_matches && report.from_checkpoint == checkpoint.is_some()
        ),
        "the index was not made anew as it should"
    );
    Ok(seconds)
}
