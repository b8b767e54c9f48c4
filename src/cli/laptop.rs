//! The demo's laptop: a sealed replica, and its viewer.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the viewer may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// The user of the demo, who is known at every facility.
const USER: &str = "ishi";
/// What its line begins with.
const LINE: &str = "viewer: ";

/// A viewer that runs, and how to sign in to it.
pub(super) struct DemoViewer {
    facility: String,
    url: String,
    _child: Child,
}

impl std::fmt::Display for DemoViewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let password = crate::r#gen::password_of(USER);
        writeln!(
            f,
            "The browser will warn of a certificate that nobody but the laptop signed."
        )?;
        writeln!(f, "Ctrl-C ends it.\n")?;
        writeln!(f, "facility: {}", self.facility)?;
        writeln!(f, "user: {USER}")?;
        writeln!(f, "password: {password}")?;
        write!(f, "{LINE}{}", self.url)
    }
}

/// Writes the laptop's configuration and passphrase.
pub(super) fn configure(home: &Path, port: u16, center: &str) -> Result<()> {
    let config = format!(
        "role = \"laptop\"\nseal = true\npassphrase_file = \"passphrase\"\n\n[source]\n\
         id = \"{center}\"\n\n[[source.link]]\nname = \"loopback\"\nremote = \"127.0.0.1:{port}\"\n"
    );
    let write = |name: &str, text: &str| {
        let path = home.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok::<_, anyhow::Error>(path)
    };
    write(crate::config::FILE_NAME, &config)?;
    let passphrase = write("passphrase", "a passphrase of the demo\n")?;
    std::fs::set_permissions(passphrase, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// Starts the laptop's viewer; it listens when this returns.
pub(super) async fn view(program: &Path, home: &str, storage: &str) -> Result<DemoViewer> {
    let mut child = Command::new(program)
        .args(["view", "--home", home, "--listen", "127.0.0.1:0"])
        .env("HIKAE_LOG", "warn,sled=error")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let lines = child.stderr.take().context("the viewer has no output")?;
    let mut lines = BufReader::new(lines).lines();
    let url = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await? {
            if let Some(url) = line.strip_prefix(LINE) {
                return Ok(url.to_string());
            }
        }
        bail!("the viewer ended before it listened")
    });
    let url = url.await.context("the viewer did not listen")??;
    // What it says later is read, so that it never waits for a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(DemoViewer {
        facility: first_facility(storage)?,
        url,
        _child: child,
    })
}

fn first_facility(storage: &str) -> Result<String> {
    let folder = Path::new(storage).join("volumes");
    let items = std::fs::read_dir(&folder)?.flatten();
    let names = items.map(|item| item.file_name().to_string_lossy().into_owned());
    let first = names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .min();
    first.context("the storage has no facility")
}
