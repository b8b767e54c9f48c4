//! The rivals: what else brings a storage to another machine. All come from
//! Debian's packages. Each keeps a tree of its own at the backup.
//!
//! Not here: `syncthing` watches and never says that it is done, `restic` makes
//! a repository and no tree.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::lab::End;
use crate::results::Run;
use crate::site::Killed;
use crate::stage::Stage;

/// Directories of a day that rsync copies one by one, to extrapolate.
const SAMPLED: usize = 500;
/// But not for longer than this.
const SAMPLING: Duration = Duration::from_secs(40);
/// A rival that takes longer has failed.
const PATIENCE: &str = "300";
/// One whose link is gone has, when it did not end by its own timeout.
const PATIENCE_WITHOUT_LINK: &str = "60";

const RSYNC: u16 = 8730;
const SSH: u16 = 2222;
const SFTP: u16 = 2022;
const UNISON: u16 = 7000;
const TAR: u16 = 9000;

/// Who brings the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    Hikae,
    Rsync,
    RsyncPlain,
    RsyncPerDirectory,
    RsyncFilesFrom,
    RsyncSsh,
    Tar,
    Rclone,
    Unison,
}

impl Rival {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rival::Hikae => "hikae",
            Rival::Rsync => "rsync -az --delete",
            Rival::RsyncPlain => "rsync -a --delete",
            Rival::RsyncPerDirectory => "rsync for each directory (extrapolated)",
            Rival::RsyncFilesFrom => "rsync -rz --delete --files-from",
            Rival::RsyncSsh => "rsync -az --delete by ssh",
            Rival::Tar => "tar, zstd -3, tar",
            Rival::Rclone => "rclone sync (sftp)",
            Rival::Unison => "unison",
        }
    }

    /// The folder with its tree; rsync's ways share one but the sampled.
    fn folder(self) -> &'static str {
        match self {
            Rival::Hikae => "hikae-tree",
            Rival::Rsync => "rsync",
            Rival::RsyncPlain => "rsync-plain",
            Rival::RsyncFilesFrom => "rsync-files",
            Rival::RsyncPerDirectory => "rsync-each",
            Rival::RsyncSsh => "rsync-ssh",
            Rival::Tar => "tar",
            Rival::Rclone => "rclone",
            Rival::Unison => "unison",
        }
    }

    /// Debian's program; none is needed for hikae.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let needs: &[&'static str] = match self {
            Rival::Hikae => &[],
            Rival::Rsync | Rival::RsyncPlain | Rival::RsyncPerDirectory | Rival::RsyncFilesFrom => {
                &["rsync"]
            }
            Rival::RsyncSsh => &["rsync", "ssh", "sshd"],
            Rival::Tar => &["tar", "zstd"],
            Rival::Rclone => &["rclone"],
            Rival::Unison => &["unison"],
        };
        let mut needs = needs.iter().copied();
        needs.find(|program| {
            let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
            !folders
                .iter()
                .any(|folder| std::path::Path::new(folder).join(program).exists())
        })
    }
}

/// What a day changed: directories below the volumes.
pub(crate) type Directories = Vec<String>;

/// The other side of all rivals, serving.
pub(crate) struct Servers {
    _all: Vec<Killed>,
}

impl Stage {
    fn text(&self, name: &str) -> String {
        self.site.text(name)
    }

    fn center_address(&self) -> String {
        self.lab.address(0, End::Center)
    }

    /// Starts what these rivals talk to at the center.
    pub(crate) fn serve_rivals(&self, rivals: &[Rival]) -> Result<Servers> {
        let mut all = vec![];
        let has = |some: &[Rival]| rivals.iter().any(|rival| some.contains(rival));
        if has(&[
            Rival::Rsync,
            Rival::RsyncPlain,
            Rival::RsyncPerDirectory,
            Rival::RsyncFilesFrom,
        ]) {
            all.push(self.daemon(self.rsync_daemon()?, RSYNC)?);
        }
        if has(&[Rival::RsyncSsh]) {
            all.push(self.daemon(self.ssh_daemon()?, SSH)?);
        }
        if has(&[Rival::Rclone]) {
            let mut command = self.lab.command(End::Center, "rclone");
            let addr = format!("{}:{SFTP}", self.center_address());
            command.args(["serve", "sftp", "--no-auth", "--read-only", "--addr", &addr]);
            command.arg(self.text("storage/volumes"));
            all.push(self.daemon(command, SFTP)?);
        }
        if has(&[Rival::Unison]) {
            let mut command = self.lab.command(End::Center, "unison");
            command.args(["-socket", &UNISON.to_string()]);
            command.env("UNISON", self.text("unison-center"));
            fs::create_dir_all(self.text("unison-center"))?;
            all.push(self.daemon(command, UNISON)?);
        }
        if has(&[Rival::Tar]) {
            let this = std::env::current_exe()?.display().to_string();
            let mut command = self.lab.command(End::Center, &this);
            command.args([
                TAR_SERVE,
                &self.center_address(),
                &self.text("storage/volumes"),
            ]);
            all.push(self.daemon(command, TAR)?);
        }
        Ok(Servers { _all: all })
    }

    fn rsync_daemon(&self) -> Result<Command> {
        let config = self.site.path("rsyncd.conf");
        let volumes = self.text("storage/volumes");
        let text = format!(
            "use chroot = no\nuid = root\ngid = root\n[volumes]\npath = {volumes}\nread only = yes\n"
        );
        fs::write(&config, text)?;
        let mut command = self.lab.command(End::Center, "rsync");
        command.args(["--daemon", "--no-detach"]);
        command.arg(format!("--port={RSYNC}"));
        command.arg(format!("--config={}", config.display()));
        Ok(command)
    }

    fn ssh_daemon(&self) -> Result<Command> {
        fs::create_dir_all("/run/sshd")?;
        for key in ["ssh-host", "ssh-user"] {
            let path = self.text(key);
            if !fs::exists(&path)? {
                let options = ["-q", "-t", "ed25519", "-N", "", "-f", &path];
                let made = Command::new("ssh-keygen").args(options).status()?;
                ensure!(made.success(), "ssh-keygen");
            }
        }
        let config = self.site.path("sshd.conf");
        let text = format!(
            "Port {SSH}\nHostKey {}\nAuthorizedKeysFile {}.pub\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nPidFile none\n",
            self.text("ssh-host"),
            self.text("ssh-user")
        );
        fs::write(&config, text)?;
        let mut command = self.lab.command(End::Center, "/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(config);
        Ok(command)
    }

    fn at_backup(&self, patience: &str) -> Command {
        let mut command = self.lab.command(End::Backup, "timeout");
        command.args(["--kill-after=5", patience]);
        command
    }

    fn rsync(&self, options: &[&str], to: &str) -> Command {
        self.rsync_within(PATIENCE, options, to)
    }

    fn rsync_within(&self, patience: &str, options: &[&str], to: &str) -> Command {
        let mut command = self.at_backup(patience);
        let from = format!("rsync://{}:{RSYNC}/volumes/", self.center_address());
        command
            .arg("rsync")
            .args(options)
            .arg(from)
            .arg(format!("{to}/"));
        command
    }

    /// Brings the storage as it is to the rival's tree, or to a new folder.
    pub(crate) fn bring(
        &self,
        rival: Rival,
        folder: Option<&str>,
        day: &Directories,
    ) -> Result<Run> {
        let to = self.text(folder.unwrap_or(rival.folder()));
        fs::create_dir_all(&to)?;
        if rival == Rival::RsyncPerDirectory {
            return self.one_by_one(&to, day);
        }
        let command = match rival {
            Rival::Rsync => self.rsync(&["-az", "--delete"], &to),
            Rival::RsyncPlain => self.rsync(&["-a", "--delete"], &to),
            Rival::RsyncFilesFrom => {
                let list = self.site.path("directories");
                fs::write(&list, day.join("\n"))?;
                let from = format!("--files-from={}", list.display());
                self.rsync(&["-az", "-r", "--delete", &from], &to)
            }
            Rival::RsyncSsh => {
                let mut command = self.at_backup(PATIENCE);
                let shell = format!(
                    "ssh -p {SSH} -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
                    self.text("ssh-user")
                );
                let from = format!(
                    "{}:{}/",
                    self.center_address(),
                    self.text("storage/volumes")
                );
                let options = ["rsync", "-az", "--delete", "-e", &shell, &from];
                command.args(options).arg(format!("{to}/"));
                command
            }
            Rival::Tar => {
                let this = std::env::current_exe()?.display().to_string();
                let mut command = self.at_backup(PATIENCE);
                command.args([&this, TAR_FETCH, &self.center_address(), &to]);
                command
            }
            Rival::Rclone => {
                let mut command = self.at_backup(PATIENCE);
                let from = format!(":sftp,host={},port={SFTP},user=x:/", self.center_address());
                command.args([
                    "rclone",
                    "sync",
                    "--transfers=16",
                    "--checkers=16",
                    &from,
                    &to,
                ]);
                command.env("RCLONE_CONFIG", "/dev/null");
                command
            }
            Rival::Unison => {
                let root = format!(
                    "socket://{}:{UNISON}/{}",
                    self.center_address(),
                    self.text("storage/volumes")
                );
                let mut command = self.at_backup(PATIENCE);
                command.args(["unison", &to, &root, "-force", &root]);
                command.args([
                    "-batch",
                    "-auto",
                    "-times",
                    "-confirmbigdel=false",
                    "-silent",
                ]);
                command.env("UNISON", self.text("unison-backup"));
                command
            }
            Rival::Hikae | Rival::RsyncPerDirectory => unreachable!("brought elsewhere"),
        };
        self.timed(command)
    }

    /// rsync as it is told to give up after a silence.
    pub(crate) fn bring_or_break(&self, to: &str) -> Result<Run> {
        fs::create_dir_all(to)?;
        let options = ["-az", "--timeout=10"];
        self.timed(self.rsync_within(PATIENCE_WITHOUT_LINK, &options, to))
    }

    fn timed(&self, mut command: Command) -> Result<Run> {
        let wire = self.wire_bytes(1);
        let begun = Instant::now();
        let output = command.output()?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Run {
            seconds,
            wire_bytes: self.wire_bytes(1) - wire,
            note: why(&output),
            failed: !output.status.success(),
        })
    }

    /// One rsync for each directory, of a sample of them.
    fn one_by_one(&self, to: &str, day: &Directories) -> Result<Run> {
        let step = (day.len() / SAMPLED).max(1);
        let (begun, wire) = (Instant::now(), self.wire_bytes(1));
        let mut each = vec![];
        for directory in day.iter().step_by(step) {
            let one = self.site.path("one");
            fs::write(&one, directory)?;
            let from = format!("--files-from={}", one.display());
            let began = Instant::now();
            let output = self.rsync(&["-az", "-r", "--delete", &from], to).output()?;
            ensure!(output.status.success(), "rsync: {:?}", why(&output));
            each.push(began.elapsed().as_secs_f64());
            if begun.elapsed() > SAMPLING {
                break;
            }
        }
        let sampled = each.len().max(1);
        let sum: f64 = each.iter().sum();
        let (median, least, most) = crate::site::spread(each);
        let share = day.len() as f64 / sampled as f64;
        Ok(Run {
            seconds: sum * share,
            wire_bytes: ((self.wire_bytes(1) - wire) as f64 * share) as u64,
            note: Some(format!(
                "{sampled} of {} directories, each {median:.3} s ({least:.3}-{most:.3})",
                day.len()
            )),
            failed: false,
        })
    }
}

fn why(output: &Output) -> Option<String> {
    if output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    Some(format!("{}: {}", output.status, line.unwrap_or_default()))
}

const TAR_SERVE: &str = "race-tar-serve";
const TAR_FETCH: &str = "race-tar-fetch";

/// Does what the arguments say, if they are for the ends of a tar pipe.
pub(crate) fn entered() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, address, folder] = arguments.as_slice() else {
        return Ok(false);
    };
    match what.as_str() {
        TAR_SERVE => {
            let listener = TcpListener::bind((address.as_str(), TAR))?;
            for stream in listener.incoming() {
                let out = Stdio::from(OwnedFd::from(stream?));
                let script = "tar -C \"$0\" -cf - . | zstd -3 -q -c";
                Command::new("sh")
                    .args(["-c", script, folder])
                    .stdout(out)
                    .status()?;
            }
            Ok(true)
        }
        TAR_FETCH => {
            let stream = TcpStream::connect((address.as_str(), TAR)).context("tar")?;
            let input = Stdio::from(OwnedFd::from(stream));
            let script = "set -o pipefail; zstd -d -q -c | tar -C \"$0\" -xf -";
            let done = Command::new("bash")
                .args(["-c", script, folder])
                .stdin(input)
                .status()?;
            ensure!(done.success(), "tar: {done}");
            Ok(true)
        }
        _ => Ok(false),
    }
}
