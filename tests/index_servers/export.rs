//! `index export`: the table equals the source's rows for the same records,
//! columns and lengths included, in every database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::harness::{Kind, PASSWORD, Server, Site, hikae_under};

/// Every column but UpdateDatetime, separators as `/`, lengths behind; as
/// one text each, by path. Statements that each of the databases runs.
fn columns(length: &str) -> String {
    let names = [
        "VolumeLabel",
        "FacilityID",
        "PatientID",
        "OrderDate",
        "DataKind",
        "OrderNo",
        "ProcessingType",
        "EnterOrgCD",
        "TransactionDatetime",
        "OutRelDirectory",
        "FileName",
    ];
    let parts: Vec<String> = names
        .iter()
        .map(|name| format!("COALESCE(trim({name}), '(none)'), {length}({name})"))
        .collect();
    parts.join(", ")
}

fn sqlite(path: &str, sql: &str) -> Vec<Vec<String>> {
    let output = Command::new("sqlite3")
        .args(["-separator", "\t", path, sql])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    table(&String::from_utf8(output.stdout).unwrap())
}

fn table(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            line.split('\t')
                .map(|field| field.replace('\\', "/"))
                .collect()
        })
        .collect()
}

/// Where a row's file is: columns and their lengths alternate.
fn path(row: &[String]) -> String {
    format!("{}/{}/{}/{}", row[2], row[0], row[18], row[20])
}

/// Names in Shift_JIS on the disk are text in the table.
fn exists(site: &Site, path: &str) -> bool {
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode(path);
    let sjis = site.volumes().join(std::ffi::OsStr::from_bytes(&sjis));
    site.volumes().join(path).exists() || sjis.exists()
}

/// A backup of a generated center, a day on.
fn synced() -> Site {
    let site = Site::generated(2, 150, 2_000);
    site.center(&["scan"]).ok();
    site.day(300);
    site.sync().ok();
    site
}

#[test]
fn an_exported_table_equals_the_source_s_rows_of_the_same_records() {
    let site = synced();
    let (from, to) = (site.text("storage/index.db"), site.text("export.db"));
    let url = format!("sqlite://{to}");
    let home = site.text("backup");
    // The generator writes Japanese time.
    let export = || {
        hikae_under(
            &["env", "TZ=JST-9"],
            &["index", "export", "--to", &url, "--home", &home],
        )
    };
    let report = export().ok();
    let select = format!("SELECT {}, UpdateDatetime FROM SSMIXIDX", columns("length"));
    let exported = sqlite(&to, &select);
    assert_eq!(report["rows"], exported.len());
    let by_path: BTreeMap<String, &Vec<String>> =
        exported.iter().map(|row| (path(row), row)).collect();
    assert_eq!(by_path.len(), exported.len(), "a record has two rows");
    let (mut same, mut told, mut times, mut odd) = (0, BTreeSet::new(), 0, Vec::new());
    for row in sqlite(&from, &select) {
        let path = path(&row);
        // Rows that point at nothing, and doubles, are not the storage's.
        if !exists(&site, &path) || !told.insert(path.clone()) {
            continue;
        }
        let found = by_path
            .get(&path)
            .unwrap_or_else(|| panic!("no row for {path}"));
        let mut expected = row.clone();
        let name = &row[20];
        let fields: Vec<&str> = name.split('_').collect();
        // The row's time may have more digits than the name's. A few rows
        // are planted that tell of another file.
        if !row[16].starts_with(fields[4]) {
            odd.push(path);
            continue;
        }
        expected[16] = fields[4].into();
        expected[17] = fields[4].len().to_string();
        if fields.len() == 6 {
            expected[14] = "(none)".into();
            expected[15] = String::new();
        }
        assert_eq!(found[..22], expected[..22], "{path}");
        if name.ends_with("_1") {
            match found[22] == row[22] {
                true => times += 1,
                false => odd.push(path),
            }
        }
        same += 1;
    }
    println!(
        "{same} rows are the source's, {times} with their time, of {}",
        exported.len()
    );
    assert!(
        same > 1_800 && times > 1_000,
        "{same} of {}",
        exported.len()
    );
    // A few rows have clocks of their own.
    assert!(odd.len() < 10, "UpdateDatetime: {odd:?}");
    let only = by_path.keys().filter(|path| !told.contains(*path)).count();
    assert!(only * 20 < same, "{only} rows that the source has not");
    for path in by_path.keys() {
        assert!(exists(&site, path), "points at nothing: {path}");
    }
    // Again, after another day: replaced, and marked.
    site.day(50);
    site.sync().ok();
    let report = export().ok();
    let mark = sqlite(&to, "SELECT Epoch, Sequence, Root FROM SSMIXIDX_HIKAE");
    let status = site.status("backup");
    assert_eq!(mark.len(), 1);
    assert_eq!(mark[0][1], status["snapshot"]["sequence"].to_string());
    assert_eq!(mark[0][2], status["snapshot"]["root"].as_str().unwrap());
    let count = sqlite(&to, "SELECT count(*) FROM SSMIXIDX");
    assert_eq!(count[0][0], report["rows"].to_string());
}

/// The center's own table is full of rows that hikae did not write.
#[test]
fn rows_of_others_are_never_replaced() {
    let site = Site::generated(1, 20, 100);
    site.center(&["scan"]).ok();
    let index = site.text("storage/index.db");
    let before = fs::read(&index).unwrap();
    let url = format!("sqlite://{index}");
    let error = site.center(&["index", "export", "--to", &url]).failed(1);
    assert!(
        error.contains("index.db") && error.contains("did not write"),
        "{error}"
    );
    let rows = |path: &str| sqlite(path, "SELECT * FROM SSMIXIDX");
    let kept = site.text("kept.db");
    fs::write(&kept, before).unwrap();
    assert_eq!(rows(&index), rows(&kept));
    for (arguments, code, expected) in [
        (["--to", "oracle://hikae:an0ther-word@db"], 2, "sqlite:"),
        (["--to", "lines:"], 1, "lines:"),
    ] {
        let ran = site.center(&[&["index", "export"], &arguments[..]].concat());
        assert!(!ran.stderr.contains("an0ther-word"), "{}", ran.stderr);
        let error = ran.failed(code);
        assert!(
            error.contains(expected) && !error.contains("an0ther-word"),
            "{error}"
        );
    }
    let bad = ["index", "export", "--to", &url, "--table", "a;b"];
    let error = site.center(&bad).failed(1);
    assert!(error.contains("a;b"), "{error}");
}

/// Every server gets the same table as SQLite does.
pub(crate) fn to_a_server(server: &Server) {
    let site = Site::generated(1, 60, 600);
    site.center(&["scan"]).ok();
    let file = site.text("export.db");
    site.center(&["index", "export", "--to", &format!("sqlite://{file}")])
        .ok();
    let database = match server.kind {
        Kind::Postgres => "CREATE DATABASE copy OWNER hikae;\n",
        Kind::MariaDb => "CREATE DATABASE copy; GRANT ALL ON copy.* TO hikae@'127.0.0.1';",
    };
    let system = match server.kind {
        Kind::Postgres => "postgres",
        Kind::MariaDb => "mysql",
    };
    server.sql_in(system, database);
    let url = server.url_of("copy", PASSWORD);
    for _ in 0..2 {
        let ran = site.center(&["index", "export", "--to", &url]);
        assert!(!ran.json.to_string().contains(PASSWORD), "{}", ran.json);
        let report = ran.ok();
        assert_eq!(report["too_long"].as_array().unwrap().len(), 0, "{report}");
    }
    let (select, time) = match server.kind {
        // A char(10) is padded there; its length is told without.
        Kind::Postgres => (
            columns("char_length"),
            "to_char(UpdateDatetime, 'YYYY-MM-DD HH24:MI:SS.MS')",
        ),
        Kind::MariaDb => (columns("char_length"), "CAST(UpdateDatetime AS CHAR)"),
    };
    let select = match server.kind {
        Kind::Postgres => format!(
            "SELECT concat_ws(chr(9), {select}, {time}) FROM SSMIXIDX ORDER BY FileName COLLATE \"C\", \
             OutRelDirectory COLLATE \"C\"\n"
        ),
        Kind::MariaDb => format!(
            "SELECT {select}, {time} FROM SSMIXIDX ORDER BY CAST(FileName AS BINARY), \
             CAST(OutRelDirectory AS BINARY)"
        ),
    };
    let theirs = table(&server.sql_in("copy", &select));
    let ours = sqlite(
        &file,
        &format!(
            "SELECT {}, UpdateDatetime FROM SSMIXIDX ORDER BY FileName, OutRelDirectory",
            columns("length")
        ),
    );
    assert!(ours.len() > 500);
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(&ours) {
        // FacilityID comes without its padding.
        let mut theirs = theirs.clone();
        if theirs[3] == ours[2].len().to_string() {
            theirs[3].clone_from(&ours[3]);
        }
        // NULL has no length, however that is written.
        theirs.iter_mut().for_each(|field| {
            if field == "NULL" {
                field.clear();
            }
        });
        let ours: Vec<&String> = ours.iter().filter(|field| !field.is_empty()).collect();
        let theirs: Vec<&String> = theirs.iter().filter(|field| !field.is_empty()).collect();
        assert_eq!(theirs, ours);
    }
}
