//! The command line: one file per command, each arguments to one call to
//! print.
//!
//! The result goes to stdout (with `--json` as one document), progress and
//! logs to stderr.

mod approve;
mod audit;
mod demo;
mod diff;
mod generate;
mod heaps;
mod index;
mod init;
mod laptop;
mod passphrase;
mod peer;
mod progress;
mod promote;
mod prune;
mod rebuild;
mod reject;
mod restore;
mod route;
mod scan;
mod serve;
mod snapshots;
mod status;
mod sync;
mod unlock;
mod verify;
mod view;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::replicate::command::{Outcome, exit_code};
use crate::replicate::passphrase::{Credentials, Typing, typing};
use crate::seal::Passphrase;

/// Replication of SS-MIX2 medical records: every copy proves that it is
/// equal.
#[derive(Debug, Parser)]
#[command(name = "hikae", version, propagate_version = true)]
struct Arguments {
    /// The folder of hikae.toml and the keys.
    #[arg(long, global = true, env = "HIKAE_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// One JSON document on stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Show the whole story in a temporary folder: a center, a backup, a day.
    Demo(demo::DemoArguments),
    /// Make a synthetic center, or one more day of changes in it.
    Gen(generate::GenArguments),
    /// Make a home: configuration and node key.
    Init(init::InitArguments),
    /// Bring a center's catalogue up to date.
    Scan(scan::ScanArguments),
    /// Say or change who may pull from here.
    Peer(peer::PeerArguments),
    /// Answer peers and commands; refresh on a schedule.
    Serve(serve::ServeArguments),
    /// Pull from the source.
    Sync(sync::SyncArguments),
    /// Read everything again and name each difference.
    Verify(verify::VerifyArguments),
    /// Publish what is held of a volume.
    Approve(approve::DecisionArguments),
    /// Go on with a held volume, but for its suspect records.
    Reject(approve::DecisionArguments),
    /// Sign what this backup has: the center is lost.
    Promote,
    /// List the snapshots that are kept.
    Snapshots,
    /// Say what changed between two snapshots: records, by volume and kind.
    Diff(diff::DiffArguments),
    /// Write a past state to a folder: all, a volume, a patient.
    Restore(restore::RestoreArguments),
    /// Forget snapshots beyond the retention and free what only they needed.
    Prune,
    /// Make the index anew from the segments.
    Rebuild,
    /// The INDEX DB of a backup.
    Index(index::IndexArguments),
    /// Say how things stand.
    Status,
    /// Show the records in a browser.
    View(view::ViewArguments),
    /// Give the passphrase to a process that waits for it.
    Unlock(unlock::UnlockArguments),
    /// Give a sealed store another passphrase.
    Passphrase(passphrase::PassphraseArguments),
    /// Check or export what the viewer showed to whom.
    Audit(audit::AuditArguments),
}

/// What every command gets.
struct Context {
    home: Option<PathBuf>,
    json: bool,
}

impl Context {
    /// The home, or the error that none was named.
    fn home(&self) -> Result<&Path, Outcome> {
        self.home.as_deref().ok_or_else(|| {
            Outcome::error(
                exit_code::USAGE,
                &"name the home: --home DIR, or HIKAE_HOME in the environment",
            )
        })
    }
}

/// What opens a sealed store: the folder in which a service manager (systemd)
/// put credentials for this process, else what somebody types at the terminal.
fn credentials(home: &Path) -> Credentials {
    let mut credentials = Credentials {
        folder: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        typed: None,
    };
    credentials.typed = match typing(home, &credentials) {
        Ok(Typing::Once) => typed("passphrase: "),
        Ok(Typing::Twice) => typed_twice("passphrase of the new store: "),
        Ok(Typing::Nothing) | Err(_) => None,
    };
    credentials
}

/// What is typed at the terminal, unseen; none if there is no terminal.
fn typed(prompt: &str) -> Option<Passphrase> {
    std::io::stdin().is_terminal().then_some(())?;
    let text = rpassword::prompt_password(prompt).ok()?;
    Passphrase::of_file(text.into_bytes()).ok()
}

/// The same, until it was typed the same twice in a row.
fn typed_twice(prompt: &str) -> Option<Passphrase> {
    loop {
        let (one, two) = (typed(prompt)?, typed("again: ")?);
        if one.as_bytes() == two.as_bytes() {
            return Some(one);
        }
        eprintln!("the two are not the same");
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    heaps::limit();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(match error.use_stderr() {
                true => exit_code::USAGE,
                false => exit_code::DONE,
            });
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("HIKAE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,hikae=info,sled=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return print(&Outcome::error(exit_code::FAILED, &error), arguments.json),
    };
    let context = Context {
        home: arguments.home,
        json: arguments.json,
    };
    let outcome = runtime.block_on(run(&context, arguments.command));
    print(&outcome, context.json)
}

async fn run(context: &Context, command: Subcommands) -> Outcome {
    match command {
        Subcommands::Demo(arguments) => demo::run(context, &arguments).await,
        Subcommands::Gen(arguments) => generate::run(context, arguments).await,
        Subcommands::Init(arguments) => init::run(context, &arguments),
        Subcommands::Scan(arguments) => scan::run(context, &arguments).await,
        Subcommands::Peer(arguments) => peer::run(context, arguments),
        Subcommands::Serve(arguments) => serve::run(context, &arguments).await,
        Subcommands::Sync(arguments) => sync::run(context, &arguments).await,
        Subcommands::Verify(arguments) => verify::run(context, &arguments).await,
        Subcommands::Approve(arguments) => approve::run(context, arguments).await,
        Subcommands::Reject(arguments) => reject::run(context, arguments).await,
        Subcommands::Promote => promote::run(context).await,
        Subcommands::Snapshots => snapshots::run(context).await,
        Subcommands::Diff(arguments) => diff::run(context, arguments).await,
        Subcommands::Restore(arguments) => restore::run(context, arguments).await,
        Subcommands::Prune => prune::run(context).await,
        Subcommands::Rebuild => rebuild::run(context),
        Subcommands::Index(arguments) => index::run(context, arguments).await,
        Subcommands::Status => status::run(context).await,
        Subcommands::View(arguments) => view::run(context, arguments).await,
        Subcommands::Unlock(arguments) => unlock::run(context, &arguments).await,
        Subcommands::Passphrase(arguments) => passphrase::run(context, &arguments).await,
        Subcommands::Audit(arguments) => audit::run(context, &arguments).await,
    }
}

fn print(outcome: &Outcome, json: bool) -> ExitCode {
    let text = match json {
        true => outcome.json.to_string(),
        false => outcome.text.clone(),
    };
    let is_error = outcome.json.get("error").is_some();
    use std::io::Write;
    let written = match (is_error && !json, text.is_empty()) {
        (_, true) => Ok(()),
        (true, _) => writeln!(std::io::stderr(), "{text}"),
        (false, _) => writeln!(std::io::stdout(), "{text}"),
    };
    match written {
        Ok(()) => ExitCode::from(outcome.exit_code),
        Err(_) => ExitCode::from(exit_code::FAILED),
    }
}
