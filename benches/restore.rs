//! A restore of everything, beside the rate at which the disk takes such files
//! in parallel. One command: `cargo bench --bench restore`.
//!
//! The rival writes the same files (names, contents, times) from memory with
//! as many threads as there are processors, each patient directory by one, and
//! syncs the file system at its end; it reads nothing and checks nothing.
//! `HIKAE_RESTORE_RECORDS` (default 50,000) and `HIKAE_RESTORE_RUNS` (default
//! 5) set the size. The store is read warm.

mod site;

use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use site::{Site, number, order, spread};

const RIVALS: [&str; 2] = ["plain files, in parallel", "hikae restore"];

/// A patient directory: its path, and the files below.
type Patient = (PathBuf, Vec<(PathBuf, Vec<u8>, SystemTime)>);

fn main() -> Result<()> {
    let records = number("HIKAE_RESTORE_RECORDS", 50_000)?;
    let runs = number("HIKAE_RESTORE_RUNS", 5)?;
    let folder = tempfile::Builder::new()
        .prefix("hikae-restore-")
        .tempdir()?;
    let site = Site::new(folder.path(), records)?;
    let port = site.homes("site", false)?;
    site.hikae(&["scan", "--home", &site.text("site-center")])?;
    let center = site.serve("site", port)?;
    site.sync("site")?;
    drop(center);
    let patients = patients(&site.path("storage/volumes"))?;
    let files: usize = patients.iter().map(|(_, files)| files.len()).sum();
    let mut seconds = [const { Vec::new() }; RIVALS.len()];
    let mut busy = [const { Vec::new() }; RIVALS.len()];
    for run in 0..runs {
        for rival in order(run, RIVALS.len()) {
            // What was removed just now slows ext4 down: nothing is, before the end.
            let to = site.path(&format!("to{run}-{rival}"));
            rustix::fs::sync();
            let (begun, worked) = (Instant::now(), processor()?);
            match rival {
                0 => plain(&patients, &to)?,
                _ => restore(&site, &to, files)?,
            }
            seconds[rival].push(begun.elapsed().as_secs_f64());
            busy[rival].push(processor()? - worked);
        }
    }
    println!(
        "\n{files} files, {runs} runs each\n\n| work | median s | min-max s | processor s | files/s | of the disk's rate |\n|---|---|---|---|---|---|"
    );
    let disk = spread(seconds[0].clone()).0;
    for (name, (seconds, busy)) in RIVALS.iter().zip(seconds.into_iter().zip(busy)) {
        let (median, least, greatest) = spread(seconds);
        println!(
            "| {name} | {median:.2} | {least:.2}-{greatest:.2} | {:.2} | {:.0} | {:.2} x |",
            spread(busy).0,
            files as f64 / median,
            disk / median
        );
    }
    Ok(())
}

/// Seconds that processors worked for this process and those that it waited for,
/// in the kernel too.
fn processor() -> Result<f64> {
    // The second field, a name in brackets, may hold anything.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("/proc/self/stat has no name")?;
    let ticks = fields.split_whitespace().skip(11).take(4);
    let ticks: Result<Vec<f64>, _> = ticks.map(str::parse::<f64>).collect();
    // USER_HZ is 100 wherever Linux runs.
    Ok(ticks?.iter().sum::<f64>() / 100.0)
}

/// All files, by patient directory (or whatever lies at that depth).
fn patients(volumes: &Path) -> Result<Vec<Patient>> {
    let mut patients: std::collections::BTreeMap<PathBuf, Vec<_>> = Default::default();
    for file in walkdir::WalkDir::new(volumes) {
        let file = file?;
        if !file.file_type().is_file() {
            continue;
        }
        let path = file.path().strip_prefix(volumes)?.to_path_buf();
        let patient: PathBuf = path.components().take(5).collect();
        let time = file.metadata()?.modified()?;
        let content = fs::read(file.path())?;
        patients
            .entry(patient)
            .or_default()
            .push((path, content, time));
    }
    Ok(patients.into_iter().collect())
}

fn plain(patients: &[Patient], to: &Path) -> Result<()> {
    patients
        .par_iter()
        .try_for_each(|(_, files)| -> Result<()> {
            for (path, content, time) in files {
                let path = to.join(path);
                let folder = path.parent().unwrap_or(to);
                if !folder.exists() {
                    fs::create_dir_all(folder)?;
                }
                let mut file = File::create_new(&path)?;
                file.write_all(content)?;
                file.set_times(FileTimes::new().set_modified(*time))?;
            }
            Ok(())
        })?;
    rustix::fs::syncfs(File::open(to)?)?;
    Ok(())
}

fn restore(site: &Site, to: &Path, files: usize) -> Result<()> {
    let (home, to) = (site.text("site-backup"), to.display().to_string());
    let report = site.hikae(&["restore", "--at", "1", "--to", &to, "--home", &home])?;
    ensure!(
        report["files_written"] == files,
        "not all files came: {report}"
    );
    ensure!(report["roots_equal"] == true, "the roots differ");
    Ok(())
}
