//! Each stage by itself, beside what the disk or the compressor alone takes
//! for the like: walk, refresh, plan, bundle, segment append, publish. One
//! command: `cargo bench --bench stages`.
//!
//! `HIKAE_STAGES_RECORDS` (default 20,000) and `HIKAE_STAGES_RUNS` (default 5)
//! set the size. Everything is read warm, but what says cold: there the page
//! cache is dropped before each run, which takes root. What is written is synced. Between
//! each stage and its rival the order alternates, for others may be at work on
//! the same machine.

mod site;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use hikae::catalogue::{Catalogue, CatalogueError, LeafRecord};
use hikae::disk::StoreFolder;
use hikae::plan::{WantedLeaf, bundles};
use hikae::progress::Silent;
use hikae::publish::publish;
use hikae::segment::{BlockKind, LogEnd, SEGMENT_BYTES, SegmentFolder, SegmentLog};
use hikae_protocol::limits::BUNDLE_BYTES;
use hikae_protocol::message::LeafProof;
use hikae_protocol::pack::{Pack, PackBuilder};
use site::{Site, drop_caches, number, order, spread};

/// Threads of a rival that reads or writes files: as many as the stage has.
const THREADS: usize = 4;
/// zstd's level, as contents travel and rest.
const LEVEL: i32 = 3;

fn main() -> Result<()> {
    let records = number("HIKAE_STAGES_RECORDS", 20_000)?;
    let runs = number("HIKAE_STAGES_RUNS", 5)?;
    let folder = tempfile::Builder::new().prefix("hikae-stages-").tempdir()?;
    let site = Site::new(folder.path(), records)?;
    println!(
        "\n{} records, {:.1} MB, {runs} runs each\n\n\
         | stage | items | median s | min-max s | µs an item | of its rival |\n|---|---|---|---|---|---|",
        site.files,
        site.bytes as f64 / 1e6
    );
    walk(&site, runs)?;
    let port = site.homes("site", false)?;
    site.hikae(&["scan", "--home", &site.text("site-center")])?;
    let center = site.serve("site", port)?;
    site.sync("site")?;
    drop(center);
    let store = site.path("site-backup/store");
    let catalogue = Catalogue::open(&store, None, &Silent)?;
    let records = leaves(&catalogue)?;
    plan(&catalogue, runs)?;
    let packs = bundle(&catalogue, &records, runs)?;
    append(&site, &packs, runs)?;
    show(&site, &catalogue, runs)?;
    catalogue.close()?;
    refresh(&site, runs)
}

/// Runs a stage and its rival in alternating order, and prints both.
fn race(
    runs: u64,
    items: u64,
    stage: (&str, &mut dyn FnMut() -> Result<f64>),
    rival: (&str, &mut dyn FnMut() -> Result<f64>),
) -> Result<()> {
    let mut seconds = [vec![], vec![]];
    for run in 0..runs {
        for at in order(run, 2) {
            seconds[at].push(match at {
                0 => stage.1()?,
                _ => rival.1()?,
            });
        }
    }
    let [ours, theirs] = seconds;
    // Paired by run: what else the machine did hits both.
    let ratios = ours.iter().zip(&theirs).map(|(one, two)| one / two);
    let ratio = spread(ratios.collect()).0;
    line(stage.0, items, ours, Some(ratio));
    line(rival.0, items, theirs, None);
    Ok(())
}

fn line(name: &str, items: u64, seconds: Vec<f64>, ratio: Option<f64>) {
    let (median, least, greatest) = spread(seconds);
    let ratio = ratio.map_or_else(|| "1 x".into(), |ratio| format!("{ratio:.2} x"));
    println!(
        "| {name} | {items} | {median:.3} | {least:.3}-{greatest:.3} | {:.1} | {ratio} |",
        median * 1e6 / items.max(1) as f64
    );
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for item in fs::read_dir(folder)? {
        let item = item?;
        match item.file_type()?.is_dir() {
            true => files_below(&item.path(), files)?,
            false => files.push(item.path()),
        }
    }
    Ok(())
}

/// Shares files among threads.
fn shared(files: &[PathBuf], work: impl Fn(&Path) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                threads.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(file)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("panicked")))
    })
}

/// The first walk, beside reading and hashing the same files in parallel when
/// their names are known.
fn walk(site: &Site, runs: u64) -> Result<()> {
    let mut files = Vec::new();
    files_below(&site.path("storage/volumes"), &mut files)?;
    let home = site.text("walk-center");
    site.homes("walk", false)?;
    let walk = || {
        let store = site.path("walk-center/store");
        if store.exists() {
            fs::remove_dir_all(store)?;
        }
        let report = site.hikae(&["scan", "--walk", "--home", &home])?;
        report["seconds"].as_f64().context("no seconds")
    };
    let read = || {
        timed(|| {
            shared(&files, |file| {
                let mut content = Vec::new();
                File::open(file)?.read_to_end(&mut content)?;
                std::hint::black_box(blake3::hash(&content));
                Ok(())
            })
        })
    };
    race(
        runs,
        site.files,
        ("first walk", &mut || walk()),
        ("read the files, 4 threads", &mut || read()),
    )?;
    if !drop_caches() {
        println!("| (cold reading takes root) |");
        return Ok(());
    }
    let cold = |work: &dyn Fn() -> Result<f64>| {
        drop_caches();
        work()
    };
    race(
        runs,
        site.files,
        ("first walk, cold", &mut || cold(&walk)),
        ("read the files, 4 threads, cold", &mut || cold(&read)),
    )
}

fn leaves(catalogue: &Catalogue) -> Result<Vec<LeafRecord>> {
    let mut records = Vec::new();
    for (_, value) in catalogue.view().leaves_below(b"")? {
        records.push(catalogue.record(value.place)?);
    }
    Ok(records)
}

/// Cutting all leaves into bundles, beside copying their keys.
fn plan(catalogue: &Catalogue, runs: u64) -> Result<()> {
    let wanted: Vec<WantedLeaf> = catalogue
        .view()
        .leaves_below(b"")?
        .into_iter()
        .filter_map(|(key, value)| {
            let digest = value.digest?;
            let proof = LeafProof {
                key,
                digest: Some(digest),
                sequence: value.sequence,
                weight: value.bytes,
            };
            Some(WantedLeaf::new(&proof, digest, None))
        })
        .collect();
    race(
        runs,
        wanted.len() as u64,
        ("plan", &mut || {
            let wanted = wanted.clone();
            timed(|| {
                std::hint::black_box(bundles(wanted).count());
                Ok(())
            })
        }),
        ("copy the keys", &mut || {
            timed(|| {
                std::hint::black_box(wanted.clone());
                Ok(())
            })
        }),
    )
}

/// Packs of contents as they travel, beside one zstd stream over the same.
fn bundle(catalogue: &Catalogue, records: &[LeafRecord], runs: u64) -> Result<Vec<Pack>> {
    let mut contents: Vec<Vec<u8>> = Vec::new();
    for file in records.iter().flat_map(|record| &record.files) {
        let mut content = Vec::new();
        catalogue.content::<CatalogueError>(file.content, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        contents.push(content);
    }
    let build = || -> Result<Vec<Pack>> {
        let (mut packs, mut builder, mut bytes) = (Vec::new(), PackBuilder::default(), 0);
        for content in &contents {
            builder.push(content);
            bytes += content.len();
            if bytes >= BUNDLE_BYTES {
                packs.push(std::mem::take(&mut builder).finish(LEVEL)?);
                bytes = 0;
            }
        }
        packs.push(builder.finish(LEVEL)?);
        Ok(packs)
    };
    let all = contents.concat();
    race(
        runs,
        contents.len() as u64,
        ("bundle", &mut || timed(|| build().map(drop))),
        ("zstd -3, one stream", &mut || {
            timed(|| {
                std::hint::black_box(zstd::encode_all(all.as_slice(), LEVEL)?);
                Ok(())
            })
        }),
    )?;
    build()
}

/// Blocks appended and synced, beside one file with the same bytes.
fn append(site: &Site, packs: &[Pack], runs: u64) -> Result<()> {
    let folder = site.path("append");
    let mut bytes = Vec::new();
    for pack in packs {
        let mut out = bytes::BytesMut::new();
        pack.write(&mut out);
        bytes.push(out.freeze());
    }
    race(
        runs,
        packs.len() as u64,
        ("segment append", &mut || {
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            let files = Arc::new(StoreFolder::open(&folder, &["segments"])?);
            let segments = SegmentFolder::open(files, None)?;
            let mut log = SegmentLog::open(&segments, LogEnd::EMPTY, SEGMENT_BYTES)?;
            timed(|| {
                for pack in packs {
                    log.append(BlockKind::Contents, pack)?;
                }
                Ok(log.sync()?)
            })
        }),
        ("one file, fdatasync", &mut || {
            let path = site.path("append.raw");
            timed(|| {
                let mut file = File::create(&path)?;
                for bytes in &bytes {
                    file.write_all(bytes)?;
                }
                Ok(file.sync_data()?)
            })
        }),
    )
}

/// The whole tree, beside writing the same files in parallel, and one sync.
fn show(site: &Site, catalogue: &Catalogue, runs: u64) -> Result<()> {
    let source = site.path("storage/volumes");
    let mut files = Vec::new();
    files_below(&source, &mut files)?;
    let contents: Vec<(PathBuf, Vec<u8>)> = files
        .iter()
        .map(|file| Ok((file.strip_prefix(&source)?.to_path_buf(), fs::read(file)?)))
        .collect::<Result<_>>()?;
    let paths: Vec<PathBuf> = (0..contents.len())
        .map(|at| at.to_string().into())
        .collect();
    let mark = site.path("site-backup/store/published");
    let made = std::cell::Cell::new(0);
    // What was removed just now slows ext4 down: each run has a new folder.
    let anew = || -> PathBuf {
        made.set(made.get() + 1);
        rustix::fs::sync();
        site.path(&format!("tree{}", made.get()))
    };
    race(
        runs,
        site.files,
        ("publish", &mut || {
            if mark.exists() {
                fs::remove_file(&mark)?;
            }
            let tree = anew();
            timed(|| {
                let report = publish(catalogue, &tree, &BTreeMap::new(), &Silent)?;
                ensure!(report.files_written > 0, "nothing was published");
                Ok(())
            })
        }),
        ("write the files, 4 threads, syncfs", &mut || {
            let plain = anew();
            timed(|| {
                shared(&paths, |at| {
                    let at: usize = at.to_str().context("a number")?.parse()?;
                    let (path, content) = &contents[at];
                    let path = plain.join(path);
                    fs::create_dir_all(path.parent().context("a folder")?)?;
                    Ok(fs::write(path, content)?)
                })?;
                Ok(rustix::fs::syncfs(File::open(&plain)?)?)
            })
        }),
    )
}

/// A day by hints, beside a stat of each file in the directories it names.
fn refresh(site: &Site, runs: u64) -> Result<()> {
    let changes = (site.files / 20).max(100).to_string();
    let home = site.text("site-center");
    let (mut ours, mut directories) = (Vec::new(), 0);
    for _ in 0..runs {
        site.hikae(&[
            "gen",
            "day",
            "--out",
            &site.text("storage"),
            "--changes",
            &changes,
        ])?;
        let report = site.hikae(&["scan", "--hints", "--home", &home])?;
        ours.push(report["seconds"].as_f64().context("no seconds")?);
        directories = report["directories_hinted"].as_u64().unwrap_or(0);
    }
    line("refresh by hints, a directory", directories, ours, None);
    Ok(())
}
