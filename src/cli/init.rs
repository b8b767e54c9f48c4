//! `hikae init`: make a home.

use clap::{Args, ValueEnum};

use super::Context;
use crate::config::Role;
use crate::replicate::command::{Outcome, exit_code};
use crate::replicate::home::Home;
use crate::replicate::identity::node_id;
use crate::replicate::node::NodeError;

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// What the node is for.
    #[arg(long, value_enum)]
    role: RoleArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArgument {
    Center,
    Backup,
    Laptop,
}

pub(super) fn run(context: &Context, arguments: &InitArguments) -> Outcome {
    let home = match context.home() {
        Ok(home) => home,
        Err(outcome) => return outcome,
    };
    let role = match arguments.role {
        RoleArgument::Center => Role::Center,
        RoleArgument::Backup => Role::Backup,
        RoleArgument::Laptop => Role::Laptop,
    };
    match Home::create(home, role) {
        Err(error) => {
            let error = NodeError::from(error);
            Outcome::error(error.exit_code(), &error)
        }
        Ok(key) => {
            let id = node_id(&key).to_string();
            Outcome {
                exit_code: exit_code::DONE,
                json: serde_json::json!({ "node_id": id }),
                text: id,
            }
        }
    }
}
