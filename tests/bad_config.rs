//! Wrong configurations, keys, homes and arguments: exit code 2, a text that
//! names the file, the line and what was expected, and nothing is begun.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::{Ran, Site, hikae, look};

const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn center(more: &str) -> String {
    format!("role = \"center\"\n[volumes]\ndiscover = \"v\"\n{more}")
}

fn backup(more: &str) -> String {
    format!(
        "role = \"backup\"\n[source]\nid = \"{ID}\"\n[[source.link]]\nname = \"a\"\n\
         remote = \"127.0.0.1:1\"\n{more}"
    )
}

/// A home with a key, and this configuration.
fn home_with(text: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "--role", "center"]).ok();
    fs::write(folder.path().join("hikae.toml"), text).unwrap();
    folder
}

/// Runs a command, and ends it when it does not end by itself: a command that
/// serves where it should refuse (its code is 124 then).
fn run(home: &Path, arguments: &[&str]) -> Ran {
    let home = home.to_str().unwrap();
    harness::hikae_under(
        &["timeout", "--kill-after=1", "10"],
        &[arguments, &["--home", home]].concat(),
    )
}

/// The error of a configuration that must be refused; it names the file and
/// everything in `expected`, and the home is as it was.
#[track_caller]
fn refused(text: &[u8], expected: &[&str]) {
    let home = home_with(text);
    let before = look(home.path());
    for command in ["status", "serve", "scan", "sync", "verify"] {
        let error = run(home.path(), &[command]).failed(2);
        for expected in ["hikae.toml"].iter().chain(expected) {
            assert!(
                error.contains(expected),
                "{command}: expected {expected:?} in: {error}"
            );
        }
    }
    let mut after = look(home.path());
    after.remove(&b"lock"[..]);
    assert_eq!(before, after, "a refused configuration left something");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    refused(
        center("discovr = \"x\"\n").as_bytes(),
        &["line 4", "discovr", "discover"],
    );
    refused(
        b"role = \"center\"\nvolume_s = 1\n",
        &["line 2", "volume_s", "volumes"],
    );
    refused(
        center("[schedule]\nhint = \"60s\"\n").as_bytes(),
        &["line 5", "hint", "hints"],
    );
    refused(
        backup("speed = \"1Mbit/s\"\n").as_bytes(),
        &["line 7", "speed", "rate"],
    );
    refused(
        backup("[gard]\nshare = 0.1\n").as_bytes(),
        &["line 7", "gard", "guard"],
    );
}

#[test]
fn a_wrong_type_is_named_with_its_line() {
    refused(b"role = 7\n", &["line 1"]);
    refused(
        b"role = \"center\"\n[volumes]\ndiscover = 3\n",
        &["line 3", "string"],
    );
    refused(
        center("[[listen]]\nlink = \"a\"\naddr = 4433\n").as_bytes(),
        &["line 6", "address"],
    );
    refused(
        center("[[peer]]\nname = \"a\"\nid = [1]\n").as_bytes(),
        &["line 6", "string"],
    );
    refused(
        backup("[guard]\nshare = \"much\"\n").as_bytes(),
        &["line 8", "f64"],
    );
    refused(
        b"role = \"center\"\nvolumes = \"/ssmix\"\n",
        &["line 2", "Volumes"],
    );
}

#[test]
fn a_bad_filter_or_grant_is_named() {
    refused(
        center("[filter]\nkinds = [\"ADT-*\"]\n").as_bytes(),
        &["a center has no [filter]"],
    );
    for (filter, expected) in [
        ("volumes = []", "[filter] volumes"),
        ("kinds = []", "[filter] kinds"),
        ("kinds = [\"\"]", "[filter] kinds"),
        ("volumes = [\"0410000001\"]", "facility/label"),
        ("since = \"0s\"", "more than no time"),
        ("since = \"soon\"", "no span of time"),
        ("kind = [\"ADT-*\"]", "kinds"),
    ] {
        refused(
            backup(&format!("[filter]\n{filter}\n")).as_bytes(),
            &[expected],
        );
    }
    let peer = format!("[[peer]]\nname = \"a\"\nid = \"{ID}\"\nvolumes = [\"x\"]\n");
    refused(
        center(&peer).as_bytes(),
        &["[[peer]] \"a\" volumes", "facility/label"],
    );
}

#[test]
fn a_bad_rate_hours_span_address_or_id_is_named_with_its_line_and_an_example() {
    for rate in [
        "800 Mbps",
        "fast",
        "",
        "0bit/s",
        "-1Mbit/s",
        "99999999999999999999Gbit/s",
    ] {
        let text = backup(&format!("rate = \"{rate}\"\n"));
        refused(text.as_bytes(), &["line 7", rate, "800Mbit/s"]);
    }
    for hours in [
        "25:00-26:00",
        "20:00-20:00",
        "20-06",
        "20:00",
        "20:60-21:00",
        "夜",
    ] {
        let text = backup(&format!("hours = \"{hours}\"\n"));
        refused(text.as_bytes(), &["line 7", hours, "20:00-06:00"]);
    }
    for span in ["10 parsecs", "soon", "", "-5m"] {
        let index = format!("[index_db]\nurl = \"sqlite:///x\"\noverlap = \"{span}\"\n");
        refused(center(&index).as_bytes(), &["line 6", span, "10m"]);
    }
    for id in [
        "me",
        "",
        &ID[1..],
        "zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    ] {
        let peer = format!("[[peer]]\nname = \"a\"\nid = \"{id}\"\n");
        refused(center(&peer).as_bytes(), &["line 6", id, "64 hexadecimal"]);
    }
    for addr in ["10.9.1.1", "host:4433", "10.9.1.1:99999", "300.1.1.1:1"] {
        let listen = format!("[[listen]]\nlink = \"a\"\naddr = \"{addr}\"\n");
        refused(center(&listen).as_bytes(), &["line 6", "socket address"]);
    }
}

#[test]
fn a_missing_key_is_named() {
    refused(b"", &["role"]);
    refused(b"role = \"center\"\n[volumes]\n", &["line 2", "discover"]);
    refused(
        center("[[volume]]\nfacility = \"F\"\nlabel = \"L\"\n").as_bytes(),
        &["line 4", "root"],
    );
    refused(
        center("[index_db]\ntable = \"T\"\n").as_bytes(),
        &["line 4", "url"],
    );
    refused(
        b"role = \"backup\"\n[[source]]\nlink = []\n",
        &["line 2", "id"],
    );
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    refused(
        b"role = \"center\"\nrole = \"center\"\n",
        &["line 2", "duplicate"],
    );
    refused(b"role = \"center\n", &["line 1"]);
    refused(b"role = \"center\"\n[volumes\n", &["line 2"]);
    refused(b"role = \"center\"\n\xff\xfe\n", &["UTF-8"]);
    refused(b"\0\0\0\0", &["line 1"]);
}

#[test]
fn a_seal_that_protects_nothing_or_has_no_passphrase_is_refused() {
    refused(
        center("").replacen('\n', "\nseal = true\n", 1).as_bytes(),
        &["seal = true", "storage"],
    );
    let backup = |more: &str| backup("").replacen('\n', &format!("\n{more}\n"), 1);
    // What stays waits for `unlock`; everything else says what is wanting.
    let unnamed = home_with(backup("seal = true").as_bytes());
    let error = run(unnamed.path(), &["sync"]).failed(2);
    assert!(
        error.contains("hikae.toml") && error.contains("passphrase_file"),
        "{error}"
    );
    refused(
        backup("passphrase_file = \"p\"").as_bytes(),
        &["seal = true", "passphrase_file"],
    );
    let laptop = backup("").replacen("backup", "laptop", 1);
    refused(laptop.as_bytes(), &["laptop", "seal = true"]);
    refused(backup("seal = \"yes\"").as_bytes(), &["line 2", "boolean"]);
    let home = home_with(backup("seal = true\npassphrase_file = \"p\"").as_bytes());
    let path = home.path().join("p");
    let named = |expected: &str| {
        let error = run(home.path(), &["status"]).failed(2);
        let named = error.contains(path.to_str().unwrap()) && error.contains(expected);
        assert!(named, "expected {expected:?} in: {error}");
        assert!(!home.path().join("store").exists(), "a store was begun");
    };
    named("no passphrase file");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    named("604");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "\n").unwrap();
    named("empty");
}

#[test]
fn values_that_do_not_go_together_are_named() {
    refused(
        format!("{}[source]\nid = \"{ID}\"\n", center("")).as_bytes(),
        &["source"],
    );
    refused(b"role = \"center\"\ntree = \"t\"\n", &["tree"]);
    refused(
        backup("[volumes]\ndiscover = \"v\"\n").as_bytes(),
        &["volumes"],
    );
    refused(
        backup("[index_db]\nurl = \"sqlite:///x\"\n").as_bytes(),
        &["index_db"],
    );
    refused(
        format!("role = \"backup\"\n[source]\nid = \"{ID}\"\n").as_bytes(),
        &["source.link"],
    );
    for (facility, label) in [("..", "L"), ("F", ""), ("a/b", "L"), ("F", ".")] {
        let volume =
            format!("[[volume]]\nfacility = \"{facility}\"\nlabel = \"{label}\"\nroot = \"r\"\n");
        refused(center(&volume).as_bytes(), &["[[volume]]"]);
    }
    let volume = "[[volume]]\nfacility = \"F\"\nlabel = \"L\"\nroot = \"r\"\n";
    refused(
        center(&[volume, volume].concat()).as_bytes(),
        &["F/L", "twice"],
    );
}

/// The contract of DESIGN §5: "an unknown key or a bad value is an error that
/// names the file, the line and what was expected".
#[test]
fn a_value_out_of_its_range_is_named_with_its_line() {
    refused(
        backup("[guard]\nshare = 2.0\n").as_bytes(),
        &["share", "from 0 to 1", "line 8"],
    );
    refused(
        backup("[guard]\nshare = nan\n").as_bytes(),
        &["share", "from 0 to 1", "line 8"],
    );
    refused(
        backup("[guard]\nrecords = 0\n").as_bytes(),
        &["records", "line 8"],
    );
    refused(
        backup("[retention]\nkeep = \"0s\"\n").as_bytes(),
        &["keep", "line 8"],
    );
}

/// With no pause between refreshes a center would do nothing else.
#[test]
fn no_pause_between_refreshes_is_refused() {
    refused(
        center("[schedule]\nhints = \"0s\"\n").as_bytes(),
        &["hints"],
    );
}

/// Refused before anything is opened: what this version does not read.
#[test]
fn an_index_db_of_a_kind_that_is_not_read_names_file_and_url() {
    for url in ["oracle://hikae@db/ssmix", "index.db", "lines:x", ""] {
        let home = home_with(center(&format!("[index_db]\nurl = \"{url}\"\n")).as_bytes());
        let error = run(home.path(), &["scan"]).failed(2);
        assert!(error.contains(url) && error.contains("sqlite:"), "{error}");
        assert!(error.contains("hikae.toml"), "names no file: {error}");
        assert!(!home.path().join("store").exists(), "a store was begun");
    }
}

/// Two roots for one volume: one of them would never be looked at.
#[test]
fn a_volume_that_is_named_and_discovered_is_refused_by_name() {
    let site = Site::empty();
    site.configure(false);
    site.put(&format!("F/L/{}", harness::record("1234567", 1)), b"one");
    let other = site.path("other");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("two"), "two").unwrap();
    let path = site.path("center/hikae.toml");
    let text = fs::read_to_string(&path).unwrap();
    let volume = format!(
        "[[volume]]\nfacility = \"F\"\nlabel = \"L\"\nroot = \"{}\"\n",
        other.display()
    );
    fs::write(&path, text + &volume).unwrap();
    let ran = site.center(&["scan"]);
    assert!(
        matches!(ran.code, Some(1 | 2)),
        "one of two roots was silently left out: {} {}",
        ran.json,
        ran.stderr
    );
    assert!(ran.json.to_string().contains("F/L"), "{}", ran.json);
}

#[test]
fn a_home_without_configuration_or_key_names_the_file_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for home in [folder.path().to_path_buf(), folder.path().join("absent")] {
        let error = run(&home, &["status"]).failed(2);
        let file = home.join("hikae.toml");
        assert!(error.contains(file.to_str().unwrap()), "{error}");
        assert!(error.contains("hikae init"), "{error}");
        assert!(!home.join("store").exists());
    }
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = run(&file, &["status"]).failed(2);
    assert!(error.contains(file.to_str().unwrap()), "{error}");

    let home = home_with(center("").as_bytes());
    fs::remove_file(home.path().join("node.key")).unwrap();
    let error = run(home.path(), &["status"]).failed(2);
    assert!(
        error.contains("node.key") && error.contains("init"),
        "{error}"
    );
}

/// [S10-1] a key that others may read is refused.
#[test]
fn a_key_that_others_can_read_or_that_is_none_is_refused() {
    let home = home_with(center("").as_bytes());
    let key = home.path().join("node.key");
    for mode in [0o640, 0o604, 0o660, 0o666] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let error = run(home.path(), &["status"]).failed(2);
        let named = error.contains("node.key") && error.contains(&format!("{mode:o}"));
        assert!(named && error.contains("600"), "{error}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    run(home.path(), &["status"]).ok();
    for text in ["", "x", &ID[1..], &format!("{ID}{ID}")] {
        fs::write(&key, text).unwrap();
        let error = run(home.path(), &["status"]).failed(2);
        assert!(
            error.contains("node.key") && error.contains("64"),
            "{error}"
        );
    }
}

#[test]
fn a_second_init_is_refused_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["init", "--role", "center"]).ok();
    let before = look(folder.path());
    assert_eq!(before.len(), 2, "configuration and key");
    for role in ["center", "backup"] {
        let error = run(folder.path(), &["init", "--role", role]).failed(2);
        assert!(error.contains("hikae.toml"), "{error}");
    }
    assert_eq!(before, look(folder.path()));
    // A key without configuration is kept as well.
    fs::remove_file(folder.path().join("hikae.toml")).unwrap();
    let error = run(folder.path(), &["init", "--role", "center"]).failed(2);
    assert!(error.contains("node.key"), "{error}");
    assert_eq!(
        look(folder.path())[&b"node.key"[..]],
        before[&b"node.key"[..]]
    );
}

#[test]
fn a_command_of_another_role_says_so() {
    let home = home_with(center("").as_bytes());
    fs::create_dir(home.path().join("v")).unwrap();
    let error = run(home.path(), &["sync"]).failed(2);
    assert!(error.contains("center"), "{error}");
    let home = home_with(backup("").as_bytes());
    for arguments in [
        &["scan"][..],
        &["scan", "--walk"],
        &["scan", "--accept-root"],
    ] {
        let error = run(home.path(), arguments).failed(2);
        assert!(error.contains("center"), "{error}");
    }
}

/// Not: serve for ever without ever pulling.
#[test]
fn a_center_does_not_follow_anybody() {
    let home = home_with(center("").as_bytes());
    fs::create_dir(home.path().join("v")).unwrap();
    let error = run(home.path(), &["sync", "--follow"]).failed(2);
    assert!(error.contains("center"), "{error}");
}

#[test]
fn a_role_without_what_it_needs_says_which_table_is_missing() {
    let home = home_with(b"role = \"center\"\n");
    for command in ["scan", "serve"] {
        let error = run(home.path(), &[command]).failed(2);
        assert!(
            error.contains("hikae.toml") && error.contains("[volumes]"),
            "{error}"
        );
    }
    let home = home_with(b"role = \"backup\"\n");
    let error = run(home.path(), &["sync"]).failed(2);
    assert!(error.contains("[source]"), "{error}");
}

#[test]
fn wrong_arguments_are_usage_errors_that_name_the_argument() {
    let wrong: [(&[&str], &str); 11] = [
        (&[], "Usage"),
        (&["synk"], "synk"),
        (&["scan", "--wlk"], "--wlk"),
        (&["scan", "--hints", "--walk"], "--walk"),
        (&["init"], "--role"),
        (&["init", "--role", "admin"], "admin"),
        (&["verify", "--sample", "0"], "sample"),
        (&["verify", "--sample", "101"], "sample"),
        (&["gen", "--out", "x", "--facilities", "many"], "many"),
        (&["gen", "day", "--out", "x"], "--changes"),
        (&["status", "--home"], "--home"),
    ];
    for (arguments, expected) in wrong {
        let ran = Command::new(env!("CARGO_BIN_EXE_hikae"))
            .args(arguments)
            .env_remove("HIKAE_HOME")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(ran.stdout.is_empty(), "{arguments:?} printed a result");
    }
}

#[test]
fn without_a_home_every_command_asks_for_one() {
    for arguments in [
        &["status"][..],
        &["scan"],
        &["serve"],
        &["sync"],
        &["verify"],
        &["init", "--role", "center"],
    ] {
        let error = hikae(arguments).failed(2);
        assert!(
            error.contains("--home") && error.contains("HIKAE_HOME"),
            "{error}"
        );
    }
}

#[test]
fn an_address_or_a_home_in_use_is_named() {
    let site = Site::empty();
    site.configure(false);
    site.put(&format!("F/L/{}", harness::record("1234567", 1)), b"one");
    let taken = std::net::UdpSocket::bind(("127.0.0.1", site.port)).unwrap();
    let home = site.path("center");
    let error = run(&home, &["serve"]).failed(1);
    assert!(
        error.contains(&format!("127.0.0.1:{}", site.port)),
        "{error}"
    );
    drop(taken);
    let center = site.serve();
    let error = run(&home, &["serve"]).failed(1);
    assert!(error.contains("another hikae process"), "{error}");
    site.center(&["status"]).ok();
    center.end();
}
