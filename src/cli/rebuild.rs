//! `hikae rebuild`: the catalogue's index, anew from the segments.

use super::{Context, progress};
use crate::replicate::command::Outcome;
use crate::replicate::node;

pub(super) fn run(context: &Context) -> Outcome {
    match context.home() {
        Ok(home) => {
            let credentials = super::credentials(home);
            node::rebuild(home, &credentials, &*progress::monitor())
        }
        Err(outcome) => outcome,
    }
}
