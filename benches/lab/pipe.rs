//! One direction of an emulated link: what becomes of packets, and when they
//! come out. Pure: takes `now`, gives packets.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a direction does to packets. All shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Bits per second; 0: as fast as it goes.
    pub rate: u64,
    /// One way.
    pub delay: Duration,
    /// Bytes that wait for the wire, at most; more is dropped at the tail.
    pub queue: usize,
    /// Packets lost, each by itself.
    pub loss: f64,
    /// Losses in a row: share of packets at which a burst begins, and its mean
    /// length in packets.
    pub bursts: Option<(f64, f64)>,
    /// Packets that come `REORDERED_BY` later than they should.
    pub reorder: f64,
    /// Packets that come twice.
    pub duplicate: f64,
    /// Nothing comes out.
    pub black: bool,
}

/// By how much a packet is late that others overtake.
const REORDERED_BY: Duration = Duration::from_millis(3);
/// A queue holds so much time at the link's rate where nothing else is said.
const QUEUE: Duration = Duration::from_millis(50);
/// And at least so many bytes.
const QUEUE_MIN: usize = 64 * 1024;

impl Conditions {
    /// A clean line of so many Mbit/s and ms one way.
    pub fn line(mbit: u64, delay_ms: u64) -> Conditions {
        let rate = mbit * 1_000_000;
        let queue = (rate as f64 / 8.0 * QUEUE.as_secs_f64()) as usize;
        Conditions {
            rate,
            delay: Duration::from_millis(delay_ms),
            queue: queue.max(QUEUE_MIN),
            loss: 0.0,
            bursts: None,
            reorder: 0.0,
            duplicate: 0.0,
            black: false,
        }
    }

    /// The same with random loss.
    pub fn lossy(self, loss: f64) -> Conditions {
        Conditions { loss, ..self }
    }
}

/// Counts of a direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    /// By chance, or into a black hole.
    pub lost: u64,
    /// At the tail of a full queue.
    pub dropped: u64,
}

/// One direction.
pub struct Pipe {
    chance: ChaCha8Rng,
    /// By the time at which they come out.
    under_way: BTreeMap<(Duration, u64), Vec<u8>>,
    next: u64,
    /// When the wire is free.
    free_at: Duration,
    in_burst: bool,
    pub counts: Counts,
}

impl Pipe {
    pub fn new(seed: u64) -> Pipe {
        Pipe {
            chance: ChaCha8Rng::seed_from_u64(seed),
            under_way: BTreeMap::new(),
            next: 0,
            free_at: Duration::ZERO,
            in_burst: false,
            counts: Counts::default(),
        }
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.chance.random_bool(share.min(1.0))
    }

    fn is_lost(&mut self, is: &Conditions) -> bool {
        self.in_burst = match is.bursts {
            None => false,
            Some((_, length)) if self.in_burst => !self.happens(1.0 / length.max(1.0)),
            Some((begins, _)) => self.happens(begins),
        };
        is.black || self.in_burst || self.happens(is.loss)
    }

    /// A packet goes in.
    pub fn push(&mut self, now: Duration, is: &Conditions, packet: &[u8]) {
        self.counts.packets_in += 1;
        if self.is_lost(is) {
            self.counts.lost += 1;
            return;
        }
        let seconds = |bytes: usize| match is.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64),
        };
        let waits = self.free_at.saturating_sub(now);
        if waits > seconds(is.queue) {
            self.counts.dropped += 1;
            return;
        }
        self.free_at = self.free_at.max(now) + seconds(packet.len());
        let late = match self.happens(is.reorder) {
            true => REORDERED_BY,
            false => Duration::ZERO,
        };
        let copies = 1 + u64::from(self.happens(is.duplicate));
        for _ in 0..copies {
            let due = self.free_at + is.delay + late;
            self.under_way.insert((due, self.next), packet.to_vec());
            self.next += 1;
        }
    }

    /// The next packet that is out by now; into a black hole all of them.
    pub fn pop(&mut self, now: Duration, is: &Conditions) -> Option<Vec<u8>> {
        loop {
            let first = self.under_way.first_entry()?;
            if first.key().0 > now {
                return None;
            }
            let packet = first.remove();
            if is.black {
                self.counts.lost += 1;
                continue;
            }
            self.counts.packets_out += 1;
            self.counts.bytes_out += packet.len() as u64;
            return Some(packet);
        }
    }

    /// When the next packet comes out.
    pub fn next_due(&self) -> Option<Duration> {
        self.under_way.keys().next().map(|key| key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 1000] = [7; 1000];

    /// So many packets, one each millisecond; when each came out.
    fn through(is: &Conditions, packets: u64) -> (Vec<Duration>, Counts) {
        let mut pipe = Pipe::new(1);
        let mut out = vec![];
        let mut now = Duration::ZERO;
        for _ in 0..packets {
            pipe.push(now, is, &PACKET);
            now += Duration::from_millis(1);
            while pipe.pop(now, is).is_some() {
                out.push(now);
            }
        }
        while let Some(due) = pipe.next_due() {
            pipe.pop(due, is);
            out.push(due);
        }
        (out, pipe.counts)
    }

    #[test]
    fn a_clean_line_brings_all_at_its_rate_and_delay() {
        // 8 Mbit/s is just what comes.
        let (out, counts) = through(&Conditions::line(8, 20), 1_000);
        assert_eq!(
            (counts.packets_out, counts.lost, counts.dropped),
            (1_000, 0, 0)
        );
        assert_eq!(out[0], Duration::from_millis(21));
        // Half of it: twice the time, until the queue is full.
        let half = Conditions {
            queue: 1 << 30,
            ..Conditions::line(4, 20)
        };
        let (out, _) = through(&half, 1_000);
        assert_eq!(out.last(), Some(&Duration::from_millis(2_020)));
        let short = Conditions {
            queue: 10_000,
            ..half
        };
        let (_, counts) = through(&short, 1_000);
        assert!((480..500).contains(&counts.dropped), "{counts:?}");
    }

    #[test]
    fn loss_bursts_reordering_and_duplicates_are_as_said() {
        let line = Conditions::line(0, 1);
        let (_, counts) = through(&line.lossy(0.05), 20_000);
        assert!((900..1_100).contains(&counts.lost), "{counts:?}");
        let bursts = Conditions {
            bursts: Some((0.01, 5.0)),
            ..line
        };
        let (_, counts) = through(&bursts, 20_000);
        assert!((800..1_150).contains(&counts.lost), "{counts:?}");
        let twice = Conditions {
            duplicate: 0.1,
            ..line
        };
        let (_, counts) = through(&twice, 10_000);
        assert!((10_900..11_100).contains(&counts.packets_out), "{counts:?}");
        let mut pipe = Pipe::new(1);
        let late = Conditions {
            reorder: 0.1,
            ..line
        };
        for packet in 0..1_000_u32 {
            pipe.push(
                Duration::from_micros(packet.into()),
                &late,
                &packet.to_le_bytes(),
            );
        }
        let mut order = vec![];
        while let Some(packet) = pipe.pop(Duration::from_secs(1), &late) {
            order.push(u32::from_le_bytes(packet.try_into().unwrap()));
        }
        assert_eq!(order.len(), 1_000);
        assert!(!order.is_sorted());
    }

    #[test]
    fn a_black_hole_takes_what_is_under_way() {
        let mut pipe = Pipe::new(1);
        let line = Conditions::line(8, 20);
        pipe.push(Duration::ZERO, &line, &PACKET);
        let black = Conditions {
            black: true,
            ..line
        };
        assert_eq!(pipe.pop(Duration::from_secs(1), &black), None);
        pipe.push(Duration::from_secs(1), &black, &PACKET);
        assert_eq!(pipe.next_due(), None);
        assert_eq!(pipe.counts.lost, 2);
    }
}
