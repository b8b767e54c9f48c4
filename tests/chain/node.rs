//! A site with a backup that listens, and another replica that pulls from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Process, Ran, Site, assert_same, free_port, hikae};

/// The path of a record of volume `0410000001/STD01`.
pub(crate) fn path(patient: u64, order: u64) -> String {
    let patient = format!("{patient:07}");
    format!(
        "0410000001/STD01/{}",
        crate::harness::record(&patient, order)
    )
}

/// Center, backup, laptop; each knows the next.
pub(crate) struct Chain {
    pub(crate) site: Site,
    pub(crate) port: u16,
    pub(crate) laptop_id: String,
}

impl Chain {
    /// A center with a few records of a few patients, and two replicas that
    /// have nothing yet.
    pub(crate) fn new() -> Chain {
        let site = Site::empty();
        site.configure(false);
        for patient in 1..=6 {
            for order in 1..=3 {
                let path = path(patient, order);
                site.put(&path, path.as_bytes());
            }
        }
        let home = site.text("laptop");
        let made = hikae(["init", "--home", &home, "--role", "laptop"]).ok();
        let chain = Chain {
            laptop_id: made["node_id"].as_str().unwrap().to_string(),
            port: free_port(),
            site,
        };
        let id = &chain.laptop_id;
        chain.add(
            "backup",
            &format!(
                "[[listen]]\nlink = \"a\"\naddr = \"127.0.0.1:{}\"\n[[peer]]\nname = \"laptop\"\nid = \"{id}\"\n",
                chain.port
            ),
        );
        let peer = format!("[[peer]]\nname = \"laptop\"\nid = \"{id}\"\n");
        chain.add("center", &peer);
        chain.laptop_pulls_from(&["backup"]);
        let passphrase = chain.site.path("laptop/passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        chain
    }

    /// Adds lines to a node's configuration.
    pub(crate) fn add(&self, home: &str, lines: &str) {
        let file = self.site.path(home).join("hikae.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text + lines).unwrap();
    }

    /// Writes the laptop's configuration with these sources.
    pub(crate) fn laptop_pulls_from(&self, sources: &[&str]) {
        let signer = &self.site.center_id;
        let mut text = format!(
            "role = \"laptop\"\nseal = true\npassphrase_file = \"passphrase\"\ntree = \"{}\"\n",
            self.site.text("laptop-tree")
        );
        for source in sources {
            let (id, port) = match *source {
                "center" => (signer, self.site.port),
                _ => (&self.site.backup_id, self.port),
            };
            text += &format!(
                "[[source]]\nid = \"{id}\"\ntrust = \"{signer}\"\n[[source.link]]\nname = \"a\"\n\
                 remote = \"127.0.0.1:{port}\"\n"
            );
        }
        fs::write(self.site.path("laptop/hikae.toml"), text).unwrap();
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.site.path("laptop-tree")
    }

    /// Starts `serve`, or another command that serves, at the backup.
    pub(crate) fn serve_backup(&self, arguments: &[&str]) -> Process {
        let mut process = self.site.spawn_logged("backup", arguments);
        process.wait_for_port(self.port);
        process
    }

    pub(crate) fn laptop(&self, arguments: &[&str]) -> Ran {
        let home = self.site.text("laptop");
        let all = arguments.iter().copied().chain(["--home", home.as_str()]);
        hikae(all.collect::<Vec<_>>())
    }

    /// The center looks at everything, and the backup pulls from it.
    pub(crate) fn backup_up(&self) -> Value {
        self.site.center(&["scan", "--walk"]).ok();
        self.site.sync().ok()
    }

    /// The laptop pulls from a backup that serves meanwhile.
    pub(crate) fn laptop_up(&self) -> Value {
        let backup = self.serve_backup(&["serve"]);
        let report = self.laptop(&["sync"]);
        backup.end();
        report.ok()
    }

    /// The laptop shows the center's storage, and has its cursor and root.
    #[track_caller]
    pub(crate) fn assert_laptop_equal(&self) {
        assert_same(&self.site.volumes(), &self.tree());
        let (center, laptop) = (self.site.status("center"), self.laptop(&["status"]).ok());
        for field in ["epoch", "sequence", "root"] {
            assert_eq!(
                center["snapshot"][field], laptop["snapshot"][field],
                "{field}"
            );
        }
        assert_eq!(laptop["snapshot"]["signer"], self.site.center_id.as_str());
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn remove(site: &Site, path: &str) {
    fs::remove_file(site.volumes().join(path)).unwrap();
}

pub(crate) fn rename(site: &Site, from: &str, to: &str) {
    let root: &Path = &site.volumes();
    fs::rename(root.join(from), root.join(to)).unwrap();
}
