//! `scan --hints-from`: what another database exports, by itself and beside a
//! serving center, from a file and from standard input.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{Ran, Site, binary, record};
use serde_json::Value;

const VOLUME: &str = "0410000001/STD01";

/// A center whose INDEX DB is not read here, scanned.
fn center() -> Site {
    let site = Site::empty();
    for patient in 0..5 {
        let path = record(&format!("{:07}", 1_000_000 + patient), 1);
        site.put(&format!("{VOLUME}/{path}"), b"one");
    }
    site.configure(false);
    let path = site.path("center/hikae.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "[[index_db]]\nurl = \"lines:\"\n").unwrap();
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 5, "{report}");
    site
}

/// Writes a record; gives its directory and name.
fn written(site: &Site, patient: u64) -> (String, String) {
    let path = record(&format!("{:07}", 2_000_000 + patient), 1);
    site.put(&format!("{VOLUME}/{path}"), b"two");
    let (directory, name) = path.rsplit_once('/').unwrap();
    (directory.into(), name.into())
}

fn from_input(site: &Site, lines: &str) -> Ran {
    let mut child = Command::new(binary())
        .args(["scan", "--hints-from", "-", "--json", "--home"])
        .arg(site.text("center"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn lines_name_what_changed() {
    let site = center();
    // Nothing is walked just because no database is read.
    let (directory, name) = written(&site, 1);
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["volumes_walked"], 0, "{report}");
    assert_eq!(report["files_added"], 0, "{report}");
    let file = site.text("changed.csv");
    let csv = format!(
        "\"VolumeLabel\",\"FacilityID\",\"OutRelDirectory\",\"FileName\"\r\n\
         \"STD01\",\"0410000001\",\"{}\",\"{name}\"\r\n",
        directory.replace('/', "\\")
    );
    fs::write(&file, csv).unwrap();
    let report = site.center(&["scan", "--hints-from", &file]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
    assert_eq!(report["directories_hinted"], 1, "{report}");
    assert_eq!(report["volumes_walked"], 0, "{report}");
    // A file that is gone is named by its path.
    fs::remove_file(site.volumes().join(VOLUME).join(&directory).join(&name)).unwrap();
    let path = format!("{VOLUME}/{directory}/{name}\n");
    let report = from_input(&site, &path).ok();
    assert_eq!(report["files_removed"], 1, "{report}");
}

#[test]
fn a_bad_line_is_named_beside_a_serving_center_too_and_the_others_are_seen() {
    let site = center();
    let serving = site.serve();
    let (directory, name) = written(&site, 2);
    let lines = format!("{VOLUME}/{directory}/{name}\nno such thing\n\n0410000009/STD01/a/b/c/d\n");
    let ran = from_input(&site, &lines);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["files_added"], 1, "{}", ran.json);
    assert_eq!(ran.json["rows_garbage"], 2, "{}", ran.json);
    let named = ran.json["garbage"].to_string();
    assert!(
        named.contains("line 2: ") && named.contains("line 4: "),
        "{named}"
    );
    assert!(named.contains("0410000009/STD01"), "{named}");
    serving.end();
    let error = site
        .center(&["scan", "--hints-from", "absent.csv"])
        .failed(1);
    assert!(error.contains("absent.csv"), "{error}");
    let both = ["scan", "--hints-from", "x", "--walk"];
    assert_eq!(site.center(&both).code, Some(2));
}
