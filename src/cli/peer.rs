//! `hikae peer`: who may pull from this node.

use clap::{Args, Subcommand};
use hikae_protocol::snapshot::NodeId;

use super::Context;
use crate::replicate::command::Outcome;
use crate::replicate::peering::{self, PeerChange};

/// Arguments of `peer`.
#[derive(Debug, Args)]
pub(super) struct PeerArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let a node pull from here.
    Add {
        /// A name, for messages.
        name: String,
        /// Its node id, as `hikae init` printed it there.
        id: NodeId,
    },
    /// Say who may pull.
    List,
    /// Let a node pull no more; a serving node cuts it off within seconds.
    Revoke {
        /// Its name or node id.
        who: String,
    },
}

pub(super) fn run(context: &Context, arguments: PeerArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    peering::change(
        home,
        match arguments.action {
            Action::List => PeerChange::None,
            Action::Add { name, id } => PeerChange::Add { name, id },
            Action::Revoke { who } => PeerChange::Revoke { who },
        },
    )
}
