//! Epochs: the lives of a signer's catalogue.

use hikae_protocol::snapshot::{Epoch, Snapshot};

use super::center::now_ms;

/// The epoch that begins after that of `snapshot`; none if the system gives no
/// random numbers. A signer that lost its store begins a later life than the
/// one before, without knowing it: the counter is the time of birth, in
/// milliseconds.
pub(super) fn next_epoch(snapshot: Option<&Snapshot>) -> Option<Epoch> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    let born = u64::try_from(now_ms()).unwrap_or(0).max(1);
    let after = snapshot.map_or(0, |snapshot| snapshot.cursor.epoch.counter + 1);
    let counter = born.max(after);
    Some(Epoch { counter, random })
}
