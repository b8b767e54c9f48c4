//! The laboratory: two network namespaces on this machine, joined by emulated
//! links. Nothing leaves them.
//!
//! A link is a pair of TUN devices, one in each namespace, between which this
//! process moves packets: many kernels lack netem, and this is the same on all
//! of them. It needs root. What it can carry depends on the machine: `ceiling`
//! says what plain UDP gets through.

#![allow(dead_code, reason = "each user takes its own part")]
#![allow(unreachable_pub, reason = "a benchmark has no outside")]
#![allow(missing_docs, reason = "names say it")]

pub mod blast;
pub mod pipe;

use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pipe::{Conditions, Counts, Pipe};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Bytes of a packet, at most.
const MTU: u16 = 1500;
/// Longer sleeps than this end too late.
const NAP: Duration = Duration::from_millis(50);

/// Whether a laboratory can be made here; else why not.
pub fn possible() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the laboratory makes network namespaces and TUN devices: it needs root"
    );
    let ip = Command::new("ip").arg("-V").output();
    ip.context("the laboratory needs `ip` (Debian: apt-get install iproute2)")?;
    ensure!(
        std::path::Path::new("/dev/net/tun").exists(),
        "the laboratory needs /dev/net/tun: this kernel has no TUN devices"
    );
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "ip {}: {error}",
        arguments.join(" ")
    );
    Ok(())
}

/// Which end of the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Center,
    Backup,
}

/// Two namespaces and the links between them.
pub struct Lab {
    name: String,
    links: Vec<Link>,
}

impl Lab {
    /// With one link for each pair of conditions: from the center, to it.
    pub fn new(links: &[(Conditions, Conditions)]) -> Result<Lab> {
        possible()?;
        let mut lab = Lab {
            name: format!("hikae-{}-{}", std::process::id(), next_number()),
            links: vec![],
        };
        for end in [End::Center, End::Backup] {
            let namespace = lab.namespace(end);
            ip(&["netns", "add", &namespace])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        for (at, conditions) in links.iter().enumerate() {
            let link = Link::new(&lab, at, *conditions)?;
            lab.links.push(link);
        }
        Ok(lab)
    }

    pub fn namespace(&self, end: End) -> String {
        match end {
            End::Center => format!("{}-c", self.name),
            End::Backup => format!("{}-b", self.name),
        }
    }

    /// The address of one end of a link.
    pub fn address(&self, link: usize, end: End) -> String {
        match end {
            End::Center => format!("10.77.{link}.1"),
            End::Backup => format!("10.77.{link}.2"),
        }
    }

    pub fn link(&self, at: usize) -> &Link {
        &self.links[at]
    }

    /// A program at one end.
    pub fn command(&self, end: End, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(end), program]);
        command
    }

    /// What plain UDP gets through a link to the backup, bits per second. The
    /// program that calls this must hand its arguments to `blast::entered`.
    pub fn ceiling(&self, link: usize) -> Result<f64> {
        let this = std::env::current_exe()?.display().to_string();
        let receiver = self
            .command(End::Backup, &this)
            .args([blast::RECEIVE, &self.address(link, End::Backup)])
            .stdout(Stdio::piped())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(200));
        let rate = self.links[link].conditions().0.rate.to_string();
        let sent = self
            .command(End::Center, &this)
            .args([blast::SEND, &self.address(link, End::Backup), &rate])
            .status()?;
        ensure!(sent.success(), "nothing could be sent");
        let output = receiver.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim()
            .parse()
            .with_context(|| format!("ceiling: {text:?}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for (at, link) in self.links.drain(..).enumerate() {
            for end in [End::Center, End::Backup] {
                let device = Link::device(at);
                let namespace = match end {
                    End::Center => format!("{}-c", self.name),
                    End::Backup => format!("{}-b", self.name),
                };
                let _ = ip(&["-n", &namespace, "link", "del", &device]);
            }
            drop(link);
        }
        for end in [End::Center, End::Backup] {
            let _ = ip(&["netns", "del", &self.namespace(end)]);
        }
    }
}

fn next_number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One emulated link.
pub struct Link {
    down: Arc<Direction>,
    up: Arc<Direction>,
    threads: Vec<JoinHandle<()>>,
}

struct Direction {
    state: Mutex<(Pipe, Conditions)>,
    pushed: Condvar,
    ended: std::sync::atomic::AtomicBool,
    begun: Instant,
}

impl Direction {
    fn new(seed: u64, conditions: Conditions) -> Arc<Direction> {
        Arc::new(Direction {
            state: Mutex::new((Pipe::new(seed), conditions)),
            pushed: Condvar::new(),
            ended: false.into(),
            begun: Instant::now(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, (Pipe, Conditions)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ended(&self) -> bool {
        self.ended.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Reads packets until the device is gone.
    fn take_in(&self, from: &SyncDevice) {
        let mut packet = [0; 2 * MTU as usize];
        while let Ok(bytes) = from.recv(&mut packet) {
            let mut state = self.state();
            let (pipe, conditions) = &mut *state;
            pipe.push(self.begun.elapsed(), conditions, &packet[..bytes]);
            drop(state);
            self.pushed.notify_one();
        }
        self.ended.store(true, std::sync::atomic::Ordering::Relaxed);
        self.pushed.notify_one();
    }

    fn give_out(&self, to: &SyncDevice) {
        let mut out = vec![];
        while !self.is_ended() {
            let mut state = self.state();
            let now = self.begun.elapsed();
            let (pipe, conditions) = &mut *state;
            while let Some(packet) = pipe.pop(now, conditions) {
                out.push(packet);
            }
            if out.is_empty() {
                let due = pipe.next_due();
                let nap = due.map_or(NAP, |due| due.saturating_sub(now)).min(NAP);
                drop(self.pushed.wait_timeout(state, nap));
                continue;
            }
            drop(state);
            for packet in out.drain(..) {
                // A full device drops, as a network card does.
                let _ = to.send(&packet);
            }
        }
    }
}

impl Link {
    fn device(at: usize) -> String {
        format!("hk{at}")
    }

    fn new(lab: &Lab, at: usize, (down, up): (Conditions, Conditions)) -> Result<Link> {
        let device = |end: End| -> Result<Arc<SyncDevice>> {
            let made = format!("hk{}x{at}{}", std::process::id() % 100_000, end as u8);
            let tun = DeviceBuilder::new()
                .name(made.clone())
                .layer(Layer::L3)
                .build_sync()
                .with_context(|| format!("TUN device {made}"))?;
            let (namespace, name) = (lab.namespace(end), Link::device(at));
            let address = format!("{}/24", lab.address(at, end));
            let mtu = MTU.to_string();
            ip(&["link", "set", &made, "netns", &namespace])?;
            let inside = |arguments: &[&str]| ip(&[&["-n", &namespace], arguments].concat());
            inside(&["link", "set", &made, "name", &name])?;
            inside(&["addr", "add", &address, "dev", &name])?;
            inside(&[
                "link",
                "set",
                &name,
                "mtu",
                &mtu,
                "txqueuelen",
                "2000",
                "up",
            ])?;
            Ok(Arc::new(tun))
        };
        let (center, backup) = (device(End::Center)?, device(End::Backup)?);
        let seed = at as u64 * 2;
        let (down, up) = (Direction::new(seed, down), Direction::new(seed + 1, up));
        let mut threads = vec![];
        for (direction, from, to) in [(&down, &center, &backup), (&up, &backup, &center)] {
            let (reading, from) = (direction.clone(), from.clone());
            threads.push(std::thread::spawn(move || reading.take_in(&from)));
            let (writing, to) = (direction.clone(), to.clone());
            threads.push(std::thread::spawn(move || writing.give_out(&to)));
        }
        Ok(Link { down, up, threads })
    }

    /// From the center, to it.
    pub fn conditions(&self) -> (Conditions, Conditions) {
        (self.down.state().1, self.up.state().1)
    }

    /// Changes it while it works.
    pub fn set(&self, change: impl Fn(&mut Conditions)) {
        change(&mut self.down.state().1);
        change(&mut self.up.state().1);
    }

    /// Changes one direction: from the center.
    pub fn set_down(&self, change: impl Fn(&mut Conditions)) {
        change(&mut self.down.state().1);
    }

    /// To the center.
    pub fn set_up(&self, change: impl Fn(&mut Conditions)) {
        change(&mut self.up.state().1);
    }

    /// From the center, to it.
    pub fn counts(&self) -> (Counts, Counts) {
        (self.down.state().0.counts, self.up.state().0.counts)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
