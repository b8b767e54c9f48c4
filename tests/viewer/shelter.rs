//! A center with three facilities, and a sealed laptop that shows what it
//! pulled.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::harness::{Process, Site, binary, hikae};

pub const LAPTOP: &str = "laptop";
pub const FACILITIES: [&str; 3] = ["0410000001", "0410000002", "0410000003"];

/// A laptop and its viewer.
pub struct Shelter {
    pub site: Site,
    viewer: Option<Process>,
    pub url: String,
}

impl Shelter {
    /// What `plant` puts into the center's storage is pulled with the rest.
    pub fn open(plant: impl FnOnce(&Site)) -> Shelter {
        let site = Site::generated_in_memory(3, 24, 900);
        plant(&site);
        let home = site.text(LAPTOP);
        let made = hikae(["init", "--home", &home, "--role", "laptop"]).ok();
        let center = site.path("center/hikae.toml");
        let text = fs::read_to_string(&center).unwrap();
        let peer = format!("[[peer]]\nname = \"laptop\"\nid = {}\n", made["node_id"]);
        fs::write(&center, text + &peer).unwrap();
        let config = format!(
            "role = \"laptop\"\nseal = true\npassphrase_file = \"passphrase\"\n[source]\nid = \"{}\"\n\
             [[source.link]]\nname = \"loopback\"\nremote = \"127.0.0.1:{}\"\n",
            site.center_id, site.port
        );
        fs::write(site.path(LAPTOP).join("hikae.toml"), config).unwrap();
        let passphrase = site.path(LAPTOP).join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        site.center(&["scan"]).ok();
        let serving = site.serve();
        hikae(["sync", "--home", &home]).ok();
        serving.end();
        let mut shelter = Shelter {
            site,
            viewer: None,
            url: String::new(),
        };
        shelter.start();
        shelter
    }

    /// Starts the viewer; it listens when this returns.
    pub fn start(&mut self) {
        let mut child = Command::new(binary())
            .args([
                "view",
                "--home",
                &self.site.text(LAPTOP),
                "--listen",
                "127.0.0.1:0",
            ])
            .env_remove("HIKAE_HOME")
            .env("HIKAE_LOG", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("viewer: ") {
                    let _ = sender.send(url.to_string());
                }
            }
        });
        self.viewer = Some(Process(child));
        self.url = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// Ends the viewer, as Ctrl-C does.
    pub fn stop(&mut self) {
        if let Some(viewer) = self.viewer.take() {
            viewer.end();
        }
    }

    /// Runs a command at the laptop.
    pub fn laptop(&self, arguments: &[&str]) -> crate::harness::Ran {
        let home = self.site.text(LAPTOP);
        hikae([arguments, &["--home", home.as_str()]].concat())
    }

    /// Patients of a facility, by their directories.
    pub fn patients(&self, facility: &str) -> Vec<String> {
        let volume = self.site.volumes().join(facility).join("STD01");
        let below = |folder: &std::path::Path| -> Vec<std::path::PathBuf> {
            let items = fs::read_dir(folder).into_iter().flatten().flatten();
            items
                .map(|item| item.path())
                .filter(|path| path.is_dir())
                .collect()
        };
        let mut found: Vec<String> = below(&volume)
            .iter()
            .flat_map(|one| below(one))
            .flat_map(|two| below(&two))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_string())
            .filter(|name| name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        found.sort();
        found
    }
}

/// A patient of the first facility with very many records.
pub const LONG_PATIENT: &str = "88800017";

/// How many: `HIKAE_VIEWER_RECORDS`.
pub fn long_records() -> u64 {
    let count = std::env::var("HIKAE_VIEWER_RECORDS");
    count.ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// Prescriptions, injections given and laboratory results, a few a day.
pub fn plant_long(site: &Site) {
    let (one, two) = (&LONG_PATIENT[..3], &LONG_PATIENT[3..6]);
    let head = |kind: &str| {
        format!(
            "MSH|^~\\&|||||20260301||{kind}|1|P|2.5\rPID|1||{LONG_PATIENT}||長井^記録||19400102|F\r"
        )
    };
    let tests: Vec<String> = (0..20)
        .map(|test| {
            format!("OBX|{test}|NM|3A{test:03}0000002327101^検査{test}^JC10||{test}.5|mg/dL|1.0-10.0||||F\r")
        })
        .collect();
    for number in 0..long_records() {
        let day = number / 3;
        let date = format!(
            "20{:02}{:02}{:02}",
            10 + day / 336,
            1 + day / 28 % 12,
            1 + day % 28
        );
        let (kind, text) = match number % 3 {
            0 => (
                "OMP-01",
                format!(
                    "{}ORC|NW|{number}||{number}_01\rRXE||102145501^ワーファリン錠１ｍｇ^HOT9|1||TAB^錠^MR9P|||||14|TAB^錠^MR9P\rTQ1|||1^1日1回朝食後|||14^d|{date}\r",
                    head("RDE^O11")
                ),
            ),
            1 => (
                "OMP-12",
                format!(
                    "{}ORC|NW|{number}\rRXA|0|1|{date}0900|{date}1000|107750602^ソリタ^HOT9|1|HON^本^MR9P||||||||||||CP\r",
                    head("RAS^O17")
                ),
            ),
            _ => (
                "OML-11",
                format!(
                    "{}SPM|1|||023^血清^JC10|||||||||||||{date}0800\rOBR|1|{number}||E001^生化学^L\r{}",
                    head("OUL^R22"),
                    tests.concat()
                ),
            ),
        };
        let name = format!("{LONG_PATIENT}_{date}_{kind}_{number:015}_{date}120000000_01_1");
        site.put(
            &format!(
                "{}/STD01/{one}/{two}/{LONG_PATIENT}/{date}/{kind}/{name}",
                FACILITIES[0]
            ),
            text.as_bytes(),
        );
    }
}
