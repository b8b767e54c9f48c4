//! Two links to one source, and what can happen to them: each pull ends in
//! equal roots and trees, what fails costs its own share, and what was sent
//! twice is what was leased again or hedged, counted.
//!
//! `HIKAE_DARK_SECONDS` (default 5) says for how long both links are dark.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;
#[path = "links/relay.rs"]
mod relay;

use std::fs;
use std::time::{Duration, Instant};

use harness::{Process, Ran, Site, assert_same, hikae, noise, number, record};
use relay::Relay;
use serde_json::Value;

/// Records of a center, and bytes of each: of noise, that doesn't compress.
const SMALL: (u64, usize) = (120, 80_000);
const LARGE: (u64, usize) = (1, 12_000_000);
/// Bytes that an answer may have.
const ANSWER_BYTES: u64 = 1_500_000;
/// A datagram's rate of a link where nothing else is said, bytes per second.
const RATE: u64 = 4_000_000;
const DELAY: Duration = Duration::from_millis(10);

/// A center, and the backups that will pull from it.
struct Scene {
    site: Site,
    /// Bytes of all records.
    bytes: usize,
    _center: Process,
}

impl Scene {
    /// With these records and backups; scanned and serving.
    fn new((records, bytes): (u64, usize), backups: &[&str]) -> Scene {
        let site = Site::empty();
        site.configure(false);
        for order in 0..records {
            let patient = format!("{:07}", 1_000_000 + order);
            let path = format!("0410000001/STD01/{}", record(&patient, 1));
            site.put(&path, &noise(bytes, order + 1));
        }
        let mut center = fs::read_to_string(site.path("center/hikae.toml")).unwrap();
        for name in backups {
            let home = site.text(name);
            let made = hikae(["init", "--home", &home, "--role", "backup"]).ok();
            let id = made["node_id"].as_str().unwrap().to_string();
            center += &format!("[[peer]]\nname = \"{name}\"\nid = \"{id}\"\n");
        }
        fs::write(site.path("center/hikae.toml"), center).unwrap();
        site.center(&["scan"]).ok();
        let center = site.serve();
        Scene {
            site,
            bytes: records as usize * bytes,
            _center: center,
        }
    }

    fn relay(&self, rate: u64) -> Relay {
        Relay::new(self.site.port, rate, DELAY)
    }

    /// Points a backup at these links: name, port, more of the configuration.
    fn configure(&self, backup: &str, links: &[(&str, u16, &str)]) {
        let (tree, source) = (self.tree(backup), &self.site.center_id);
        let mut text = format!(
            "role = \"backup\"\ntree = \"{tree}\"\n[source]\nid = \"{source}\"\npatience = \"20s\"\n"
        );
        if dark_seconds() > 15 {
            text = text.replace("patience = \"20s\"\n", "");
        }
        for (name, port, more) in links {
            text += &format!(
                "[[source.link]]\nname = \"{name}\"\nremote = \"127.0.0.1:{port}\"\n{more}"
            );
        }
        fs::write(self.site.path(backup).join("hikae.toml"), text).unwrap();
    }

    fn tree(&self, backup: &str) -> String {
        self.site.text(&format!("{backup}-tree"))
    }

    fn sync(&self, backup: &str) -> Ran {
        hikae(["sync", "--home", &self.site.text(backup)])
    }

    /// A sync by two relays, while `trouble` happens; its report, checked.
    fn pull(&self, backup: &str, relays: [&Relay; 2], trouble: impl FnOnce(Progress)) -> Value {
        let [one, two] = relays.map(Relay::port);
        self.configure(backup, &[("one", one, ""), ("two", two, "")]);
        let ran = std::thread::scope(|threads| {
            let syncing = threads.spawn(|| self.sync(backup));
            trouble(Progress {
                bytes: self.bytes,
                relays,
                ended: &|| syncing.is_finished(),
            });
            syncing.join().unwrap()
        });
        let report = ran.ok();
        self.assert_whole(backup, &report);
        println!("{backup}: {}", summary(&report));
        report
    }

    /// Equal roots, equal trees, and nothing sent twice for no reason.
    fn assert_whole(&self, backup: &str, report: &Value) {
        assert_eq!(report["roots_equal"], true, "{backup}: {report}");
        assert_same(&self.site.volumes(), self.tree(backup).as_ref());
        let links = report["links"].as_array().unwrap();
        let sum = |name: &str| -> u64 { links.iter().map(|link| count(link, name)).sum() };
        let again = sum("retries") + sum("hedges");
        assert!(
            sum("bytes_twice") <= again * ANSWER_BYTES,
            "{backup}: {}",
            summary(report)
        );
        assert!(
            sum("bundles") >= count(&report["pull"], "requests"),
            "{backup}"
        );
    }
}

/// How far a pull is, seen at the relays.
struct Progress<'a> {
    bytes: usize,
    relays: [&'a Relay; 2],
    ended: &'a dyn Fn() -> bool,
}

impl Progress<'_> {
    /// Waits until a share of all bytes came through both relays.
    fn wait(&self, share: f64) {
        let wanted = self.bytes as f64 * share;
        let brought = || -> u64 { self.relays.iter().map(|relay| relay.brought()).sum() };
        while (brought() as f64) < wanted && !(self.ended)() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Until the end, the longest time without a byte from this relay.
    fn longest_gap(&self, relay: &Relay) -> Duration {
        let (mut brought, mut since, mut longest) =
            (relay.brought(), Instant::now(), Duration::ZERO);
        while !(self.ended)() {
            std::thread::sleep(Duration::from_millis(2));
            // The last bytes of a pull are followed by work on the disk.
            if relay.brought() > brought + 2_000 {
                longest = longest.max(since.elapsed());
                (brought, since) = (relay.brought(), Instant::now());
            }
        }
        longest
    }
}

fn dark_seconds() -> u64 {
    number("HIKAE_DARK_SECONDS", 5)
}

fn count(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {value}"))
}

fn link<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut links = report["links"].as_array().unwrap().iter();
    links.find(|link| link["name"] == name).unwrap()
}

fn summary(report: &Value) -> String {
    let links = report["links"].as_array().unwrap().iter();
    let each = links.map(|link| {
        format!(
            "{} {}: {} bundles, {} bytes, {} retries, {} hedges, {} twice, {} connections",
            link["name"],
            link["state"],
            link["bundles"],
            link["answer_bytes"],
            link["retries"],
            link["hedges"],
            link["bytes_twice"],
            link["connections"]
        )
    });
    let links: Vec<String> = each.collect();
    format!(
        "{:.2} s; {}",
        report["pull_seconds"].as_f64().unwrap(),
        links.join("; ")
    )
}

/// [S8-17] [S8-18] whatever happens to links, an answer is an answer.
#[test]
fn what_happens_to_a_link_costs_its_own_share() {
    let scene = Scene::new(
        SMALL,
        &[
            "steady", "first", "second", "flapping", "unequal", "deaf", "mute", "lossy", "blocked",
            "dark",
        ],
    );
    let scene = &scene;
    std::thread::scope(|threads| {
        threads.spawn(|| steady(scene));
        threads.spawn(|| black_hole(scene, "first", 0));
        threads.spawn(|| black_hole(scene, "second", 1));
        threads.spawn(|| flapping(scene));
        threads.spawn(|| unequal(scene));
        threads.spawn(|| one_way(scene, "deaf", Relay::down));
        threads.spawn(|| one_way(scene, "mute", Relay::up));
        threads.spawn(|| lossy(scene));
        threads.spawn(|| blocked(scene));
        threads.spawn(|| dark(scene));
    });
}

/// Both links are used, and the operator is told that they are one here.
fn steady(scene: &Scene) {
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    let report = scene.pull("steady", [&relays[0], &relays[1]], |_| {});
    for name in ["one", "two"] {
        let link = link(&report, name);
        assert!(
            count(link, "answer_bytes") > 1_000_000,
            "{}",
            summary(&report)
        );
        assert!(
            count(link, "rate") > 0 && count(link, "rtt_us") > 0,
            "{link}"
        );
        assert_eq!(link["state"], "open");
        assert_eq!(link["local"], "127.0.0.1");
    }
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("one and two leave by the same route"),
        "{notes}"
    );
    // Nothing new: the second link is not even opened.
    let report = scene.sync("steady").ok();
    assert_eq!(count(link(&report, "one"), "connections"), 1);
    assert_eq!(count(link(&report, "two"), "connections"), 0);
    assert_eq!(link(&report, "two")["state"], "idle");
}

/// One link dies in the middle of its bundles; the other carries on.
fn black_hole(scene: &Scene, backup: &str, dies: usize) {
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    let mut gap = Duration::ZERO;
    let report = scene.pull(backup, [&relays[0], &relays[1]], |progress| {
        progress.wait(0.3);
        relays[dies].black(true);
        gap = progress.longest_gap(&relays[1 - dies]);
    });
    assert!(gap < Duration::from_secs(3), "{backup}: {gap:?}");
    assert_taken_over(&report, dies);
}

fn flapping(scene: &Scene) {
    let relays = [scene.relay(RATE), scene.relay(RATE / 2)];
    scene.pull("flapping", [&relays[0], &relays[1]], |progress| {
        progress.wait(0.1);
        while !(progress.ended)() {
            relays[0].black(true);
            std::thread::sleep(Duration::from_millis(700));
            relays[0].black(false);
            std::thread::sleep(Duration::from_millis(500));
        }
    });
}

/// Ten to one: the slow link must not keep the end waiting.
fn unequal(scene: &Scene) {
    let relays = [scene.relay(RATE), scene.relay(RATE / 10)];
    let report = scene.pull("unequal", [&relays[0], &relays[1]], |_| {});
    let [fast, slow] = ["one", "two"].map(|name| count(link(&report, name), "answer_bytes"));
    assert!(fast > 4 * slow, "{}", summary(&report));
}

/// Only one direction of one link dies.
fn one_way(scene: &Scene, backup: &str, direction: fn(&Relay) -> &relay::Direction) {
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    let mut gap = Duration::ZERO;
    let report = scene.pull(backup, [&relays[0], &relays[1]], |progress| {
        progress.wait(0.3);
        let black = &direction(&relays[0]).black;
        black.store(true, std::sync::atomic::Ordering::Relaxed);
        gap = progress.longest_gap(&relays[1]);
    });
    assert!(gap < Duration::from_secs(3), "{backup}: {gap:?}");
    assert_taken_over(&report, 0);
}

/// What one link held was asked for again by the other, or overtaken.
fn assert_taken_over(report: &Value, dead: usize) {
    let names = ["one", "two"];
    let (dead, other) = (link(report, names[dead]), link(report, names[1 - dead]));
    assert!(
        count(dead, "retries") + count(other, "hedges") > 0,
        "{}",
        summary(report)
    );
}

fn lossy(scene: &Scene) {
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    relays.iter().for_each(|relay| relay.loss(500));
    scene.pull("lossy", [&relays[0], &relays[1]], |_| {});
}

/// A firewall that lets no UDP through, from the start.
fn blocked(scene: &Scene) {
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    relays[0].black(true);
    let report = scene.pull("blocked", [&relays[0], &relays[1]], |_| {});
    assert_eq!(count(link(&report, "one"), "bundles"), 0);
    assert_eq!(count(link(&report, "one"), "connections"), 0);
}

fn dark(scene: &Scene) {
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    let report = scene.pull("dark", [&relays[0], &relays[1]], |progress| {
        progress.wait(0.3);
        relays.iter().for_each(|relay| relay.black(true));
        std::thread::sleep(Duration::from_secs(dark_seconds()));
        relays.iter().for_each(|relay| relay.black(false));
    });
    let connections = ["one", "two"].map(|name| count(link(&report, name), "connections"));
    assert!(connections.iter().sum::<u64>() > 2, "{}", summary(&report));
}

/// One large content comes by both links, chunk by chunk; what a link held when
/// it died comes by the other.
#[test]
fn the_chunks_of_one_content_come_by_all_links() {
    let scene = Scene::new(LARGE, &["both", "dies"]);
    let relays = [scene.relay(RATE), scene.relay(RATE)];
    let report = scene.pull("both", [&relays[0], &relays[1]], |_| {});
    for name in ["one", "two"] {
        let brought = count(link(&report, name), "answer_bytes");
        assert!(brought > scene.bytes as u64 / 3, "{}", summary(&report));
    }
    black_hole(&scene, "dies", 0);
}

/// A limit is kept, and hours are.
#[test]
fn rate_and_hours_are_in_force() {
    let scene = Scene::new(SMALL, &["limited", "late"]);
    let port = scene.site.port;
    scene.configure("limited", &[("one", port, "rate = \"24Mbit/s\"\n")]);
    let report = scene.sync("limited").ok();
    scene.assert_whole("limited", &report);
    let bytes = count(&report["link"], "bytes_received") as f64;
    let seconds = report["pull_seconds"].as_f64().unwrap();
    // 3 MB/s; at its end the pull syncs the disk.
    assert!(bytes / seconds < 3.3e6, "{bytes} in {seconds} s");
    assert!(seconds < bytes / 3e6 + 3.0, "{bytes} in {seconds} s");

    // An hour and two from now.
    let now = jiff::Zoned::now();
    let later = |hours: i64| {
        let at = &now + jiff::Span::new().hours(hours);
        format!("{:02}:{:02}", at.hour(), at.minute())
    };
    let closed = format!("hours = \"{}-{}\"\n", later(1), later(2));
    scene.configure("late", &[("night", port, closed.as_str())]);
    let error = scene.sync("late").failed(1);
    assert!(
        error.contains("night only") && error.contains(&later(1)),
        "{error}"
    );
    let both = [("night", port, closed.as_str()), ("day", port, "")];
    scene.configure("late", &both);
    let report = scene.sync("late").ok();
    scene.assert_whole("late", &report);
    assert_eq!(link(&report, "night")["state"], "hours");
    assert_eq!(count(link(&report, "night"), "connections"), 0);
}
