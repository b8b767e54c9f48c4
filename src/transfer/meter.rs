//! Counts the bytes of answers, and keeps those of a link with a limit to it:
//! what is not read yet, the source may not send.
//!
//! The limit is a token bucket: what is taken keeps to a rate on the average,
//! but for one short burst.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Rate;

/// What may be taken at once, as time at the rate.
const BURST: Duration = Duration::from_millis(50);

/// The bytes of one answer, and with it of its link.
#[derive(Debug, Default)]
pub(super) struct Meter {
    own: AtomicU64,
    link: Arc<AtomicU64>,
    pace: Option<Arc<Pace>>,
}

impl Meter {
    /// For a link with this limit.
    pub(super) fn new(limit: Option<Rate>) -> Meter {
        Meter {
            pace: limit.map(|rate| Arc::new(Pace::new(rate.bytes_per_second))),
            ..Meter::default()
        }
    }

    /// For one more answer of the same link.
    pub(super) fn of_answer(&self) -> Meter {
        Meter {
            own: AtomicU64::new(0),
            link: self.link.clone(),
            pace: self.pace.clone(),
        }
    }

    /// Bytes of this answer so far.
    pub(super) fn of_this(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// Bytes of all answers of the link so far.
    pub(super) fn of_link(&self) -> u64 {
        self.link.load(Ordering::Relaxed)
    }

    /// So many bytes came; returns when more may be taken.
    pub(super) async fn took(&self, bytes: usize) {
        self.own.fetch_add(bytes as u64, Ordering::Relaxed);
        self.link.fetch_add(bytes as u64, Ordering::Relaxed);
        let wait = self.pace.as_ref().map(|pace| pace.spend(bytes as u64));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            tokio::time::sleep(wait).await;
        }
    }
}

/// The bucket, and the clock that fills it.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// A full bucket.
    fn new(bytes_per_second: u64) -> Pace {
        Pace {
            begun: Instant::now(),
            bucket: Mutex::new(Bucket::new(bytes_per_second)),
        }
    }

    /// Takes so many bytes; how long to wait before taking more.
    fn spend(&self, bytes: u64) -> Duration {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.spend(self.begun.elapsed(), bytes)
    }
}

#[derive(Debug)]
struct Bucket {
    /// Bytes per second.
    rate: f64,
    /// Bytes that may be taken now; below zero: what was taken too early.
    level: f64,
    at: Duration,
}

impl Bucket {
    fn new(bytes_per_second: u64) -> Bucket {
        let rate = bytes_per_second.max(1) as f64;
        Bucket {
            rate,
            level: rate * BURST.as_secs_f64(),
            at: Duration::ZERO,
        }
    }

    fn spend(&mut self, now: Duration, bytes: u64) -> Duration {
        let filled = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        let most = self.rate * BURST.as_secs_f64();
        self.level = (self.level + filled).min(most) - bytes as f64;
        self.at = now;
        Duration::try_from_secs_f64(-self.level.min(0.0) / self.rate).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever waits as told never has more than the rate and one burst,
        /// and who takes all that there is gets nearly the rate.
        #[test]
        fn what_is_taken_is_the_rate_and_a_burst(
            rate in 1_000_u64..200_000_000,
            sizes in prop::collection::vec(1_u64..20_000, 1..300)) {
            let mut bucket = Bucket::new(rate);
            let (mut now, mut taken) = (Duration::ZERO, 0);
            for bytes in sizes {
                let wait = bucket.spend(now, bytes);
                taken += bytes;
                now += wait;
                let most = rate as f64 * (now + BURST).as_secs_f64();
                prop_assert!(taken as f64 <= most + 1.0, "{taken} of {most}");
                if !wait.is_zero() {
                    prop_assert!(taken as f64 >= rate as f64 * now.as_secs_f64() - 1.0);
                }
            }
        }
    }

    #[test]
    fn idle_time_fills_no_more_than_a_burst() {
        let mut bucket = Bucket::new(1_000);
        assert_eq!(bucket.spend(Duration::from_secs(100), 50), Duration::ZERO);
        let wait = bucket.spend(Duration::from_secs(100), 1_000);
        assert_eq!(wait, Duration::from_secs(1));
    }
}
