//! Failed guesses, counted for each user and each address, on the disk before
//! the answer: a restart forgives nothing.
//!
//! The first guesses are free, then each waits longer, and after ten the user
//! is locked for an hour. Names are kept as digests only.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::vault::{Vault, VaultError};

const RECORD: &str = "lockout";
/// Guesses of one user that are free, and those after which it is locked.
const USER_FREE: u32 = 3;
const USER_LOCKED: u32 = 10;
/// The same of an address, from which several users sign in.
const ADDRESS_FREE: u32 = 20;
const ADDRESS_LOCKED: u32 = 60;
/// How long who is locked is locked, milliseconds.
const LOCKED_MS: i64 = 60 * 60 * 1000;
/// Guesses that are this old are forgotten, milliseconds.
const FORGOTTEN_MS: i64 = 24 * 60 * 60 * 1000;
/// Counts that are kept, at most; the smallest are forgotten first.
const COUNTS_MAX: usize = 10_000;

type Name = [u8; 16];

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Count {
    failures: u32,
    last_ms: i64,
    /// The last step of a one-time code that was taken: none is taken twice.
    step: u64,
}

/// Who guesses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess<'a> {
    pub facility: &'a str,
    pub user: &'a str,
    pub address: &'a str,
}

impl Guess<'_> {
    fn names(self) -> [(Name, u32, u32); 2] {
        let user = format!("user\0{}\0{}", self.facility, self.user);
        let address = format!("address\0{}", self.address);
        [
            (name(&user), USER_FREE, USER_LOCKED),
            (name(&address), ADDRESS_FREE, ADDRESS_LOCKED),
        ]
    }
}

fn name(text: &str) -> Name {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    name
}

/// The counts of one viewer.
pub(super) struct Lockouts {
    vault: Vault,
    counts: Mutex<BTreeMap<Name, Count>>,
}

impl Lockouts {
    pub(super) fn open(vault: &Vault) -> Result<Lockouts, VaultError> {
        let counts = vault.read::<BTreeMap<Name, Count>>(RECORD)?;
        Ok(Lockouts {
            vault: vault.clone(),
            counts: Mutex::new(counts.unwrap_or_default()),
        })
    }

    /// Milliseconds that this guess has to wait yet; 0: it may be made. It
    /// counts as failed from now on, so that guesses side by side are not
    /// cheaper.
    pub(super) fn begin(&self, guess: Guess<'_>, now_ms: i64) -> Result<i64, VaultError> {
        let mut counts = self.lock();
        let waits = guess.names().map(|(name, free, locked)| {
            let count = counts.get(&name).copied().unwrap_or_default();
            wait_ms(count, free, locked, now_ms)
        });
        let wait = waits.into_iter().max().unwrap_or(0);
        if wait > 0 {
            return Ok(wait);
        }
        for (name, _, _) in guess.names() {
            let count = counts.entry(name).or_default();
            if now_ms.saturating_sub(count.last_ms) > FORGOTTEN_MS {
                count.failures = 0;
            }
            count.failures = count.failures.saturating_add(1);
            count.last_ms = now_ms;
        }
        bound(&mut counts);
        self.vault.write(RECORD, &*counts)?;
        Ok(0)
    }

    /// The guess was right: the user's count begins anew, and the address gets
    /// this one back. `step` is that of a one-time code; false if it was taken
    /// before.
    pub(super) fn succeed(&self, guess: Guess<'_>, step: Option<u64>) -> Result<bool, VaultError> {
        let mut counts = self.lock();
        let [(user, ..), (address, ..)] = guess.names();
        let count = counts.entry(user).or_default();
        if let Some(step) = step {
            if step <= count.step {
                return Ok(false);
            }
            count.step = step;
        }
        count.failures = 0;
        if let Some(count) = counts.get_mut(&address) {
            count.failures = count.failures.saturating_sub(1);
        }
        self.vault.write(RECORD, &*counts)?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was turned back makes nobody wait longer than from now.
fn wait_ms(count: Count, free: u32, locked: u32, now_ms: i64) -> i64 {
    let pause = match count.failures {
        failures if failures < free => 0,
        failures if failures >= locked => LOCKED_MS,
        failures => 1000 << (failures - free).min(9),
    };
    let last = count.last_ms.min(now_ms);
    (last.saturating_add(pause)).saturating_sub(now_ms).max(0)
}

fn bound(counts: &mut BTreeMap<Name, Count>) {
    while counts.len() > COUNTS_MAX {
        let least = counts
            .iter()
            .filter(|(_, count)| count.step == 0)
            .min_by_key(|(_, count)| (count.failures, count.last_ms));
        let Some(least) = least.map(|(name, _)| *name) else {
            return;
        };
        counts.remove(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(user: &'static str, address: &'static str) -> Guess<'static> {
        Guess {
            facility: "1",
            user,
            address,
        }
    }

    /// 100,000 guesses in a day at one user: few are looked at, and a restart
    /// in between changes nothing.
    #[test]
    fn guesses_are_slowed_and_locked_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), None).unwrap();
        let mut lockouts = Lockouts::open(&vault).unwrap();
        let mut looked_at = 0;
        for at in 0..100_000_i64 {
            if at % 10_000 == 0 {
                lockouts = Lockouts::open(&vault).unwrap();
            }
            looked_at += u32::from(lockouts.begin(guess("ishi", "a"), at * 864).unwrap() == 0);
        }
        assert!((10..50).contains(&looked_at), "{looked_at}");
        let wait = lockouts.begin(guess("ishi", "b"), 86_400_000).unwrap();
        assert!(wait > 0, "another address helped");
    }

    #[test]
    fn many_users_from_one_address_are_slowed_too() {
        let folder = tempfile::tempdir().unwrap();
        let lockouts = Lockouts::open(&Vault::open(folder.path(), None).unwrap()).unwrap();
        let names: Vec<String> = (0..1000).map(|at| format!("user {at}")).collect();
        let mut looked_at = 0;
        for name in &names {
            let guess = Guess {
                facility: "1",
                user: name,
                address: "a",
            };
            looked_at += u32::from(lockouts.begin(guess, 1000).unwrap() == 0);
        }
        assert_eq!(looked_at, ADDRESS_FREE);
        assert_eq!(lockouts.begin(guess("ishi", "b"), 1000).unwrap(), 0);
    }

    #[test]
    fn a_right_guess_forgives_and_a_code_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let lockouts = Lockouts::open(&Vault::open(folder.path(), None).unwrap()).unwrap();
        let ishi = guess("ishi", "a");
        for at in 0..3 {
            assert_eq!(lockouts.begin(ishi, at).unwrap(), 0);
        }
        assert!(lockouts.begin(ishi, 3).unwrap() > 0);
        assert!(lockouts.succeed(ishi, Some(5)).unwrap());
        assert_eq!(lockouts.begin(ishi, 4).unwrap(), 0);
        assert!(!lockouts.succeed(ishi, Some(5)).unwrap(), "the code twice");
        assert!(lockouts.succeed(ishi, Some(6)).unwrap());
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_for_years() {
        let folder = tempfile::tempdir().unwrap();
        let lockouts = Lockouts::open(&Vault::open(folder.path(), None).unwrap()).unwrap();
        let ishi = guess("ishi", "a");
        while lockouts.begin(ishi, 4_000_000_000_000).unwrap() == 0 {}
        assert!(lockouts.begin(ishi, 1_000).unwrap() <= LOCKED_MS);
    }
}
