//! What a sync costs when nothing changed.

use std::time::Duration;

use serde_json::Value;

use super::Site;

/// Files that changed within this time before they were read are looked at
/// again by the next refresh.
const SETTLE: Duration = Duration::from_millis(2200);

/// Syncs until the center has nothing more to look at again.
pub fn settle(site: &Site) {
    std::thread::sleep(SETTLE);
    site.backup(&["sync"]).ok();
}

fn last_refresh(site: &Site) -> Value {
    site.center(&["status"]).ok()["last_refresh"].clone()
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// A sync of a site that was synced, with a center that serves: one round trip,
/// under 10 kB, and no look at a file by the center's own counts; which do
/// notice a day.
#[track_caller]
pub fn assert_unchanged_costs_nothing(site: &Site) {
    settle(site);
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["pull"]["changed"], false);
    assert_eq!(report["pull"]["proof_round_trips"], 1);
    assert_eq!(report["pull"]["requests"], 0);
    assert_eq!(report["roots_equal"], true);
    let wire = number(&report["link"]["bytes_sent"]) + number(&report["link"]["bytes_received"]);
    assert!(wire < 10_000, "{wire} bytes on the wire");
    assert_eq!(report["link"]["packets_lost"], 0);
    let refresh = last_refresh(site);
    for (what, count) in refresh["counts"].as_object().unwrap() {
        assert_eq!(
            number(count),
            0,
            "{what} of the storage, with nothing changed"
        );
    }
    assert_eq!(refresh["registry"]["files_read"], 0);
    assert!(
        number(&refresh["registry"]["files_compared"]) > 0,
        "registries are walked each time"
    );
    println!(
        "{} records, nothing changed: {wire} bytes, {} s",
        report["entries"], report["seconds"]
    );

    // The same counts do notice a day.
    let day = site.day(20);
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["pull"]["changed"], true, "{day}");
    assert!(number(&report["pull"]["requests"]) > 0);
    assert!(number(&last_refresh(site)["counts"]["files_read"]) > 0);
}
