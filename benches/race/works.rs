//! The works: what is to be brought, over which lines, by whom.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::lab::pipe::Conditions;
use crate::results::{Results, Run};
use crate::rivals::{Directories, Rival};
use crate::site::{Site, drop_caches, order};
use crate::stage::Stage;

const FIRST: &str = "first copy, cold";
const NOTHING: &str = "nothing changed";
const LOST: &str = "a link lost after 30 %";
/// A fetch of this many bytes is a document.
const DOCUMENT: usize = 10_000_000;
/// The last moment of the INDEX DB that is not a clock gone wrong.
const SANE: &str = "UpdateDatetime < '2049-01-01 00:00:00.000'";

/// All works that are wanted and not measured yet.
pub(crate) fn all(options: &Options, results: &mut Results) -> Result<()> {
    let site = storage(options)?;
    let sinet = Conditions::line(1000, 10);
    let stage = Stage::new(site, &[sinet])?;
    let note = format!(
        "{} files, {:.0} MB; {}",
        stage.site.files,
        stage.site.bytes as f64 / 1e6,
        stage.ceiling(1)?
    );
    results.note("the storage and the line", note)?;
    let mut race = Race {
        options,
        stage: &stage,
    };
    race.first_copies(FIRST, results)?;
    race.nothing_changed(results)?;
    for (name, share) in [("0.1 %", 0.001), ("1 %", 0.01), ("5 %", 0.05)] {
        let changes = (options.records as f64 * share) as u64;
        race.days(&format!("a day at {name}"), results, |race| {
            race.day(changes)
        })?;
    }
    race.days("a day of renames alone", results, |race| race.renames())?;
    race.days("a day with 200 MB of documents", results, |race| {
        race.documents()
    })?;
    drop(stage);
    let site = Site::at(&options.folder)?;
    let stage = Stage::new(site, &[sinet.lossy(0.01)])?;
    let mut race = Race {
        options,
        stage: &stage,
    };
    race.first_copies("first copy at 1 % loss", results)?;
    drop(stage);
    two_links(options, results)
}

/// The storage of an earlier run, or a new one.
fn storage(options: &Options) -> Result<Site> {
    match fs::exists(options.folder.join("storage/index.db"))? {
        true => Site::at(&options.folder),
        false => Site::new(&options.folder, options.records),
    }
}

struct Race<'a> {
    options: &'a Options,
    stage: &'a Stage,
}

impl Race<'_> {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.stage.site.path(name)
    }

    /// Those of these rivals that are installed.
    fn present(&self, work: &str, rivals: &[Rival], results: &mut Results) -> Result<Vec<Rival>> {
        let mut present = vec![];
        for rival in rivals {
            if results.has_note(&unsettled(*rival)) {
                continue;
            }
            match rival.missing() {
                None => present.push(*rival),
                Some(program) => {
                    let note = format!("{} was not there: no {program}", rival.name());
                    results.note(&format!("{work}, {}", rival.name()), note)?;
                }
            }
        }
        Ok(present)
    }

    fn first_copies(&mut self, work: &str, results: &mut Results) -> Result<()> {
        if !self.options.wants(work) {
            return Ok(());
        }
        let rivals = [
            Rival::Hikae,
            Rival::Rsync,
            Rival::RsyncPlain,
            Rival::Tar,
            Rival::RsyncSsh,
            Rival::Rclone,
        ];
        let rivals = self.present(work, &rivals, results)?;
        let _servers = self.stage.serve_rivals(&rivals)?;
        // What a run left that was broken off.
        self.forget_first_copies(rivals.len())?;
        for run in 0..self.options.runs {
            for at in order(run, rivals.len()) {
                let rival = rivals[at];
                if !results.lacks(work, rival.name(), run) {
                    continue;
                }
                let folder = first_copy(at, run);
                drop_caches();
                match rival {
                    Rival::Hikae => self.first_hikae(work, &folder, results)?,
                    _ => {
                        let done = self.stage.bring(rival, Some(&folder), &vec![])?;
                        results.add(work, rival.name(), done)?;
                    }
                }
            }
        }
        self.forget_first_copies(rivals.len())
    }

    /// Removes the trees of a work, never between two runs of it: whoever comes
    /// next would wait for what ext4 has to free.
    fn forget_first_copies(&self, rivals: usize) -> Result<()> {
        for run in 0..self.options.runs {
            for at in 0..rivals {
                self.forget(&first_copy(at, run))?;
            }
        }
        rustix::fs::sync();
        Ok(())
    }

    fn first_hikae(&self, work: &str, name: &str, results: &mut Results) -> Result<()> {
        self.stage.homes(name, &[0], true)?;
        let (begun, wire) = (Instant::now(), self.stage.wire_bytes(1));
        self.stage.scan(name)?;
        let scanned = begun.elapsed().as_secs_f64();
        let center = self.stage.serve(name)?;
        let asked = Instant::now();
        let report = self.stage.sync(name)?;
        let pulled = asked.elapsed().as_secs_f64();
        drop(center);
        let tree = report["publish"]["seconds"].as_f64().unwrap_or(0.0);
        let wire_bytes = self.stage.wire_bytes(1) - wire;
        let run = |seconds: f64, note: Option<String>| Run {
            seconds,
            wire_bytes,
            note,
            failed: false,
        };
        let note = format!("scan {scanned:.2} s");
        results.add(work, Rival::Hikae.name(), run(scanned + pulled, Some(note)))?;
        let segments = run(scanned + pulled - tree, None);
        results.add(work, "hikae, segments only", segments)
    }

    fn forget(&self, name: &str) -> Result<()> {
        for end in ["", "-center", "-backup", "-tree"] {
            let path = self.path(&format!("{name}{end}"));
            if fs::exists(&path)? {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }

    /// Makes every rival's tree the storage as it is, unmeasured. Says whose
    /// are: who can't bring the whole in time takes part in no day.
    fn settle(
        &self,
        rivals: &[Rival],
        serving: &mut Option<crate::site::Killed>,
        results: &mut Results,
    ) -> Result<Vec<Rival>> {
        let mut settled = vec![];
        if !fs::exists(self.path("hikae-backup"))? {
            self.stage.homes("hikae", &[0], true)?;
            self.stage.scan("hikae")?;
        }
        if serving.is_none() {
            *serving = Some(self.stage.serve("hikae")?);
        }
        for rival in rivals {
            match rival {
                Rival::Hikae => drop(self.stage.sync("hikae")?),
                // The whole is settled at once for those that do parts of it.
                Rival::RsyncFilesFrom => self.settle_rsync("rsync-files")?,
                Rival::RsyncPerDirectory => self.settle_rsync("rsync-each")?,
                _ => {
                    let done = self.stage.bring(*rival, None, &vec![])?;
                    if done.failed {
                        let why = done.note.unwrap_or_default();
                        let note = format!("after {:.0} s: {why}", done.seconds);
                        results.note(&unsettled(*rival), note)?;
                        continue;
                    }
                }
            }
            settled.push(*rival);
        }
        Ok(settled)
    }

    fn settle_rsync(&self, folder: &str) -> Result<()> {
        let done = self.stage.bring(Rival::Rsync, Some(folder), &vec![])?;
        ensure!(!done.failed, "rsync: {:?}", done.note);
        Ok(())
    }

    fn nothing_changed(&mut self, results: &mut Results) -> Result<()> {
        if !self.options.wants(NOTHING) {
            return Ok(());
        }
        let rivals = [
            Rival::Hikae,
            Rival::Rsync,
            Rival::RsyncSsh,
            Rival::Rclone,
            Rival::Unison,
        ];
        let rivals = self.present(NOTHING, &rivals, results)?;
        self.rounds(NOTHING, &rivals, results, |_| Ok(vec![]))
    }

    fn days(
        &mut self,
        work: &str,
        results: &mut Results,
        change: impl Fn(&Race<'_>) -> Result<Directories>,
    ) -> Result<()> {
        if !self.options.wants(work) {
            return Ok(());
        }
        let rivals = [
            Rival::Hikae,
            Rival::RsyncFilesFrom,
            Rival::RsyncPerDirectory,
            Rival::Rsync,
            Rival::Rclone,
            Rival::Unison,
        ];
        let rivals = self.present(work, &rivals, results)?;
        self.rounds(work, &rivals, results, change)
    }

    /// One change after the other; each is brought by every rival.
    fn rounds(
        &mut self,
        work: &str,
        rivals: &[Rival],
        results: &mut Results,
        change: impl Fn(&Race<'_>) -> Result<Directories>,
    ) -> Result<()> {
        let lacks = |results: &Results, run| {
            let mut rivals = rivals.iter();
            rivals.any(|rival| results.lacks(work, rival.name(), run))
        };
        if !(0..self.options.runs).any(|run| lacks(results, run)) {
            return Ok(());
        }
        let _servers = self.stage.serve_rivals(rivals)?;
        let mut serving = None;
        let rivals = &self.settle(rivals, &mut serving, results)?[..];
        // What was written just now is looked at again: DESIGN, 2 s.
        std::thread::sleep(std::time::Duration::from_secs(3));
        self.stage.sync("hikae")?;
        for run in 0..self.options.runs {
            if !lacks(results, run) {
                continue;
            }
            let day = change(self)?;
            for at in order(run, rivals.len()) {
                let rival = rivals[at];
                rustix::fs::sync();
                let done = match rival {
                    Rival::Hikae => self.timed_sync("hikae", 1)?,
                    _ => self.stage.bring(rival, None, &day)?,
                };
                if rival == Rival::RsyncPerDirectory {
                    self.settle_rsync("rsync-each")?;
                }
                if results.lacks(work, rival.name(), run) {
                    results.add(work, rival.name(), done)?;
                }
            }
        }
        Ok(())
    }

    fn timed_sync(&self, name: &str, links: usize) -> Result<Run> {
        let (begun, wire) = (Instant::now(), self.stage.wire_bytes(links));
        let report = self.stage.sync(name)?;
        let seconds = begun.elapsed().as_secs_f64();
        let tree = report["publish"]["seconds"].as_f64().unwrap_or(0.0);
        Ok(Run {
            seconds,
            wire_bytes: self.stage.wire_bytes(links) - wire,
            note: Some(format!("without the tree {:.2} s", seconds - tree)),
            failed: false,
        })
    }

    /// A day of the generator's; its directories.
    fn day(&self, changes: u64) -> Result<Directories> {
        let (storage, changes) = (self.stage.site.text("storage"), changes.max(10).to_string());
        self.stage
            .site
            .hikae(&["gen", "day", "--out", &storage, "--changes", &changes])?;
        let newest = format!(
            "SELECT DISTINCT {DIRECTORY} FROM SSMIXIDX WHERE {SANE} AND date(UpdateDatetime) = \
             (SELECT max(date(UpdateDatetime)) FROM SSMIXIDX WHERE {SANE})"
        );
        self.query(&newest)
    }

    /// Directories of up to so many records, spread over the storage.
    fn some_directories(&self, count: u64) -> Result<Directories> {
        self.query(&format!(
            "SELECT DISTINCT {DIRECTORY} FROM SSMIXIDX WHERE {SANE} AND \
             rowid % max(1, (SELECT count(*) FROM SSMIXIDX) / {count}) = 0 LIMIT {count}"
        ))
    }

    /// Tells the INDEX DB that these directories changed just now.
    fn touch_rows(&self, directories: &Directories) -> Result<()> {
        let list: Vec<String> = directories.iter().map(|one| format!("'{one}'")).collect();
        let newest = self.query(&format!(
            "SELECT strftime('%Y-%m-%d %H:%M:%f', max(UpdateDatetime), '+61 seconds') \
             FROM SSMIXIDX WHERE {SANE}"
        ))?;
        let newest = newest.first().context("no rows")?;
        self.query(&format!(
            "UPDATE SSMIXIDX SET UpdateDatetime = '{newest}' WHERE {DIRECTORY} IN ({})",
            list.join(",")
        ))?;
        Ok(())
    }

    /// Every file of some directories gets another name: what was valid is old.
    fn renames(&self) -> Result<Directories> {
        let volumes = self.path("storage/volumes");
        let some = self.some_directories((self.options.records / 100).max(10))?;
        let mut day = vec![];
        for directory in some {
            let Ok(files) = fs::read_dir(volumes.join(&directory)) else {
                continue;
            };
            for file in files.flatten().filter(|file| file.path().is_file()) {
                let name = file.file_name().to_string_lossy().into_owned();
                if let Some(base) = name.strip_suffix("_1") {
                    fs::rename(file.path(), file.path().with_file_name(format!("{base}_2")))?;
                } else if let Some(base) = name.strip_suffix("_2") {
                    fs::rename(file.path(), file.path().with_file_name(format!("{base}_1")))?;
                }
            }
            day.push(directory);
        }
        self.touch_rows(&day)?;
        Ok(day)
    }

    /// Twenty documents that don't compress.
    fn documents(&self) -> Result<Directories> {
        let volumes = self.path("storage/volumes");
        let day = self.some_directories(20)?;
        for (at, directory) in day.iter().enumerate() {
            let folder = volumes.join(directory);
            if folder.is_dir() {
                noise(&folder.join("race-document.pdf"), DOCUMENT, at as u64)?;
            }
        }
        self.touch_rows(&day)?;
        Ok(day)
    }

    fn query(&self, sql: &str) -> Result<Vec<String>> {
        let database = self.path("storage/index.db");
        let script = self.path("query.sql");
        fs::write(&script, sql)?;
        let output = Command::new("sqlite3")
            .arg(database)
            .arg(format!(".read {}", script.display()))
            .output()
            .context("sqlite3 (Debian: apt-get install sqlite3)")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && error.is_empty(),
            "sqlite3: {error}"
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(str::to_string).collect())
    }
}

/// A row's directory below the volumes.
const DIRECTORY: &str =
    "trim(FacilityID)||'/'||trim(VolumeLabel)||'/'||replace(OutRelDirectory,'\\','/')";

/// The note about a rival that could not bring the whole storage in time.
fn unsettled(rival: Rival) -> String {
    format!("{} could not bring the whole storage", rival.name())
}

/// The folder of a rival's first copy.
fn first_copy(rival: usize, run: u64) -> String {
    format!("first-{rival}-{run}")
}

/// A file of bytes that don't compress, other ones each time.
fn noise(path: &Path, bytes: usize, seed: u64) -> Result<()> {
    let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
    let mut state = (now ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend(state.to_le_bytes());
    }
    Ok(fs::File::create(path)?.write_all(&content)?)
}

/// A storage of noise behind two links.
fn two_links(options: &Options, results: &mut Results) -> Result<()> {
    let (fast, slow, tenth) = (
        Conditions::line(100, 10),
        Conditions::line(20, 25),
        Conditions::line(10, 25),
    );
    for (work, second) in [("100 and 20 Mbit/s", slow), ("10:1 links", tenth)] {
        if !options.wants(work) {
            continue;
        }
        let stage = Stage::new(noisy_storage(options)?, &[fast, second])?;
        results.note(work, stage.ceiling(2)?)?;
        for run in 0..options.runs {
            let ways = [
                ("both", &[0, 1][..]),
                ("the first alone", &[0]),
                ("the second alone", &[1]),
            ];
            for at in order(run, ways.len()) {
                let (name, links) = ways[at];
                if results.lacks(work, name, run) {
                    let done = noisy_run(&stage, links, None)?;
                    results.add(work, name, done.0)?;
                }
            }
        }
        let median = |name| Results::spread(results.runs(work, name)).map_or(f64::MAX, |s| s.0);
        let sum = 1.0 / median("the first alone") + 1.0 / median("the second alone");
        let share = 100.0 / median("both") / sum;
        let ceiling = stage.ceiling(2)?;
        results.note(
            work,
            format!("both bring {share:.1} % of the sum of each alone; {ceiling}"),
        )?;
    }
    if options.wants(LOST) {
        link_lost(options, results, &[fast, fast])?;
    }
    Ok(())
}

fn noisy_storage(options: &Options) -> Result<Site> {
    let folder = options.folder.join("noise");
    let volumes = folder.join("storage/volumes");
    if !volumes.exists() {
        for file in 0..options.noise_mb * 4 {
            let patient = format!("{:07}", 1_000_000 + file);
            let leaf = format!(
                "0410000001/STD01/{}/{}/{patient}",
                &patient[..3],
                &patient[3..6]
            );
            let leaf = volumes.join(leaf).join("20250401/OMP-01");
            fs::create_dir_all(&leaf)?;
            let name = format!("{patient}_20250401_OMP-01_000000000000001_20250401120000000_01_1");
            noise(&leaf.join(name), 250_000, file)?;
        }
    }
    Site::at(&folder)
}

/// A first copy of the noise; the link of the number goes dark after 30 %.
fn noisy_run(
    stage: &Stage,
    links: &[usize],
    dies: Option<usize>,
) -> Result<(Run, Vec<crate::results::Moment>)> {
    let name = "noise";
    for end in ["-center", "-backup"] {
        let path = stage.site.path(&format!("{name}{end}"));
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
    }
    stage.homes(name, links, false)?;
    let center = stage.site.path("noise-center/hikae.toml");
    let text = fs::read_to_string(&center)?;
    let at = text.find("[index_db]").context("no [index_db]")?;
    let end = text.find("[volumes]").context("no [volumes]")?;
    fs::write(&center, [&text[..at], &text[end..]].concat())?;
    stage.scan(name)?;
    let center = stage.serve(name)?;
    let all = links.iter().max().map_or(1, |most| most + 1);
    let wire = stage.wire_bytes(all);
    let begun = Instant::now();
    let mut dark = false;
    let (output, series) = stage.watch(stage.sync_child(name)?, all, |bytes| {
        if let Some(link) = dies.filter(|_| !dark && bytes as f64 > stage.site.bytes as f64 * 0.3) {
            dark = true;
            stage.lab.link(link).set(|line| line.black = true);
        }
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    drop(center);
    if let Some(link) = dies {
        stage.lab.link(link).set(|line| line.black = false);
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    ensure!(output.status.success(), "sync: {report}");
    ensure!(report["roots_equal"] == true, "the roots differ");
    let twice: u64 = report["links"].as_array().map_or(0, |links| {
        links
            .iter()
            .filter_map(|link| link["bytes_twice"].as_u64())
            .sum()
    });
    let run = Run {
        seconds,
        wire_bytes: stage.wire_bytes(all) - wire,
        note: Some(format!("{:.2} MB twice", twice as f64 / 1e6)),
        failed: false,
    };
    Ok((run, series))
}

fn link_lost(options: &Options, results: &mut Results, links: &[Conditions]) -> Result<()> {
    let stage = Stage::new(noisy_storage(options)?, links)?;
    for run in 0..options.runs {
        if results.lacks(LOST, Rival::Hikae.name(), run) {
            let (done, series) = noisy_run(&stage, &[0, 1], Some(0))?;
            // The longest silence of the link that lives.
            let mut silent = 0.0_f64;
            let mut since = 0.0;
            for (at, rates) in &series {
                if rates[1] > 10_000.0 {
                    silent = silent.max(at - since);
                    since = *at;
                }
            }
            let gap = format!("the other link was never silent for longer than {silent:.2} s");
            results.add(LOST, Rival::Hikae.name(), done)?;
            results.set_series(LOST, series)?;
            results.note(LOST, format!("{gap}; {}", stage.ceiling(2)?))?;
        }
    }
    let rivals = [Rival::Rsync];
    let _servers = stage.serve_rivals(&rivals)?;
    if results.lacks(LOST, Rival::Rsync.name(), 0) {
        let done = rsync_broken(&stage)?;
        results.add(LOST, Rival::Rsync.name(), done)?;
    }
    Ok(())
}

/// rsync has one connection by one link: with it gone it ends by its own
/// timeout, if it was told one.
fn rsync_broken(stage: &Stage) -> Result<Run> {
    let folder = stage.site.path("rsync-broken");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let begun = Instant::now();
    let mut run = std::thread::scope(|threads| {
        let copying = threads.spawn(|| stage.bring_or_break(&folder.display().to_string()));
        let first = stage.wire_bytes(1);
        while !copying.is_finished() {
            if (stage.wire_bytes(1) - first) as f64 > stage.site.bytes as f64 * 0.3 {
                stage.lab.link(0).set(|line| line.black = true);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        copying
            .join()
            .map_err(|_| anyhow::anyhow!("rsync's thread"))?
    })?;
    stage.lab.link(0).set(|line| line.black = false);
    run.seconds = begun.elapsed().as_secs_f64();
    Ok(run)
}
