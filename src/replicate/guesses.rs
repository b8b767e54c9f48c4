//! Wrong guesses of a sealed store's passphrase: counted in the home, on the
//! disk before the refusal, so that a restart forgives none. After some of
//! them each next one has to wait.
//!
//! It slows who sits at the keyboard. Who has the disk deletes the file, and
//! pays for each guess what Argon2id costs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::catalogue::CatalogueError;
use crate::disk::{DiskError, Record, read_record_at, write_record_at};
use crate::seal::SealError;
use crate::segment::SegmentError;

/// The record in a home.
const FILE: &str = "guesses";
/// Wrong guesses in a row that cost no waiting.
const FREE: u32 = 5;
/// What the first one after these waits; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// What a guess waits, at most.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Why a passphrase was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum GuessError {
    /// Too many were wrong.
    #[error(
        "{home}: {wrong} wrong passphrases in a row; the next one is looked at in {} s",
        wait.as_millis().div_ceil(1000)
    )]
    Wait {
        /// The home.
        home: PathBuf,
        /// How many.
        wrong: u32,
        /// How long to wait.
        wait: Duration,
    },
    /// The count can't be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// SPEC.md section 10.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// Wrong guesses in a row.
    wrong: u32,
    /// When the last one was, milliseconds since the epoch.
    last_ms: u64,
}

impl Count {
    /// How long the next guess waits.
    fn wait(self, now_ms: u64) -> Duration {
        let Some(over) = self.wrong.checked_sub(FREE) else {
            return Duration::ZERO;
        };
        let pause = FIRST_WAIT.saturating_mul(1 << over.min(20)).min(WAIT_MAX);
        let since = Duration::from_millis(now_ms.saturating_sub(self.last_ms));
        pause.saturating_sub(since)
    }
}

/// The count of one home. One guess at a time.
#[derive(Debug)]
pub(super) struct Guesses {
    home: PathBuf,
    turn: Mutex<()>,
}

impl Guesses {
    pub(super) fn of(home: &Path) -> Guesses {
        Guesses {
            home: home.to_path_buf(),
            turn: Mutex::new(()),
        }
    }

    /// Tries a passphrase, if one may be tried now, and counts a wrong one.
    ///
    /// Errors: `GuessError`; then it was not looked at, or its result is not
    /// told.
    pub(super) fn counted<T>(
        &self,
        guess: impl FnOnce() -> Result<T, CatalogueError>,
    ) -> Result<Result<T, CatalogueError>, GuessError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.home.join(FILE);
        let mut count = match read_record_at::<Count>(&path)? {
            Record::Value(count) => count,
            Record::Absent | Record::Garbled => Count::default(),
        };
        let now = now_ms();
        if count.last_ms > now {
            // The clock was turned back: who waits does so from now on, not
            // until that time comes.
            count.last_ms = now;
            write_record_at(&path, &count)?;
        }
        let wait = count.wait(now);
        if !wait.is_zero() {
            return Err(GuessError::Wait {
                home: self.home.clone(),
                wrong: count.wrong,
                wait,
            });
        }
        let guessed = guess();
        match &guessed {
            Err(CatalogueError::Segment(SegmentError::Seal(SealError::Passphrase { .. }))) => {
                let wrong = count.wrong.saturating_add(1);
                let last_ms = now_ms();
                write_record_at(&path, &Count { wrong, last_ms })?;
            }
            Ok(_) if count != Count::default() => {
                write_record_at(&path, &Count::default())?;
            }
            _ => {}
        }
        Ok(guessed)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong() -> Result<(), CatalogueError> {
        let path = PathBuf::from("store.key");
        Err(SegmentError::Seal(SealError::Passphrase { path }).into())
    }

    #[test]
    fn each_wrong_guess_waits_twice_as_long_up_to_a_bound() {
        let wait = |wrong: u32, after_ms: u64| {
            Count {
                wrong,
                last_ms: 1000,
            }
            .wait(1000 + after_ms)
            .as_millis()
        };
        assert_eq!([0, 1, 4].map(|wrong| wait(wrong, 0)), [0, 0, 0]);
        assert_eq!(
            [5, 6, 7, 13, 14].map(|wrong| wait(wrong, 0)),
            [1000, 2000, 4000, 256_000, 300_000]
        );
        assert_eq!(wait(u32::MAX, 0), 300_000);
        assert_eq!([999, 1000, 5000].map(|after| wait(5, after)), [1, 0, 0]);
    }

    /// A clock that was years ahead when somebody guessed, and is right now,
    /// locks nobody out for years.
    #[test]
    fn a_clock_that_was_turned_back_waits_from_now() {
        let home = tempfile::tempdir().unwrap();
        let count = Count {
            wrong: FREE,
            last_ms: now_ms() + (1 << 40),
        };
        write_record_at(&home.path().join(FILE), &count).unwrap();
        let guesses = Guesses::of(home.path());
        let error = guesses.counted(|| Ok(())).unwrap_err().to_string();
        assert!(error.contains("is looked at in 1 s"), "{error}");
        std::thread::sleep(FIRST_WAIT);
        guesses.counted(|| Ok(())).unwrap().unwrap();
    }

    /// [S10-10] the count is on the disk before the refusal; while it waits
    /// nothing is looked at, and only the right passphrase ends it.
    #[test]
    fn a_restart_forgives_no_guess() {
        let home = tempfile::tempdir().unwrap();
        // Each from the disk alone, as after a restart.
        let guesses = || Guesses::of(home.path());
        for _ in 0..FREE {
            assert!(guesses().counted(wrong).unwrap().is_err());
        }
        let error = guesses().counted(|| -> Result<(), _> { panic!("it was looked at") });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("5 wrong passphrases"), "{error}");
        let set = |wrong, last_ms| {
            write_record_at(&home.path().join(FILE), &Count { wrong, last_ms }).unwrap();
        };
        set(FREE, 0);
        // A disk that fails is no guess, and forgives none.
        let failed = || Err::<(), _>(SegmentError::Seal(SealError::Random).into());
        assert!(guesses().counted(failed).unwrap().is_err());
        assert!(guesses().counted(wrong).unwrap().is_err());
        assert!(
            guesses().counted(|| Ok(())).is_err(),
            "the right one waits, too"
        );
        set(FREE + 1, 0);
        guesses().counted(|| Ok(())).unwrap().unwrap();
        for _ in 0..FREE {
            assert!(guesses().counted(wrong).unwrap().is_err());
        }
    }
}
