//! hikae and rsync side by side on loopback: a first copy, nothing changed,
//! a day. One command: `cargo bench --bench race`.
//!
//! Both sides are daemons on this machine; every run of a first copy goes to
//! a new folder, and the order of the rivals alternates. Medians with the
//! smallest and the largest run; ratios are of medians of the same run of
//! this program. `HIKAE_RACE_RECORDS` (default 200,000), `HIKAE_RACE_RUNS`
//! (default 5), `HIKAE_RACE_CHANGES` (default 10,000) set the size. As root
//! the source's files are read cold for the first copy (page cache dropped);
//! else warm, and the table says so.

mod site;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use site::{Killed, Site, drop_caches, number, order, spread};

/// Directories of a day that are copied one by one by rsync, to extrapolate.
const DIRECTORIES_SAMPLED: usize = 40;

fn main() -> Result<()> {
    for rival in ["rsync", "tar", "zstd", "sqlite3"] {
        if Command::new(rival).arg("--version").output().is_err() {
            bail!("{rival} is not installed (Debian: apt-get install {rival})");
        }
    }
    let (records, runs) = (
        number("HIKAE_RACE_RECORDS", 200_000)?,
        number("HIKAE_RACE_RUNS", 5)?,
    );
    let changes = number("HIKAE_RACE_CHANGES", 10_000)?;
    let folder = tempfile::Builder::new().prefix("hikae-race-").tempdir()?;
    let race = Race {
        site: Site::new(folder.path(), records)?,
        cold: drop_caches(),
    };
    let mut table = Table::default();
    race.first_copies(runs, &mut table)?;
    race.nothing_changed(runs, &mut table)?;
    race.days(runs, changes, &mut table)?;
    print!("{}", table.text(&race, changes));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("race.json");
    fs::write(&path, serde_json::to_vec_pretty(&table.json())?)?;
    println!("\nevery run: {}", path.display());
    Ok(())
}

struct Race {
    site: Site,
    cold: bool,
}

impl Deref for Race {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Race {
    fn rsync_daemon(&self) -> Result<(Killed, u16)> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = self.path("rsyncd.conf");
        let user = match rustix::process::geteuid().is_root() {
            true => "uid = root\ngid = root\n",
            false => "",
        };
        fs::write(
            &config,
            format!(
                "use chroot = no\n{user}[volumes]\npath = {}/volumes\nread only = yes\n",
                self.text("storage")
            ),
        )?;
        let child = Command::new("rsync")
            .args([
                "--daemon",
                "--no-detach",
                "--address=127.0.0.1",
                &format!("--port={port}"),
            ])
            .arg(format!("--config={}", config.display()))
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Killed(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(
                begun.elapsed() < Duration::from_secs(10),
                "rsync does not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((daemon, port))
    }

    /// One rsync from the daemon; seconds and bytes on the wire.
    fn rsync(&self, port: u16, options: &[&str], to: &str) -> Result<Run> {
        fs::create_dir_all(to)?;
        let begun = Instant::now();
        let output = Command::new("rsync")
            .args(["-a", "--stats"])
            .args(options)
            .arg(format!("rsync://127.0.0.1:{port}/volumes/"))
            .arg(format!("{to}/"))
            .output()?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(
            output.status.success(),
            "rsync: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let bytes = |name: &str| -> u64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
                .parse()
                .unwrap_or(0)
        };
        Ok(Run {
            seconds,
            wire: bytes("Total bytes sent") + bytes("Total bytes received"),
        })
    }

    /// `tar | zstd -3 | tar`, which checks nothing; seconds and bytes between.
    fn tar(&self, to: &str) -> Result<Run> {
        fs::create_dir_all(to)?;
        let bytes = self.text("tar-bytes");
        let begun = Instant::now();
        let status = Command::new("bash")
            .args([
                "-o",
                "pipefail",
                "-c",
                "tar -C \"$1\" -cf - . | zstd -q -3 | tee >(wc -c >\"$3\") | zstd -q -d | tar -C \"$2\" -xf -",
                "tar",
                &self.text("storage/volumes"),
                to,
                &bytes,
            ])
            .status()?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(status.success(), "tar | zstd | tar: {status}");
        // `wc` may write a moment later.
        let begun = Instant::now();
        loop {
            let written = fs::read_to_string(&bytes).unwrap_or_default();
            if let Ok(wire) = written.trim().parse() {
                fs::remove_file(&bytes)?;
                return Ok(Run { seconds, wire });
            }
            ensure!(
                begun.elapsed() < Duration::from_secs(5),
                "no count of bytes"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn first_copies(&self, runs: u64, table: &mut Table) -> Result<()> {
        let (_daemon, port) = self.rsync_daemon()?;
        for run in 0..runs {
            for rival in order(run, 4) {
                drop_caches();
                eprintln!(
                    "first copy, run {} of {runs}: {}",
                    run + 1,
                    ["hikae", "rsync -a", "tar", "rsync -az"][rival]
                );
                if rival == 0 {
                    let name = format!("first{run}");
                    let udp = self.homes(&name, true)?;
                    let begun = Instant::now();
                    self.hikae(&["scan", "--home", &self.text(&format!("{name}-center"))])?;
                    let _center = self.serve(&name, udp)?;
                    let report = self.sync(&name)?;
                    table.add(
                        "first copy",
                        "hikae: scan, pull, tree",
                        begun.elapsed().as_secs_f64(),
                        wire(&report),
                    );
                    let tree = report["publish"]["seconds"].as_f64().unwrap_or(0.0);
                    let segments = begun.elapsed().as_secs_f64() - tree;
                    table.add(
                        "first copy",
                        "hikae: scan, pull (segments only)",
                        segments,
                        wire(&report),
                    );
                } else if rival == 1 {
                    let done = self.rsync(port, &[], &self.text(&format!("rsync{run}")))?;
                    table.add("first copy", "rsync -a", done.seconds, done.wire);
                } else if rival == 3 {
                    let to = self.text(&format!("rsyncz{run}"));
                    let done = self.rsync(port, &["-z"], &to)?;
                    table.add("first copy", "rsync -az", done.seconds, done.wire);
                } else {
                    let done = self.tar(&self.text(&format!("tar{run}")))?;
                    table.add("first copy", "tar, zstd -3, tar", done.seconds, done.wire);
                }
            }
        }
        Ok(())
    }

    fn nothing_changed(&self, runs: u64, table: &mut Table) -> Result<()> {
        let (_daemon, port) = self.rsync_daemon()?;
        let udp = self.port_of("first0")?;
        let _center = self.serve("first0", udp)?;
        std::thread::sleep(Duration::from_secs(3));
        self.sync("first0")?;
        for run in 0..runs {
            for rival in order(run, 2) {
                if rival == 0 {
                    let begun = Instant::now();
                    let report = self.sync("first0")?;
                    table.add(
                        "nothing changed",
                        "hikae",
                        begun.elapsed().as_secs_f64(),
                        wire(&report),
                    );
                } else {
                    let done = self.rsync(port, &["--delete"], &self.text("rsync0"))?;
                    table.add(
                        "nothing changed",
                        "rsync -a --delete",
                        done.seconds,
                        done.wire,
                    );
                }
            }
        }
        Ok(())
    }

    fn days(&self, runs: u64, changes: u64, table: &mut Table) -> Result<()> {
        let (_daemon, port) = self.rsync_daemon()?;
        let udp = self.port_of("first0")?;
        let _center = self.serve("first0", udp)?;
        for run in 0..runs {
            eprintln!("a day, run {} of {runs}", run + 1);
            let storage = self.text("storage");
            self.hikae(&[
                "gen",
                "day",
                "--out",
                &storage,
                "--changes",
                &changes.to_string(),
            ])?;
            let directories = self.day_directories()?;
            let list = self.path("directories");
            fs::write(&list, directories.join("\n"))?;
            for rival in order(run, 3) {
                // What the gateway and the rival wrote is on the disk before
                // anybody is timed.
                rustix::fs::sync();
                if rival == 0 {
                    let begun = Instant::now();
                    let report = self.sync("first0")?;
                    ensure!(report["pull"]["changed"] == true, "the day did not arrive");
                    table.add(
                        "a day",
                        "hikae",
                        begun.elapsed().as_secs_f64(),
                        wire(&report),
                    );
                } else if rival == 2 {
                    let from = format!("--files-from={}", list.display());
                    let done =
                        self.rsync(port, &["-rz", "--delete", &from], &self.text("rsyncz0"))?;
                    table.add(
                        "a day",
                        "rsync -rz --delete --files-from",
                        done.seconds,
                        done.wire,
                    );
                } else {
                    // One by one first: these directories are then done for
                    // the run that follows, which is in rsync's favour.
                    let begun = Instant::now();
                    let step = (directories.len() / DIRECTORIES_SAMPLED).max(1);
                    let sampled: Vec<&String> = directories.iter().step_by(step).collect();
                    for directory in &sampled {
                        let one = self.path("one");
                        fs::write(&one, directory)?;
                        let from = format!("--files-from={}", one.display());
                        self.rsync(port, &["-r", "--delete", &from], &self.text("rsync0"))?;
                    }
                    let each = begun.elapsed().as_secs_f64() / sampled.len() as f64;
                    table.add(
                        "a day",
                        "rsync for each directory (extrapolated)",
                        each * directories.len() as f64,
                        0,
                    );
                    let from = format!("--files-from={}", list.display());
                    let done =
                        self.rsync(port, &["-r", "--delete", &from], &self.text("rsync0"))?;
                    table.add(
                        "a day",
                        "rsync -r --delete --files-from",
                        done.seconds,
                        done.wire,
                    );
                }
            }
        }
        Ok(())
    }

    fn port_of(&self, name: &str) -> Result<u16> {
        let text = fs::read_to_string(self.text(&format!("{name}-center/hikae.toml")))?;
        let at = text.find("127.0.0.1:").context("no port")? + "127.0.0.1:".len();
        let digits: String = text[at..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        Ok(digits.parse()?)
    }

    /// The directories that the INDEX DB names for the newest day.
    fn day_directories(&self) -> Result<Vec<String>> {
        let query = "SELECT DISTINCT trim(FacilityID)||'/'||trim(VolumeLabel)||'/'||replace(OutRelDirectory,'\\','/') \
                     FROM SSMIXIDX WHERE UpdateDatetime < '2049-01-01 00:00:00.000' AND date(UpdateDatetime) = \
                     (SELECT max(date(UpdateDatetime)) FROM SSMIXIDX WHERE UpdateDatetime < '2049-01-01 00:00:00.000')";
        let output = Command::new("sqlite3")
            .arg(self.text("storage/index.db"))
            .arg(query)
            .output()?;
        ensure!(
            output.status.success(),
            "sqlite3: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_string)
            .collect())
    }
}

fn wire(report: &Value) -> u64 {
    let bytes = |name: &str| report["link"][name].as_u64().unwrap_or(0);
    bytes("bytes_sent") + bytes("bytes_received")
}

struct Run {
    seconds: f64,
    wire: u64,
}

#[derive(Default)]
struct Table {
    cells: Vec<(&'static str, &'static str, Vec<Run>)>,
}

impl Table {
    fn add(&mut self, work: &'static str, who: &'static str, seconds: f64, wire: u64) {
        let run = Run { seconds, wire };
        match self
            .cells
            .iter_mut()
            .find(|cell| (cell.0, cell.1) == (work, who))
        {
            Some(cell) => cell.2.push(run),
            None => self.cells.push((work, who, vec![run])),
        }
    }

    fn spread(runs: &[Run]) -> (f64, f64, f64) {
        spread(runs.iter().map(|run| run.seconds).collect())
    }

    fn text(&self, race: &Race, changes: u64) -> String {
        let temperature = if race.cold { "cold" } else { "warm" };
        let mut out = format!(
            "\n{} files, {:.0} MB; first copy from a {temperature} source, the rest warm; a day is {changes} changes\n\n\
             | work | who | median s | min-max s | on the wire | of the first |\n|---|---|---|---|---|---|\n",
            race.files,
            race.bytes as f64 / 1e6
        );
        for (work, who, runs) in &self.cells {
            let first = self
                .cells
                .iter()
                .find(|cell| cell.0 == *work)
                .map_or(0.0, |cell| Table::spread(&cell.2).0);
            let (median, min, max) = Table::spread(runs);
            let wire = match runs.iter().map(|run| run.wire).max() {
                Some(0) | None => "-".into(),
                Some(bytes) => format!("{:.3} MB", bytes as f64 / 1e6),
            };
            out += &format!(
                "| {work} | {who} | {median:.2} | {min:.2}-{max:.2} | {wire} | {:.2} x |\n",
                median / first
            );
        }
        out
    }

    fn json(&self) -> Value {
        let cells = self.cells.iter().map(|(work, who, runs)| {
            let runs: Vec<Value> = runs
                .iter()
                .map(|run| serde_json::json!({ "seconds": run.seconds, "wire_bytes": run.wire }))
                .collect();
            serde_json::json!({ "work": work, "who": who, "runs": runs })
        });
        Value::Array(cells.collect())
    }
}
