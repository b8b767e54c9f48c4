//! `hikae view`: show the records in a browser, until ended by a signal. A
//! replica that is not followed by another process pulls all the while.

use std::net::SocketAddr;

use clap::Args;

use super::serve::stay;
use super::{Context, progress};
use crate::replicate::command::{Command, Outcome, exit_code};
use crate::replicate::control;
use crate::replicate::view::ViewOptions;

/// Arguments of `view`.
#[derive(Debug, Args)]
pub(super) struct ViewArguments {
    /// Address and TCP port to be reached by; 0.0.0.0 for phones on the
    /// laptop's network, port 0 for a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A name that browsers may use, beside localhost and addresses.
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
}

pub(super) async fn run(context: &Context, arguments: ViewArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let options = ViewOptions {
        listen: arguments.listen,
        names: arguments.names,
    };
    let command = Command::View(options.clone());
    // The process that has the home shows it, for as long as this one waits.
    let asked = tokio::select! {
        asked = async { control::ask(home, &command, &*progress::monitor()).await } => asked,
        _ = tokio::signal::ctrl_c() => return super::serve::by_signal(),
    };
    match asked {
        Ok(Some(outcome)) => outcome,
        Ok(None) => stay(context, home, true, Some(options)).await,
        Err(error) => Outcome::error(exit_code::FAILED, &error),
    }
}
