//! kill -9 of either side at random moments: started again, it ends in equal
//! roots and equal trees every time.
//!
//! `HIKAE_KILL_CYCLES` (default 20) and `HIKAE_KILL_SEED` choose how many and
//! which; the counts are printed.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{Process, Site};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Folders are compared as a whole this often.
const COMPARE_EVERY: u64 = 10;

/// Who is killed, and while doing what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// The center while it answers a sync.
    Center,
    /// The backup while it pulls and publishes.
    Backup,
    /// The center while it starts and refreshes.
    CenterStarting,
    /// The center while it walks.
    CenterWalking,
}

const VICTIMS: [Victim; 5] = [
    Victim::Center,
    Victim::Backup,
    Victim::Backup,
    Victim::CenterStarting,
    Victim::CenterWalking,
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Kills after a while; says whether the process was still at work.
fn kill_after(process: &mut Process, delay: Duration) -> bool {
    std::thread::sleep(delay);
    let at_work = process.0.try_wait().unwrap().is_none();
    process.kill();
    at_work
}

fn cycle(site: &Site, victim: Victim, delay: Duration) -> bool {
    match victim {
        Victim::Center | Victim::Backup => {
            let mut center = site.serve();
            let mut sync = site.spawn("backup", &["sync"]);
            match victim {
                Victim::Center => {
                    std::thread::sleep(delay);
                    let at_work = sync.0.try_wait().unwrap().is_none();
                    center.kill();
                    sync.kill();
                    at_work
                }
                _ => kill_after(&mut sync, delay),
            }
        }
        Victim::CenterStarting => kill_after(&mut site.spawn("center", &["serve"]), delay),
        Victim::CenterWalking => kill_after(&mut site.spawn("center", &["scan", "--walk"]), delay),
    }
}

#[test]
fn killed_at_any_moment_it_ends_equal() {
    let (cycles, seed) = (
        number("HIKAE_KILL_CYCLES", 20),
        number("HIKAE_KILL_SEED", 20_110_311),
    );
    println!("{cycles} kills, HIKAE_KILL_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let site = Site::generated(2, 250, 3_000);
    let mut counts: BTreeMap<(Victim, &str), u64> = BTreeMap::new();
    let mut rebuilt = 0;
    for at in 0..cycles {
        // The first kills hit the first copy.
        if at >= 3 {
            site.day([5, 40, 150][random.random_range(0..3)]);
        }
        let victim = match at {
            0 | 1 => Victim::Backup,
            _ => VICTIMS[random.random_range(0..VICTIMS.len())],
        };
        let longest = [40, 150, 500][random.random_range(0..3)];
        let delay = Duration::from_millis(random.random_range(0..longest));
        let moment = match cycle(&site, victim, delay) {
            true => "at work",
            false => "done before",
        };
        *counts.entry((victim, moment)).or_default() += 1;
        if at < 2 {
            continue;
        }
        let center = site.serve();
        let report = site.backup(&["sync"]).ok();
        assert_eq!(report["roots_equal"], true, "cycle {at}, {victim:?}");
        let status = site.backup(&["status"]).ok();
        assert_eq!(status["is_published"], true, "cycle {at}, {victim:?}");
        rebuilt += u64::from(!site.center(&["status"]).ok()["rebuilt"].is_null());
        center.end();
        if at % COMPARE_EVERY == COMPARE_EVERY - 1 || at + 1 == cycles {
            site.assert_equal();
            site.backup(&["verify"]).ok();
        }
    }
    println!("killed: {counts:?}; the center rebuilt its index {rebuilt} times");
    let at_work: u64 = counts
        .iter()
        .filter(|((_, moment), _)| *moment == "at work")
        .map(|(_, count)| count)
        .sum();
    assert!(
        at_work * 2 > cycles,
        "too few kills hit a process at work: {counts:?}"
    );
}
