//! A center and a backup in a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::folders::{LARGE_RECORDS, large_folder};
use super::{
    Process, Ran, assert_same, binary, folders, free_port, hikae, hikae_under, memory_folder,
    rsync_work,
};

/// A guard that lets everything pass: most tests change records as no gateway
/// does.
const UNGUARDED: &str = "[guard]\nshare = 1.0\nrecords = 1000000000\nin_place = 1000000000\n";

/// A center and a backup that know each other.
pub struct Site {
    folder: tempfile::TempDir,
    pub port: u16,
    pub center_id: String,
    pub backup_id: String,
}

impl Site {
    /// A generated center with this many records.
    pub fn generated(facilities: u64, patients: u64, records: u64) -> Site {
        let folder = match records < LARGE_RECORDS {
            true => tempfile::tempdir().unwrap(),
            false => large_folder(),
        };
        Site::generated_in(folder, facilities, patients, records)
    }

    /// The same in memory, where there is such a folder: for what starts many
    /// processes and needs no disk.
    pub fn generated_in_memory(facilities: u64, patients: u64, records: u64) -> Site {
        Site::generated_in(memory_folder(), facilities, patients, records)
    }

    fn generated_in(
        folder: tempfile::TempDir,
        facilities: u64,
        patients: u64,
        records: u64,
    ) -> Site {
        let site = Site::empty_in(folder);
        let [facilities, patients, records] =
            [facilities, patients, records].map(|count| count.to_string());
        let made = hikae([
            "gen",
            "--out",
            site.text("storage").as_str(),
            "--facilities",
            &facilities,
            "--patients",
            &patients,
            "--records",
            &records,
        ]);
        made.ok();
        site
    }

    /// A center whose storage is made by the test: `storage/volumes` and, if
    /// the test makes it, `storage/index.db`.
    pub fn empty() -> Site {
        Site::empty_in(tempfile::tempdir().unwrap())
    }

    fn empty_in(folder: tempfile::TempDir) -> Site {
        let text = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        let id = |home: &str, role: &str| {
            let made = hikae(["init", "--home", text(home).as_str(), "--role", role]).ok();
            made["node_id"].as_str().unwrap().to_string()
        };
        let (center_id, backup_id) = (id("center", "center"), id("backup", "backup"));
        let site = Site {
            port: free_port(),
            center_id,
            backup_id,
            folder,
        };
        site.configure(true);
        site
    }

    /// Writes both configurations; without `index` the center has no INDEX DB.
    pub fn configure(&self, index: bool) {
        let (storage, port) = (self.text("storage"), self.port);
        let index_db = match index {
            true => format!("[index_db]\nurl = \"sqlite://{storage}/index.db\"\n"),
            false => String::new(),
        };
        let center = format!(
            "role = \"center\"\n[[listen]]\nlink = \"loopback\"\naddr = \"127.0.0.1:{port}\"\n{index_db}\
             [volumes]\ndiscover = \"{storage}/volumes\"\n[[peer]]\nname = \"backup\"\nid = \"{}\"\n",
            self.backup_id
        );
        let backup = format!(
            "role = \"backup\"\ntree = \"{}\"\n{UNGUARDED}[retention]\nkeep = \"1s\"\n[source]\npatience = \"8s\"\nid = \"{}\"\n[[source.link]]\nname = \"loopback\"\n\
             remote = \"127.0.0.1:{port}\"\n",
            self.text("tree"),
            self.center_id
        );
        fs::write(self.path("center/hikae.toml"), center).unwrap();
        fs::write(self.path("backup/hikae.toml"), backup).unwrap();
    }

    /// Gives the backup the guard that it has by default.
    pub fn guard(&self) {
        let path = self.path("backup/hikae.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(UNGUARDED));
        fs::write(&path, text.replace(UNGUARDED, "")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// The center's volumes.
    pub fn volumes(&self) -> PathBuf {
        self.path("storage/volumes")
    }

    /// The backup's published tree.
    pub fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    /// Runs a command at the center.
    pub fn center(&self, arguments: &[&str]) -> Ran {
        self.at("center", arguments)
    }

    /// Runs a command at the backup.
    pub fn backup(&self, arguments: &[&str]) -> Ran {
        self.at("backup", arguments)
    }

    fn at(&self, home: &str, arguments: &[&str]) -> Ran {
        let home = self.text(home);
        let all = arguments.iter().copied().chain(["--home", home.as_str()]);
        hikae(all.collect::<Vec<_>>())
    }

    /// One day of changes; gives its report.
    pub fn day(&self, changes: u64) -> Value {
        let storage = self.text("storage");
        hikae([
            "gen",
            "day",
            "--out",
            &storage,
            "--changes",
            &changes.to_string(),
        ])
        .ok()
    }

    /// Starts `serve` at the center; ready when this returns.
    pub fn serve(&self) -> Process {
        let mut process = self.spawn("center", &["serve"]);
        process.wait_for_port(self.port);
        process
    }

    /// Starts a command in the background.
    pub fn spawn(&self, home: &str, arguments: &[&str]) -> Process {
        let child = Command::new(binary())
            .args(arguments)
            .args(["--home", self.text(home).as_str()])
            .env_remove("HIKAE_HOME")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    /// The center's volumes and the backup's tree are the same.
    #[track_caller]
    pub fn assert_equal(&self) {
        assert_same(&self.volumes(), &self.tree());
    }
}

impl Site {
    /// Writes a file of the center's storage: facility, label, and down.
    pub fn put(&self, path: &str, content: &[u8]) {
        let path = self.volumes().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs a command at the center through another program.
    pub fn center_under(&self, wrapper: &[&str], arguments: &[&str]) -> Ran {
        let home = self.text("center");
        hikae_under(wrapper, &[arguments, &["--home", home.as_str()]].concat())
    }

    /// Starts `serve` at the center through another program that becomes it;
    /// ready when this returns.
    pub fn serve_under(&self, wrapper: &[&str]) -> Process {
        let Some((program, options)) = wrapper.split_first() else {
            return self.serve();
        };
        let child = Command::new(program)
            .args(options)
            .arg(binary())
            .args(["serve", "--home", self.text("center").as_str()])
            .env_remove("HIKAE_HOME")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        process.wait_for_port(self.port);
        process
    }

    /// One sync of the backup from a center that serves meanwhile.
    pub fn sync(&self) -> Ran {
        let center = self.serve();
        let ran = self.backup(&["sync"]);
        center.end();
        ran
    }
}

/// How long after its last change a file is no longer looked at again: DESIGN
/// §3, and a little.
const SETTLE: Duration = Duration::from_millis(2100);

impl Site {
    /// The status of `center` or `backup`.
    #[track_caller]
    pub fn status(&self, home: &str) -> Value {
        self.at(home, &["status"]).ok()
    }

    /// What the serving center's last refresh did.
    #[track_caller]
    pub fn last_refresh(&self) -> Value {
        let status = self.status("center");
        assert!(!status["last_refresh"].is_null(), "no refresh yet");
        status["last_refresh"].clone()
    }

    /// Nothing was changed for a while, and a refresh at the center looked
    /// again at what had been changed just before an earlier one: from here
    /// on, a refresh that finds nothing looks at nothing.
    #[track_caller]
    pub fn settle(&self) {
        std::thread::sleep(SETTLE);
        let report = self.center(&["scan"]).ok();
        assert_eq!(report["directories_again"], 0, "{report}");
    }

    /// Rows of a query on the center's INDEX DB, by the command line tool of
    /// SQLite.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let output = Command::new("sqlite3")
            .args(["-readonly", "-separator", "\t"])
            .args([self.text("storage/index.db").as_str(), sql])
            .output()
            .expect("sqlite3 runs (Debian: apt-get install sqlite3)");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sqlite3: {error}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.split('\t').map(str::to_string).collect())
            .collect()
    }

    /// Starts a command in the background; what it says goes to the end of
    /// the file `<home>.log`.
    pub fn spawn_logged(&self, home: &str, arguments: &[&str]) -> Process {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{home}.log")))
            .unwrap();
        let child = Command::new(binary())
            .args(arguments)
            .args(["--home", self.text(home).as_str()])
            .env_remove("HIKAE_HOME")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    /// The end of what commands in the background said.
    pub fn log(&self, home: &str) -> String {
        let text = fs::read(self.path(&format!("{home}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// `rsync` has nothing to do from the center's volumes to the backup's
    /// tree but to make or remove directories without files.
    #[track_caller]
    pub fn assert_rsync_idle(&self) {
        let found = rsync_work(&self.volumes(), &self.tree());
        assert!(found.is_empty(), "rsync would do: {found:#?}");
    }
}

impl Site {
    /// The folders of the center's volumes, registries left away.
    pub fn record_folders(&self) -> Vec<PathBuf> {
        let root = self.volumes();
        let is_record = |folder: &PathBuf| {
            let path = folder.strip_prefix(&root).unwrap();
            let label = path.components().nth(1);
            label.is_some_and(|label| label.as_os_str() != "REG01")
        };
        folders(&root).into_iter().filter(is_record).collect()
    }
}

impl Drop for Site {
    /// With `HIKAE_KEEP` in the environment a failed test leaves its folder.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("HIKAE_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.folder.path().display());
        }
    }
}
