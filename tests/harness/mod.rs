//! What the integration tests share: a center and a backup in a temporary
//! folder, the real binary, and an independent look at folders that uses
//! nothing of the library.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(unused_imports, reason = "each test binary uses its own part")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod cycle;
mod disk;
mod folders;
mod process;
mod python;
mod server;
mod site;
mod unchanged;
mod watch;

pub use cycle::{Act, Chance, Change, Clock, Pair, Part, Side, SyncTime, Work, number};
pub use disk::Disk;
pub use folders::{
    Looker, Seen, assert_same, assert_same_files, assert_whole_files, copy, differences, folders,
    look, memory_folder, rsync_work,
};
pub use process::Process;
pub use python::{must_run, python};
pub use server::{Kind, PASSWORD, Server, Transaction};
pub use site::Site;
pub use unchanged::{assert_unchanged_costs_nothing, settle};
pub use watch::{Opened, Watch};

use std::ffi::OsStr;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The sample storage of the test data, if it lies beside the project.
pub fn samples() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/testdata/ssmix2-samples");
    path.is_dir().then_some(path)
}

/// What a command of the binary came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub json: Value,
    pub stderr: String,
}

impl Ran {
    /// The report of a command that had to succeed.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.code, Some(0), "{}\n{}", self.json, self.stderr);
        self.json
    }

    /// The error's text, of a command that had to fail with `code`.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.json, self.stderr);
        self.json["error"].as_str().unwrap_or_default().to_string()
    }
}

/// The binary under test; `HIKAE_BIN` names another one, e.g. with a safeguard
/// taken away, which a test must notice.
pub fn binary() -> String {
    let other = std::env::var("HIKAE_BIN");
    other.unwrap_or_else(|_| env!("CARGO_BIN_EXE_hikae").into())
}

/// Runs the binary with `--json`.
pub fn hikae<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    let output = Command::new(binary())
        .args(arguments)
        .arg("--json")
        .env_remove("HIKAE_HOME")
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A UDP port that nobody listens on.
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// The path of a record below its volume: a patient id of seven digits or
/// more, and an order number.
pub fn record(patient: &str, order: u64) -> String {
    let (one, two) = (&patient[..3], &patient[3..6]);
    format!(
        "{one}/{two}/{patient}/20250401/OMP-01/{patient}_20250401_OMP-01_{order:015}_20250401120000000_01_1"
    )
}

/// Runs the binary with `--json` through another program, e.g. `setpriv` or
/// `strace` with its options.
pub fn hikae_under(wrapper: &[&str], arguments: &[&str]) -> Ran {
    let binary = binary();
    let all: Vec<&str> = wrapper
        .iter()
        .copied()
        .chain([binary.as_str()])
        .chain(arguments.iter().copied())
        .chain(["--json"])
        .collect();
    let output = Command::new(all[0])
        .args(&all[1..])
        .env_remove("HIKAE_HOME")
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Says loudly that a test shows nothing on this machine, and why. Not
/// captured by the test harness.
pub fn skipped(test: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {why}\n");
}

/// A program of this name can be run.
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// What to run a program under so that modes of files count for it: nothing
/// for an ordinary user; for root, `setpriv` without the right to pass over
/// them. None if that is not there.
pub fn unprivileged() -> Option<&'static [&'static str]> {
    const DROPPED: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    match (is_root(), has_program("setpriv")) {
        (false, _) => Some(&[]),
        (true, true) => Some(&DROPPED),
        (true, false) => None,
    }
}

/// Whether somebody has this UDP port, without touching it: whoever binds a
/// port to find out takes it away from a node that just starts.
pub fn is_port_taken(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/udp").unwrap();
    let port = format!(":{port:04X}");
    sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|local| local.ends_with(&port))
}

/// A UDP port that nobody has, and that the system gives nobody by itself:
/// for a node that is killed and started again on its port.
pub fn lasting_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let offset = std::process::id() as u16 % 1000;
    (first - 2000 + offset..first)
        .find(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port below those that the system gives")
}

/// Epoch and sequence number; zeros are none.
pub type Cursor = (u64, u64);

/// The cursor that a report has.
pub fn cursor(value: &Value) -> Cursor {
    let number = |name: &str| value[name].as_u64().unwrap_or(0);
    (number("epoch"), number("sequence"))
}

/// Bytes that do not compress and differ by seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let seed = seed.to_le_bytes();
    let mut noise = blake3::Hasher::new().update(&seed).finalize_xof();
    noise.fill(&mut bytes);
    bytes
}
