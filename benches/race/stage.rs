//! The stage: a laboratory, a storage in it, and what serves it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::lab::pipe::Conditions;
use crate::lab::{End, Lab};
use crate::results::Moment;
use crate::site::{Killed, Site};

const PORT: u16 = 4433;
/// How often links are looked at for a plot.
const SAMPLE: Duration = Duration::from_millis(50);

/// A storage behind emulated links.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) site: Site,
}

impl Stage {
    /// The storage of `site` behind links with these conditions, both ways.
    pub(crate) fn new(site: Site, links: &[Conditions]) -> Result<Stage> {
        let both: Vec<_> = links.iter().map(|line| (*line, *line)).collect();
        Ok(Stage {
            lab: Lab::new(&both)?,
            site,
        })
    }

    /// What the laboratory itself gets through its links.
    pub(crate) fn ceiling(&self, links: usize) -> Result<String> {
        let each = (0..links).map(|link| {
            let asked = self.lab.link(link).conditions().0;
            let got = self.lab.ceiling(link)?;
            Ok(format!(
                "link {link}: {} Mbit/s, {} ms one way, {:.1} % loss; plain UDP gets {:.1} Mbit/s",
                asked.rate / 1_000_000,
                asked.delay.as_millis(),
                asked.loss * 100.0,
                got / 1e6
            ))
        });
        Ok(each.collect::<Result<Vec<String>>>()?.join("; "))
    }

    /// A center and a backup that reaches it by the links of these numbers.
    pub(crate) fn homes(&self, name: &str, links: &[usize], tree: bool) -> Result<()> {
        self.site.homes(name, tree)?;
        let (center, backup) = (
            self.site.path(&format!("{name}-center/hikae.toml")),
            self.site.path(&format!("{name}-backup/hikae.toml")),
        );
        let text = fs::read_to_string(&center)?;
        let at = text.find("[[listen]]").context("no [[listen]]")?;
        let end = at + text[at..].find("[index_db]").context("no [index_db]")?;
        let listens: String = (0..self.lab_links(links))
            .map(|link| {
                let address = self.lab.address(link, End::Center);
                format!("[[listen]]\nlink = \"link{link}\"\naddr = \"{address}:{PORT}\"\n")
            })
            .collect();
        fs::write(&center, [&text[..at], &listens, &text[end..]].concat())?;
        let text = fs::read_to_string(&backup)?;
        let at = text.find("[[source.link]]").context("no [[source.link]]")?;
        let remotes: String = links
            .iter()
            .map(|link| {
                let address = self.lab.address(*link, End::Center);
                format!("[[source.link]]\nname = \"link{link}\"\nremote = \"{address}:{PORT}\"\n")
            })
            .collect();
        fs::write(&backup, [&text[..at], &remotes].concat())?;
        Ok(())
    }

    fn lab_links(&self, links: &[usize]) -> usize {
        links.iter().max().map_or(0, |most| most + 1)
    }

    fn hikae(&self, end: End, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(end, env!("CARGO_BIN_EXE_hikae"));
        command.args(arguments).env("HIKAE_LOG", "error");
        command
    }

    pub(crate) fn scan(&self, name: &str) -> Result<()> {
        let home = self.site.text(&format!("{name}-center"));
        self.site.hikae(&["scan", "--home", &home])?;
        Ok(())
    }

    /// A center that serves.
    pub(crate) fn serve(&self, name: &str) -> Result<Killed> {
        let home = self.site.text(&format!("{name}-center"));
        let child = self
            .hikae(End::Center, &["serve", "--home", &home])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let center = Killed(child);
        let begun = Instant::now();
        while !Path::new(&home).join("control.sock").exists() {
            ensure!(
                begun.elapsed() < Duration::from_secs(60),
                "the center does not serve"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        Ok(center)
    }

    /// A sync of the backup; its report.
    pub(crate) fn sync(&self, name: &str) -> Result<Value> {
        let home = self.site.text(&format!("{name}-backup"));
        let output = self
            .hikae(End::Backup, &["sync", "--json", "--home", &home])
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        ensure!(output.status.success(), "sync: {report}");
        ensure!(report["roots_equal"] == true, "the roots differ");
        Ok(report)
    }

    /// A program that serves at the center, once its port answers.
    pub(crate) fn daemon(&self, mut command: Command, port: u16) -> Result<Killed> {
        let mut daemon = Killed(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let begun = Instant::now();
        while !self.listens(port)? {
            let ended = daemon.0.try_wait()?;
            ensure!(ended.is_none(), "a daemon ended: {command:?}");
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "no answer: {command:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    fn listens(&self, port: u16) -> Result<bool> {
        let output = self
            .lab
            .command(End::Center, "cat")
            .args(["/proc/net/tcp", "/proc/net/tcp6"])
            .output()?;
        let port = format!(":{port:04X}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) = (words.next(), words.nth(1));
            local.is_some_and(|local| local.ends_with(&port)) && state == Some("0A")
        }))
    }

    /// Bytes that came out of all links so far.
    pub(crate) fn wire_bytes(&self, links: usize) -> u64 {
        let each = (0..links).map(|link| {
            let (down, up) = self.lab.link(link).counts();
            down.bytes_out + up.bytes_out
        });
        each.sum()
    }

    /// What links bring while `child` works; `at` hears the bytes so far.
    pub(crate) fn watch(
        &self,
        mut child: Child,
        links: usize,
        mut at: impl FnMut(u64),
    ) -> Result<(std::process::Output, Vec<Moment>)> {
        let begun = Instant::now();
        let down = |link: usize| self.lab.link(link).counts().0.bytes_out;
        let mut before: Vec<u64> = (0..links).map(down).collect();
        let first: u64 = before.iter().sum();
        let (mut series, mut last) = (vec![], begun);
        while child.try_wait()?.is_none() {
            std::thread::sleep(SAMPLE);
            let now: Vec<u64> = (0..links).map(down).collect();
            at(now.iter().sum::<u64>() - first);
            let span = last.elapsed().as_secs_f64();
            last = Instant::now();
            let rates = now.iter().zip(&before);
            let rates = rates.map(|(now, before)| (now - before) as f64 / span);
            series.push((begun.elapsed().as_secs_f64(), rates.collect()));
            before = now;
        }
        Ok((child.wait_with_output()?, series))
    }

    pub(crate) fn sync_child(&self, name: &str) -> Result<Child> {
        let home = self.site.text(&format!("{name}-backup"));
        let mut command = self.hikae(End::Backup, &["sync", "--json", "--home", &home]);
        Ok(command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?)
    }
}
