//! One refresh for all who ask while it has not begun.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
struct Turns {
    running: bool,
    begun: u64,
    ended: u64,
}

/// Whoever asks waits for a turn that began after the question; all who wait
/// for one turn share it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    turns: Mutex<Turns>,
    ended: Condvar,
}

impl Gate {
    /// Returns after a call of `work` that began after this call.
    pub(super) fn shared(&self, work: impl Fn()) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = turns.begun + 1;
        while turns.ended < wanted {
            if turns.running {
                turns = self
                    .ended
                    .wait(turns)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            turns.running = true;
            turns.begun += 1;
            let mine = turns.begun;
            drop(turns);
            work();
            turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.running = false;
            turns.ended = mine;
            self.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    /// [S7-2] each caller gets a turn that began after it asked; those who
    /// wait for one share it.
    #[test]
    fn waiting_callers_share_one_turn() {
        let gate = Gate::default();
        let (calls, ended) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = || {
            calls.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
            ended.fetch_add(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for at in 0..16 {
                let (gate, calls, ended, work) = (&gate, &calls, &ended, &work);
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(7 * at));
                    let begun = calls.load(Ordering::SeqCst);
                    gate.shared(work);
                    assert!(ended.load(Ordering::SeqCst) > begun, "an older turn");
                });
            }
        });
        let calls = calls.load(Ordering::SeqCst);
        assert!((1..16).contains(&calls), "{calls} calls for 16 callers");
        gate.shared(work);
    }
}
