//! What a storage of a million records needs: memory of each node, disk of a
//! packed replica, the time until `serve` answers. One command: `cargo bench
//! --bench size`.
//!
//! `HIKAE_SIZE_RECORDS` (default 1,000,000) is the greater of two storages; the
//! other has half of it, so that the slope is seen. `HIKAE_SIZE_RUNS` (default
//! 5) says how often a start is timed, with the page cache dropped where root may.
//! Memory is the kernel's peak of resident pages (VmHWM) of one process,
//! with the mapped pages of its program.

mod site;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use site::{Peak, Site, drop_caches, number, spread};

/// One work, and its memory in bytes.
type Memory = (&'static str, u64);

struct Size {
    records: u64,
    memory: Vec<Memory>,
    disk: u64,
    index: u64,
    starts: Vec<f64>,
}

fn main() -> Result<()> {
    let records = number("HIKAE_SIZE_RECORDS", 1_000_000)?;
    let runs = number("HIKAE_SIZE_RUNS", 5)?;
    let half = measure(records / 2, 1)?;
    let whole = measure(records, runs)?;
    let more = (whole.records - half.records) as f64 / 1e6;
    println!(
        "\n| memory of | {} records, MB | {} records, MB | MB for a further million |\n|---|---|---|---|",
        half.records, whole.records
    );
    for (one, two) in half.memory.iter().zip(&whole.memory) {
        let (small, large) = (one.1 as f64 / 1e6, two.1 as f64 / 1e6);
        println!(
            "| {} | {small:.0} | {large:.0} | {:.0} |",
            two.0,
            (large - small) / more
        );
    }
    let (median, least, greatest) = spread(whole.starts);
    println!(
        "\nstart of `serve` until it answers: median {median:.2} s, {least:.2}-{greatest:.2}\n\
         disk of a packed replica: {:.0} bytes a record, and {:.0} of the index that can be made anew",
        whole.disk as f64 / whole.records as f64,
        whole.index as f64 / whole.records as f64
    );
    Ok(())
}

fn measure(records: u64, runs: u64) -> Result<Size> {
    let folder = tempfile::Builder::new().prefix("hikae-size-").tempdir()?;
    let site = Site::new(folder.path(), records)?;
    let port = site.homes("site", false)?;
    let (center, backup) = (site.text("site-center"), site.text("site-backup"));
    let mut memory: Vec<Memory> = Vec::new();
    let mut run = |name, arguments: &[&str]| -> Result<Value> {
        let (report, peak) = site.measured(arguments)?;
        memory.push((name, peak));
        Ok(report)
    };
    run("center: first scan", &["scan", "--home", &center])?;
    let serving = site.serve("site", port)?;
    let watched = Peak::of(serving.0.id());
    run("backup: first sync", &["sync", "--home", &backup])?;
    let changes = (records / 100).to_string();
    let storage = site.text("storage");
    site.hikae(&["gen", "day", "--out", &storage, "--changes", &changes])?;
    run("backup: a day of 1 %", &["sync", "--home", &backup])?;
    let serving_peak = watched.end();
    serving.end()?;
    run(
        "center: a walk of all",
        &["scan", "--walk", "--home", &center],
    )?;
    run("backup: verify", &["verify", "--home", &backup])?;
    run("backup: rebuild", &["rebuild", "--home", &backup])?;
    memory.insert(1, ("center: serve, through both", serving_peak));
    let mut starts = Vec::new();
    for _ in 0..runs {
        drop_caches();
        let begun = Instant::now();
        let serving = site.serve("site", port)?;
        site.hikae(&["status", "--home", &center])?;
        starts.push(begun.elapsed().as_secs_f64());
        serving.end()?;
    }
    let store = site.path("site-backup/store");
    let bytes = |path: &std::path::Path| -> Result<u64> {
        let files = walkdir::WalkDir::new(path).into_iter();
        files
            .map(|file| Ok(file?.metadata()?))
            .filter(|found: &Result<fs::Metadata>| {
                found.as_ref().map_or(true, fs::Metadata::is_file)
            })
            .map(|found| Ok(found?.len()))
            .sum()
    };
    let index = bytes(&store.join("catalogue"))?;
    let disk = bytes(&store)?.checked_sub(index).context("no store")?;
    Ok(Size {
        records: site.files,
        memory,
        disk,
        index,
        starts,
    })
}
