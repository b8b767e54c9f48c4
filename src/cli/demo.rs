//! `hikae demo`: the whole story in a temporary folder, by the same commands
//! that an operator types; each is shown before it runs.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{Context, laptop};
use crate::replicate::command::{Outcome, exit_code};

/// Records for each patient.
const RECORDS_PER_PATIENT: u64 = 12;
/// Facilities of the demo.
const FACILITIES: u64 = 5;
/// Changes of the demo's day, for each patient.
const CHANGES_SHARE: f64 = 0.6;
/// How long the center may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Patients over all facilities; each has about a dozen records.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    patients: u64,
    /// Keep everything in this folder, which is absent or empty.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Keep a viewer of the laptop running at the end, until ended.
    #[arg(long)]
    view: bool,
}

pub(super) async fn run(context: &Context, arguments: &DemoArguments) -> Outcome {
    match tell(context.json, arguments).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::error(exit_code::FAILED, &format!("{error:#}")),
    }
}

/// One line of the closing table.
struct Row {
    what: &'static str,
    records: u64,
    bytes: u64,
    wire: u64,
    seconds: f64,
    equal: bool,
}

struct Demo {
    program: PathBuf,
    folder: PathBuf,
    json: bool,
    rows: Vec<Row>,
}

async fn tell(json: bool, arguments: &DemoArguments) -> Result<Outcome> {
    let kept = arguments.keep.is_some();
    let temporary = tempfile::Builder::new().prefix("hikae-demo-").tempdir()?;
    let folder = match &arguments.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
            if std::fs::read_dir(folder)?.next().is_some() {
                bail!("{} is not empty", folder.display());
            }
            folder.canonicalize()?
        }
        None => temporary.path().to_path_buf(),
    };
    let mut demo = Demo {
        program: std::env::current_exe().context("find this program")?,
        folder,
        json,
        rows: vec![],
    };
    let started = Instant::now();
    let _center = demo.story(arguments.patients).await?;
    let mut outcome = demo.close(started.elapsed(), kept || arguments.view);
    if arguments.view {
        let viewer =
            laptop::view(&demo.program, &demo.path("laptop"), &demo.path("storage")).await?;
        if !json {
            println!("{}\n\n{viewer}", std::mem::take(&mut outcome.text));
        }
        tokio::signal::ctrl_c().await?;
    }
    Ok(outcome)
}

impl Demo {
    fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Runs a command of this program and gives its report.
    async fn hikae(&self, arguments: &[&str]) -> Result<Value> {
        self.hikae_ending(arguments, exit_code::DONE).await
    }

    /// Runs a command that has to end with this code.
    async fn hikae_ending(&self, arguments: &[&str], code: u8) -> Result<Value> {
        self.show(arguments);
        let output = Command::new(&self.program)
            .args(arguments)
            .arg("--json")
            .env("HIKAE_LOG", "warn,sled=error")
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("hikae {}", arguments.join(" ")))?;
        if output.status.code() != Some(i32::from(code)) {
            let code = output
                .status
                .code()
                .map_or_else(|| "a signal".into(), |code| format!("code {code}"));
            bail!(
                "hikae {} ended with {code}: {}",
                arguments.join(" "),
                report["error"]
            );
        }
        Ok(report)
    }

    fn show(&self, arguments: &[&str]) {
        let folder = self.folder.display().to_string();
        let shown = arguments.join(" ").replace(&folder, "$DEMO");
        self.say(&format!("  $ hikae {shown}"));
    }

    async fn story(&mut self, patients: u64) -> Result<Child> {
        self.say(&format!(
            "Everything happens in one folder, $DEMO = {}\n",
            self.folder.display()
        ));
        let (center, storage) = (self.path("center"), self.path("storage"));
        let (backup, tree) = (self.path("backup"), self.path("backup-tree"));
        let facilities = FACILITIES.min(patients).to_string();
        self.say(
            "1. A center: made-up patients of five hospitals in SS-MIX2 folders, with an INDEX DB.",
        );
        let records = (patients * RECORDS_PER_PATIENT).to_string();
        let patients_text = patients.to_string();
        let made = self
            .hikae(&[
                "gen",
                "--out",
                &storage,
                "--facilities",
                &facilities,
                "--patients",
                &patients_text,
                "--records",
                &records,
            ])
            .await?;
        self.say(&format!(
            "     {} records of {} patients in {} files, {} directories, {} rows in the INDEX DB ({:.1} s)\n",
            made["records"], made["patients"], made["files"], made["directories"], made["rows"], number(&made["seconds"])
        ));

        self.say("2. Three nodes, each with a key of its own; each is told the others'.");
        let center_id = text(
            &self
                .hikae(&["init", "--home", &center, "--role", "center"])
                .await?["node_id"],
        );
        let backup_id = text(
            &self
                .hikae(&["init", "--home", &backup, "--role", "backup"])
                .await?["node_id"],
        );
        let laptop = self.path("laptop");
        let made = self
            .hikae(&["init", "--home", &laptop, "--role", "laptop"])
            .await?;
        let laptop_id = text(&made["node_id"]);
        let port = free_port()?;
        write_config(
            &center,
            &center_config(
                &storage,
                port,
                &[("backup", &backup_id), ("laptop", &laptop_id)],
            ),
        )?;
        laptop::configure(Path::new(&laptop), port, &center_id)?;
        write_config(&backup, &backup_config(&tree, port, &center_id))?;
        self.say("     (their hikae.toml are in $DEMO/center, $DEMO/backup and $DEMO/laptop)\n");

        self.say(
            "3. The center scans its storage once as a whole, signs what it found, and serves it.",
        );
        let scan = self.hikae(&["scan", "--home", &center]).await?;
        self.say(&format!(
            "     {} files read in {:.1} s; root {}…",
            scan["counts"]["files_read"],
            number(&scan["seconds"]),
            short(&scan["root"])
        ));
        let serving = self.serve(&center, port).await?;
        self.say("");

        self.say("4. The first copy: the backup proves the root, then pulls everything over QUIC.");
        self.sync("first copy", &backup).await?;
        self.say("5. Nothing changed: one question, one answer, no file is looked at.");
        self.sync("nothing changed", &backup).await?;

        let changes = ((patients as f64 * CHANGES_SHARE) as u64)
            .max(5)
            .to_string();
        self.say("6. A day passes: new records, corrections (the old file is renamed to _2), deletions (_0).");
        let day = self
            .hikae(&["gen", "day", "--out", &storage, "--changes", &changes])
            .await?;
        self.say(&format!(
            "     {} changes: {} files written, {} renamed; the INDEX DB names {} directories",
            day["changes"], day["files_written"], day["files_renamed"], day["hinted_directories"]
        ));
        self.sync("a day, by INDEX DB", &backup).await?;

        self.say("7. Something that the INDEX DB does not mention: a file appears, another one vanishes.");
        let quiet = unmentioned(Path::new(&storage))?;
        self.say(&format!("     {}", quiet.text));
        let walk = self.hikae(&["scan", "--walk", "--home", &center]).await?;
        self.say(&format!(
            "     the walk finds it: {} new, {} gone; against the INDEX DB: {} files without a row, {} rows without a file",
            walk["files_added"], walk["files_removed"], walk["files_without_row"], walk["rows_without_file"]
        ));
        self.sync("found by the walk", &backup).await?;

        self.say("8. Is the copy really equal? Every stored content and every published file is read again.");
        let verify = self.hikae(&["verify", "--home", &backup]).await?;
        self.say(&format!(
            "     {} contents and {} files of the tree: {} differences\n",
            verify["contents"], verify["tree_files"], verify["differences_total"]
        ));

        self.say("9. A laptop pulls the same into a store that is sealed; `hikae view` shows it in a browser.");
        self.sync("laptop, sealed", &laptop).await?;
        self.yesterday(&backup, &quiet).await?;
        self.attack(&center, &storage, &backup, &tree).await?;
        Ok(serving)
    }

    /// The patient of whom a file vanished, as of the snapshot before.
    async fn yesterday(&self, backup: &str, quiet: &Unmentioned) -> Result<()> {
        self.say("10. Nothing is lost: a patient as of snapshot 2, before that file vanished.");
        let to = self.path("yesterday");
        let restored = self
            .hikae(&[
                "restore",
                "--at",
                "2",
                "--patient",
                &quiet.patient,
                "--to",
                &to,
                "--home",
                backup,
            ])
            .await?;
        if !Path::new(&to).join(&quiet.gone).is_file() {
            bail!("{} was not restored", quiet.gone.display());
        }
        self.say(&format!(
            "     {} files of patient {} are in $DEMO/yesterday, the vanished one among them\n",
            restored["files"], quiet.patient
        ));
        Ok(())
    }

    /// Records of one hospital are encrypted: the backup holds that.
    async fn attack(&self, center: &str, storage: &str, backup: &str, tree: &str) -> Result<()> {
        self.say("11. An attack: somebody encrypts a hospital's records where they lie.");
        let Some(encrypted) = encrypt_some(Path::new(storage))? else {
            self.say("     (not with so few patients: one has to look at each record anyway)\n");
            return Ok(());
        };
        self.hikae(&["scan", "--walk", "--home", center]).await?;
        let report = self
            .hikae_ending(&["sync", "--home", backup], exit_code::HELD)
            .await?;
        let held = &report["held"][0];
        self.say(&format!(
            "     {} files rewritten: the sync ends with code 4, volume {} is held",
            held["counts"]["rewritten"],
            text(&held["volume"])
        ));
        let shown = std::fs::read(Path::new(tree).join(&encrypted))?;
        if shown.starts_with(CIPHER) {
            bail!("the tree shows an encrypted record");
        }
        self.say("     its tree still shows the records as they were; an operator decides:");
        self.say(&format!(
            "     hikae approve {0}, or hikae reject {0} (docs/operation.md)\n",
            text(&held["volume"])
        ));
        Ok(())
    }

    async fn serve(&self, home: &str, port: u16) -> Result<Child> {
        self.show(&["serve", "--home", home, "&"]);
        let child = Command::new(&self.program)
            .args(["serve", "--home", home])
            .env("HIKAE_LOG", "warn,sled=error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let begun = Instant::now();
        // The port is taken when the center listens.
        while UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            if begun.elapsed() > PATIENCE {
                bail!("the center did not listen within {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(child)
    }

    async fn sync(&mut self, what: &'static str, backup: &str) -> Result<()> {
        let report = self.hikae(&["sync", "--home", backup]).await?;
        let wire = count(&report["link"]["bytes_received"]) + count(&report["link"]["bytes_sent"]);
        let (pull, publish) = (&report["pull"], &report["publish"]);
        let row = Row {
            what,
            records: count(&pull["contents_received"]) + count(&pull["contents_referenced"]),
            bytes: count(&pull["content_bytes"]),
            wire,
            seconds: number(&report["seconds"]),
            equal: report["roots_equal"] == Value::Bool(true),
        };
        self.say(&format!(
            "     {} patient directories differed; {} contents came ({}), {} renames came without content{}",
            pull["leaves"],
            pull["contents_received"],
            bytes(row.bytes),
            pull["contents_referenced"],
            match publish.is_null() {
                true => String::new(),
                false => format!(
                    "; tree: {} written, {} renamed",
                    publish["files_written"], publish["files_renamed"]
                ),
            },
        ));
        self.say(&format!(
            "     own root {}… {} the signed one\n",
            short(&report["root"]),
            match row.equal {
                true => "equals",
                false => "IS NOT",
            }
        ));
        if !row.equal {
            bail!("{what}: the roots differ");
        }
        self.rows.push(row);
        Ok(())
    }

    fn close(&self, elapsed: Duration, kept: bool) -> Outcome {
        let mut table = format!(
            "{:<20} {:>9} {:>10} {:>12} {:>8}  {}\n",
            "sync", "records", "contents", "on the wire", "seconds", "roots"
        );
        for row in &self.rows {
            table += &format!(
                "{:<20} {:>9} {:>10} {:>12} {:>8.2}  {}\n",
                row.what,
                row.records,
                bytes(row.bytes),
                bytes(row.wire),
                row.seconds,
                if row.equal { "equal" } else { "DIFFER" }
            );
        }
        let place = match kept {
            true => format!(
                "Look around in {}:\n  storage/volumes  the center's SS-MIX2 folders\n  backup-tree      the same, published by the backup\n  backup/store     segments: the truth of the copy\n",
                self.folder.display()
            ),
            false => {
                "Everything is removed again; `demo --keep DIR` keeps it to look around.\n".into()
            }
        };
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "sync": row.what, "records": row.records, "content_bytes": row.bytes,
                    "wire_bytes": row.wire, "seconds": row.seconds, "roots_equal": row.equal,
                })
            })
            .collect();
        Outcome {
            exit_code: exit_code::DONE,
            json: serde_json::json!({ "folder": self.folder, "seconds": elapsed.as_secs_f64(), "syncs": rows }),
            text: format!("{table}\n{place}{:.1} s in all", elapsed.as_secs_f64()),
        }
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn short(value: &Value) -> String {
    text(value).chars().take(16).collect()
}

fn bytes(count: u64) -> String {
    crate::replicate::bytes(count)
}

fn free_port() -> Result<u16> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(socket.local_addr()?.port())
}

fn write_config(home: &str, text: &str) -> Result<()> {
    let path = Path::new(home).join(crate::config::FILE_NAME);
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn center_config(storage: &str, port: u16, peers: &[(&str, &str)]) -> String {
    let peers = peers
        .iter()
        .map(|(name, id)| format!("\n[[peer]]\nname = \"{name}\"\nid = \"{id}\"\n"));
    format!(
        "role = \"center\"\n\n[[listen]]\nlink = \"loopback\"\naddr = \"127.0.0.1:{port}\"\n\n\
         [index_db]\nurl = \"sqlite://{storage}/index.db\"\n\n[volumes]\ndiscover = \"{storage}/volumes\"\n{}",
        peers.collect::<String>()
    )
}

fn backup_config(tree: &str, port: u16, center: &str) -> String {
    format!(
        "role = \"backup\"\ntree = \"{tree}\"\n\n[source]\nid = \"{center}\"\n\n\
         [[source.link]]\nname = \"loopback\"\nremote = \"127.0.0.1:{port}\"\n"
    )
}

/// What an encrypted file begins with.
const CIPHER: &[u8] = b"Salted__";
/// Files that the demo's attack encrypts.
const ENCRYPTED: usize = 100;

/// What the INDEX DB does not mention.
struct Unmentioned {
    text: String,
    patient: String,
    /// The file that vanished, below the volumes.
    gone: PathBuf,
}

/// Encrypts some files of one volume where they lie; gives one of them, below
/// the volumes, or nothing where the volume is too small for an attack.
fn encrypt_some(storage: &Path) -> Result<Option<PathBuf>> {
    let volumes = storage.join("volumes");
    let volume = standard_volumes(&volumes)?
        .pop()
        .context("there is no volume")?;
    let mut files = Vec::new();
    for item in walkdir::WalkDir::new(&volume).sort_by_file_name() {
        let item = item?;
        if item.file_type().is_file() {
            files.push(item.into_path());
        }
        if files.len() == ENCRYPTED {
            break;
        }
    }
    if files.len() < ENCRYPTED {
        return Ok(None);
    }
    for file in &files {
        let noise = blake3::hash(file.as_os_str().as_encoded_bytes());
        std::fs::write(file, [CIPHER, noise.as_bytes()].concat())?;
    }
    let first = files.first().context("the volume has no file")?;
    Ok(Some(first.strip_prefix(&volumes)?.to_path_buf()))
}

/// The patient's id in the path of a file: facility, label, two folders, then
/// it.
fn patient_of(file: &Path, volumes: &Path) -> Option<String> {
    let patient = file.strip_prefix(volumes).ok()?.components().nth(4)?;
    Some(patient.as_os_str().to_string_lossy().into_owned())
}

/// The standard storages, by facility.
fn standard_volumes(volumes: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(volumes)?
        .flatten()
        .map(|item| item.path().join("STD01"))
        .filter(|volume| volume.is_dir())
        .collect();
    found.sort();
    Ok(found)
}

/// Adds one file and removes another in the first patient directory, without
/// a row.
fn unmentioned(storage: &Path) -> Result<Unmentioned> {
    fn first_file(folder: &Path) -> Option<PathBuf> {
        let mut items: Vec<PathBuf> = std::fs::read_dir(folder)
            .ok()?
            .flatten()
            .map(|item| item.path())
            .collect();
        items.sort();
        items.iter().find_map(|item| match item.is_dir() {
            true => first_file(item),
            false => Some(item.clone()),
        })
    }
    let volumes = storage.join("volumes");
    let patient = standard_volumes(&volumes)?
        .iter()
        .flat_map(|volume| std::fs::read_dir(volume).into_iter().flatten().flatten())
        .map(|item| item.path())
        .find(|item| item.is_dir())
        .context("the storage has no patient")?;
    let gone = first_file(&patient).context("the patient has no file")?;
    let beside = gone.with_file_name("scanned-by-hand.txt");
    std::fs::write(&beside, "a note that no gateway wrote\n")?;
    std::fs::remove_file(&gone)?;
    let relative = |path: &Path| {
        path.strip_prefix(&volumes)
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let name = patient_of(&gone, &volumes).context("the file has no patient")?;
    Ok(Unmentioned {
        text: format!("+ {}\n     - {}", relative(&beside), relative(&gone)),
        patient: name,
        gone: gone.strip_prefix(&volumes)?.to_path_buf(),
    })
}
