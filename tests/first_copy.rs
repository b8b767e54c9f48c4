//! Storages arrive equal.

mod harness;

use harness::Site;

#[test]
fn a_small_storage_arrives_equal_and_the_look_notices_a_byte_and_an_mtime() {
    let site = Site::generated(1, 2, 20);
    site.center(&["scan"]).ok();
    let _center = site.serve();
    let report = site.backup(&["sync"]).ok();
    assert_eq!(report["roots_equal"], true);
    site.assert_equal();
}
