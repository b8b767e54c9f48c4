//! A disk whose power can be cut: ext4 in a file, on a loop device.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Process;

/// Bytes of a disk; the file is sparse.
const IMAGE_BYTES: u64 = 512 << 20;
/// Umounting waits this long for the last user.
const LAST_USER: Duration = Duration::from_secs(10);

/// Shuts file systems down: each line has pairs of a mount and a flag of
/// EXT4_IOC_SHUTDOWN, `_IOR('X', 125, u32)`, with tabs between.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
for line in sys.stdin:
    words = line.rstrip('\\n').split('\\t')
    cuts = [(os.open(mount, os.O_RDONLY), int(flag)) for mount, flag in zip(words[::2], words[1::2])]
    for mount, flag in cuts:
        fcntl.ioctl(mount, 0x8004587d, struct.pack('I', flag))
    for mount, flag in cuts:
        os.close(mount)
    print('done', flush=True)
";

/// Who cuts: one process for all cuts, for its start takes longer than they
/// do.
pub struct Power {
    process: Process,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Power {
    pub fn new() -> Power {
        let mut child = Command::new("python3")
            .args(["-c", SHUTDOWN])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Power {
            asks: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            process: Process(child),
        }
    }

    /// The power of these file systems goes; they still have to be umounted.
    pub fn cut(&mut self, cuts: &[(&Disk, Flush)]) {
        let words = cuts
            .iter()
            .map(|(disk, flush)| format!("{}\t{}", disk.mount.display(), *flush as u32));
        let words: Vec<String> = words.collect();
        writeln!(self.asks, "{}", words.join("\t")).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "running: {}", self.process.is_running());
    }
}

/// What still reaches the disk at a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flush {
    /// Everything.
    All = 0,
    /// The journal, without data that was not written yet.
    Journal = 1,
    /// Nothing.
    Nothing = 2,
}

/// One of these is drawn for each file system.
pub const FLUSHES: [Flush; 4] = [Flush::All, Flush::Journal, Flush::Nothing, Flush::Nothing];

/// A file system in a file.
pub struct Disk {
    image: PathBuf,
    pub mount: PathBuf,
    is_mounted: bool,
}

impl Disk {
    pub fn new(folder: &Path, name: &str) -> Disk {
        let mut disk = Disk {
            image: folder.join(format!("{name}.img")),
            mount: folder.join(name),
            is_mounted: false,
        };
        fs::create_dir_all(&disk.mount).unwrap();
        File::create(&disk.image)
            .unwrap()
            .set_len(IMAGE_BYTES)
            .unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&disk.image));
        disk.mount();
        disk
    }

    pub fn mount(&mut self) {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,noauto_da_alloc"])
            .arg(&self.image)
            .arg(&self.mount));
        self.is_mounted = true;
    }

    /// The loop device goes with the mount.
    pub fn umount(&mut self) {
        let begun = Instant::now();
        while !self.umounts(&[]) {
            assert!(begun.elapsed() < LAST_USER, "{:?} is busy", self.mount);
            std::thread::sleep(Duration::from_millis(2));
        }
        self.is_mounted = false;
    }

    fn umounts(&self, options: &[&str]) -> bool {
        let done = Command::new("umount")
            .args(options)
            .arg(&self.mount)
            .output();
        done.is_ok_and(|done| done.status.success())
    }

    /// What was written so far stays.
    pub fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.mount).unwrap()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.is_mounted && !self.umounts(&[]) {
            if begun.elapsed() > LAST_USER {
                if !self.umounts(&["-l"]) {
                    eprintln!("STILL MOUNTED: {}", self.mount.display());
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}
