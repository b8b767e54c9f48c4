//! What the benchmarks share: a storage, homes, and the real binary.

#![allow(dead_code, reason = "each benchmark uses its own part")]
#![allow(unreachable_pub, reason = "a benchmark has no outside")]
#![allow(missing_docs, reason = "names say it")]

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A number of the environment.
pub fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

/// A process that ends with its owner.
pub struct Killed(pub Child);

impl Killed {
    /// Has it stop cleanly.
    pub fn end(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.0.id() as i32).context("no process")?;
        kill_process(pid, Signal::TERM)?;
        ensure!(self.0.wait()?.success(), "it did not stop cleanly");
        Ok(())
    }
}

/// The greatest memory of a process until now, bytes; watched by a thread.
pub struct Peak {
    is_over: Arc<AtomicBool>,
    watching: JoinHandle<u64>,
}

impl Peak {
    /// Watches the process until its end, or `end`.
    pub fn of(process: u32) -> Peak {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = is_over.clone();
        let watching = std::thread::spawn(move || {
            let mut peak = 0;
            // The kernel keeps the greatest; the last look has it.
            while let Some(seen) = resident(process) {
                peak = peak.max(seen);
                if until.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        Peak { is_over, watching }
    }

    /// What it was.
    pub fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.watching.join().unwrap_or(0)
    }
}

fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with a storage and homes.
pub struct Site {
    folder: PathBuf,
    /// Files of the storage.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
}

impl Site {
    /// Makes a storage of about so many records in `folder`.
    pub fn new(folder: &Path, records: u64) -> Result<Site> {
        let mut site = Site {
            folder: folder.to_path_buf(),
            files: 0,
            bytes: 0,
        };
        let patients = (records / 12).max(1).to_string();
        eprintln!("making a storage of {records} records ...");
        let made = site.hikae(&[
            "gen",
            "--out",
            &site.text("storage"),
            "--facilities",
            "5",
            "--patients",
            &patients,
            "--records",
            &records.to_string(),
        ])?;
        site.files = made["files"].as_u64().unwrap_or(0);
        site.bytes = made["bytes"].as_u64().unwrap_or(0);
        Ok(site)
    }

    /// The storage that lies in `folder` already.
    pub fn at(folder: &Path) -> Result<Site> {
        let (mut files, mut bytes) = (0, 0);
        let mut folders = vec![folder.join("storage/volumes")];
        while let Some(next) = folders.pop() {
            for item in fs::read_dir(next)? {
                let item = item?;
                let found = item.metadata()?;
                match found.is_dir() {
                    true => folders.push(item.path()),
                    false => (files, bytes) = (files + 1, bytes + found.len()),
                }
            }
        }
        Ok(Site {
            folder: folder.to_path_buf(),
            files,
            bytes,
        })
    }

    /// What lies in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Runs a command; its report.
    pub fn hikae(&self, arguments: &[&str]) -> Result<Value> {
        Ok(self.measured(arguments)?.0)
    }

    /// Runs a command; its report and the greatest memory it had, bytes.
    pub fn measured(&self, arguments: &[&str]) -> Result<(Value, u64)> {
        let child = Command::new(env!("CARGO_BIN_EXE_hikae"))
            .args(arguments)
            .arg("--json")
            .env("HIKAE_LOG", "warn,sled=error")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let peak = Peak::of(child.id());
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "hikae {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout)
        );
        Ok((serde_json::from_slice(&output.stdout)?, peak.end()))
    }

    /// A center and a backup, new, which publishes a tree or not; gives the UDP
    /// port.
    pub fn homes(&self, name: &str, tree: bool) -> Result<u16> {
        let (center, backup) = (
            self.text(&format!("{name}-center")),
            self.text(&format!("{name}-backup")),
        );
        let id = |home: &str, role: &str| -> Result<String> {
            let made = self.hikae(&["init", "--home", home, "--role", role])?;
            Ok(made["node_id"].as_str().unwrap_or_default().to_string())
        };
        let (center_id, backup_id) = (id(&center, "center")?, id(&backup, "backup")?);
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let storage = self.text("storage");
        let tree = match tree {
            true => format!("tree = \"{}\"\n", self.text(&format!("{name}-tree"))),
            false => String::new(),
        };
        fs::write(
            format!("{center}/hikae.toml"),
            format!(
                "role = \"center\"\n[[listen]]\nlink = \"lo\"\naddr = \"127.0.0.1:{port}\"\n[index_db]\n\
                 url = \"sqlite://{storage}/index.db\"\n[volumes]\ndiscover = \"{storage}/volumes\"\n\
                 [[peer]]\nname = \"backup\"\nid = \"{backup_id}\"\n"
            ),
        )?;
        fs::write(
            format!("{backup}/hikae.toml"),
            format!(
                "role = \"backup\"\n{tree}[source]\nid = \"{center_id}\"\n[[source.link]]\nname = \"lo\"\n\
                 remote = \"127.0.0.1:{port}\"\n",
            ),
        )?;
        Ok(port)
    }

    /// A center that serves.
    pub fn serve(&self, name: &str, port: u16) -> Result<Killed> {
        let child = Command::new(env!("CARGO_BIN_EXE_hikae"))
            .args(["serve", "--home", &self.text(&format!("{name}-center"))])
            .env("HIKAE_LOG", "warn,sled=error")
            .stderr(Stdio::null())
            .spawn()?;
        let begun = Instant::now();
        while UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            ensure!(
                begun.elapsed() < Duration::from_secs(60),
                "the center does not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Killed(child))
    }

    /// A sync of the backup; its report.
    pub fn sync(&self, name: &str) -> Result<Value> {
        let report = self.hikae(&["sync", "--home", &self.text(&format!("{name}-backup"))])?;
        ensure!(report["roots_equal"] == true, "the roots differ");
        Ok(report)
    }
}

/// The rivals in alternating order.
pub fn order(run: u64, rivals: usize) -> Vec<usize> {
    match run % 2 {
        0 => (0..rivals).collect(),
        _ => (0..rivals).rev().collect(),
    }
}

/// Drops the page cache; says whether it could.
pub fn drop_caches() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// The middle of some seconds, the least and the greatest.
pub fn spread(mut seconds: Vec<f64>) -> (f64, f64, f64) {
    seconds.sort_by(f64::total_cmp);
    let at = |at: usize| seconds.get(at).copied().unwrap_or(0.0);
    (
        at(seconds.len() / 2),
        at(0),
        at(seconds.len().saturating_sub(1)),
    )
}
