//! A wrong INDEX DB: it is a hint, never the truth. Each fault is named,
//! hides no record, removes none, and is over when it is over.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Site, differences, has_program, is_root, record, skipped, unprivileged};
use serde_json::Value;

const VOLUME: &str = "0410000001/STD01";
const TABLE: &str = "CREATE TABLE SSMIXIDX (VolumeLabel varchar(20), FacilityID char(10), \
    PatientID varchar(15), OrderDate varchar(8), DataKind varchar(180), OrderNo varchar(22), \
    ProcessingType varchar(3), EnterOrgCD varchar(5), TransactionDatetime varchar(17), \
    OutRelDirectory varchar(260), FileName varchar(260), UpdateDatetime timestamp);";

/// Runs statements in the center's INDEX DB.
#[track_caller]
fn sql(site: &Site, statements: &str) {
    let mut child = Command::new("sqlite3")
        .arg("-bail")
        .arg(site.path("storage/index.db"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(statements.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{statements}: {errors}");
}

/// A row for a file: its columns as SQL expressions.
fn row(facility: &str, label: &str, directory: &str, name: &str, updated: &str) -> String {
    format!(
        "INSERT INTO SSMIXIDX (FacilityID, VolumeLabel, OutRelDirectory, FileName, UpdateDatetime) \
         VALUES ({facility}, {label}, {directory}, {name}, {updated});\n"
    )
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

/// The database's own time, shifted: `+1 hour`.
fn time(shift: &str) -> String {
    format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{shift}')")
}

/// Writes a record into the storage, and says directory and name.
fn write(site: &Site, patient: &str, order: u64) -> (String, String) {
    let path = record(patient, order);
    site.put(
        &format!("{VOLUME}/{path}"),
        format!("{patient} {order}").as_bytes(),
    );
    let (directory, name) = path.rsplit_once('/').unwrap();
    (directory.into(), name.into())
}

/// Writes a record, and its row as a gateway would at that time.
fn write_with_row(site: &Site, patient: &str, order: u64, updated: &str) {
    let (directory, name) = write(site, patient, order);
    let [directory, name] = [directory, name].map(|text| quoted(&text));
    sql(
        site,
        &row("'0410000001'", "'STD01'", &directory, &name, updated),
    );
}

/// A file that was written less than two seconds before it was read is looked
/// at again by the next scan, hint or no hint.
fn settle() {
    std::thread::sleep(Duration::from_millis(2_100));
}

/// A center of twenty patients with their rows, scanned and synced.
fn copied() -> Site {
    let site = written();
    settle();
    site.center(&["scan"]).ok();
    site.sync().ok();
    site.assert_equal();
    site
}

/// The same, not scanned yet.
fn written() -> Site {
    let site = Site::empty();
    fs::create_dir_all(site.volumes()).unwrap();
    let mut statements = TABLE.to_string();
    for patient in 0..20 {
        let (directory, name) = write(&site, &format!("{:07}", 1_000_000 + patient), 1);
        let [directory, name] = [directory, name].map(|text| quoted(&text));
        let time = match patient {
            0 => time("-1 hours"),
            _ => time("-3 hours"),
        };
        statements += &row("'0410000001'", "'STD01'", &directory, &name, &time);
    }
    sql(&site, &statements);
    site
}

/// `scan` fails with code 1 and names every one of these, and no record is
/// taken for removed.
#[track_caller]
fn failed_scan(site: &Site, arguments: &[&str], expected: &[&str]) -> Value {
    let ran = site.center(arguments);
    let text = ran.json.to_string();
    assert_eq!(ran.code, Some(1), "{text}\n{}", ran.stderr);
    for expected in expected {
        assert!(text.contains(expected), "expected {expected:?} in {text}");
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let status = site.center(&["status"]).ok();
    assert!(
        status["snapshot"]["entries"].as_u64() >= Some(20),
        "records were lost: {status}"
    );
    ran.json
}

/// After the fault: one plain scan finds what the rows name, and a sync ends
/// equal.
#[track_caller]
fn converges(site: &Site) -> Value {
    let report = site.center(&["scan"]).ok();
    let synced = site.sync().ok();
    assert_eq!(synced["roots_equal"], true);
    site.assert_equal();
    site.backup(&["verify"]).ok();
    report
}

/// The fault befalls a center that was scanned before, while a record changes
/// that the walk would find, and one registry that is walked anyway.
fn fault_after_the_first_scan(fault: impl Fn(&Site), mend: impl Fn(&Site), expected: &[&str]) {
    let site = copied();
    write_with_row(&site, "1000003", 2, &time("+0 hours"));
    site.put("0410000001/REG01/users.csv", b"user_id\nu1\n");
    fault(&site);
    let url = site.path("storage/index.db");
    let expected = [&[url.to_str().unwrap(), "SSMIXIDX"], expected].concat();
    failed_scan(&site, &["scan"], &expected);
    // The rest goes on: the registry arrives, and nothing is lost.
    let synced = site.sync().ok();
    assert_eq!(synced["roots_equal"], true);
    assert_eq!(
        differences(&site.volumes(), &site.tree()),
        [format!(
            "only in the first: {VOLUME}/{}",
            record("1000003", 2)
        )]
    );
    mend(&site);
    let report = converges(&site);
    assert_eq!(report["volumes_walked"], 0, "hints alone: {report}");
}

fn away(site: &Site) {
    fs::rename(
        site.path("storage/index.db"),
        site.path("storage/index.away"),
    )
    .unwrap();
}

fn back(site: &Site) {
    fs::rename(
        site.path("storage/index.away"),
        site.path("storage/index.db"),
    )
    .unwrap();
}

#[test]
fn an_absent_database_is_named_and_no_row_is_lost() {
    fault_after_the_first_scan(away, back, &["unable to open"]);
}

#[test]
fn a_file_that_is_no_database_is_named_and_no_row_is_lost() {
    let garbage = |site: &Site| {
        away(site);
        let noise: Vec<u8> = (0..8192_u32).map(|at| (at * 31 % 251) as u8).collect();
        fs::write(site.path("storage/index.db"), noise).unwrap();
    };
    fault_after_the_first_scan(garbage, back, &["not a database"]);
}

#[test]
fn an_absent_table_is_named_and_no_row_is_lost() {
    fault_after_the_first_scan(
        |site| sql(site, "ALTER TABLE SSMIXIDX RENAME TO ELSEWHERE;"),
        |site| sql(site, "ALTER TABLE ELSEWHERE RENAME TO SSMIXIDX;"),
        &["no such table"],
    );
}

#[test]
fn a_wrong_column_is_named_and_no_row_is_lost() {
    fault_after_the_first_scan(
        |site| {
            sql(
                site,
                "ALTER TABLE SSMIXIDX RENAME COLUMN OutRelDirectory TO Directory;",
            )
        },
        |site| {
            sql(
                site,
                "ALTER TABLE SSMIXIDX RENAME COLUMN Directory TO OutRelDirectory;",
            )
        },
        &["no such column", "OutRelDirectory"],
    );
}

/// A connection that holds the database exclusively until it is dropped.
struct Lock(Child);

impl Lock {
    fn on(site: &Site) -> Lock {
        let mut child = Command::new("sqlite3")
            .arg(site.path("storage/index.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.as_mut().unwrap();
        input
            .write_all(b"BEGIN EXCLUSIVE; SELECT 'locked';\n")
            .unwrap();
        input.flush().unwrap();
        let mut said = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(&said, b"locked");
        Lock(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_locked_database_is_named_and_no_row_is_lost() {
    let site = copied();
    write_with_row(&site, "1000003", 2, &time("+0 hours"));
    let lock = Lock::on(&site);
    failed_scan(&site, &["scan"], &["index.db", "locked"]);
    drop(lock);
    let report = converges(&site);
    assert_eq!(report["rows_new"], 1, "{report}");
}

#[test]
fn a_database_that_is_locked_for_a_moment_is_waited_for() {
    let site = copied();
    write_with_row(&site, "1000003", 2, &time("+0 hours"));
    let lock = Lock::on(&site);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            drop(lock);
        });
        site.center(&["scan"]).ok();
    });
    converges(&site);
}

/// A walk needs no INDEX DB: it finds everything, says what failed, and
/// remembers the roots that it saw.
#[test]
fn a_walk_beside_a_broken_database_finds_everything_and_remembers_the_root() {
    let site = copied();
    write(&site, "1000003", 2);
    away(&site);
    let report = failed_scan(&site, &["scan", "--walk"], &["index.db"]);
    assert_eq!(report["files_added"], 1, "the walk's report is lost");
    assert_eq!(report["volumes_walked"], 1);
    assert!(
        report["errors"].to_string().contains("index.db"),
        "{report}"
    );
    let synced = site.sync().ok();
    assert_eq!(synced["entries"], 21);
    site.assert_equal();
    back(&site);
    converges(&site);
}

#[test]
fn a_root_that_is_swapped_after_a_first_walk_beside_a_broken_database_is_noticed() {
    let site = written();
    away(&site);
    failed_scan(&site, &["scan", "--walk"], &["index.db"]);
    let (root, aside) = (site.volumes().join(VOLUME), site.path("aside"));
    fs::rename(&root, &aside).unwrap();
    fs::create_dir(&root).unwrap();
    write(&site, "2000000", 1);
    let ran = site.center(&["scan", "--walk"]);
    let text = ran.json.to_string();
    assert_eq!(ran.code, Some(1), "{text}");
    let status = site.center(&["status"]).ok();
    assert_eq!(
        status["snapshot"]["entries"], 20,
        "records of a swapped root were taken for removed: {text}"
    );
    assert!(
        text.contains(VOLUME) && text.contains("--accept-root"),
        "{text}"
    );
}

/// DESIGN §3: "the first watermark is taken before the first walk begins".
/// Where the database was away then, what changed since has to be found as
/// soon as it is back.
#[test]
fn changes_between_a_first_walk_without_database_and_its_return_are_found() {
    let site = written();
    settle();
    away(&site);
    failed_scan(&site, &["scan"], &["index.db"]);
    back(&site);
    // The first is more than an overlap before the newest row.
    write_with_row(&site, "1000003", 2, &time("-30 minutes"));
    write_with_row(&site, "1000004", 2, &time("-1 minutes"));
    let report = converges(&site);
    assert_eq!(report["files_added"], 2);
}

/// A directory that a row names and that is to be looked at again is one
/// directory.
#[test]
fn a_directory_that_is_named_twice_is_looked_at_and_counted_once() {
    let site = written();
    // Not settled: every leaf is looked at again.
    site.center(&["scan"]).ok();
    let updated = time("+0 hours");
    write_with_row(&site, "1000003", 2, &updated);
    write_with_row(&site, "1000003", 3, &updated);
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 2, "{report}");
    assert_eq!(report["entries"], 22, "{report}");
}

/// Each garbage row is counted and the first are named; the rows beside it
/// are seen.
#[test]
fn garbage_rows_are_named_and_the_others_are_seen() {
    let site = copied();
    let now = time("+0 hours");
    let garbage = [
        // Facility, label, directory, name, and what the report says.
        (
            "NULL",
            "'STD01'",
            "'123/456/1234567'",
            "'g01'",
            "FacilityID",
        ),
        (
            "'0410000001'",
            "NULL",
            "'123/456/1234567'",
            "'g02'",
            "VolumeLabel",
        ),
        (
            "'..'",
            "'STD01'",
            "'123/456/1234567'",
            "'g03'",
            "FacilityID",
        ),
        ("'0410000001'", "'../..'", "'123'", "'g04'", "VolumeLabel"),
        (
            "'0410000001'",
            "'STD01'",
            "'../../../etc'",
            "'g05'",
            "OutRelDirectory",
        ),
        (
            "'0410000001'",
            "'STD01'",
            "'123/../../../../etc'",
            "'g06'",
            "OutRelDirectory",
        ),
        (
            "'0410000001'",
            "'STD01'",
            "'123\\..\\..\\etc'",
            "'g07'",
            "OutRelDirectory",
        ),
        (
            "'0410000001'",
            "'STD01'",
            "CAST(x'410042' AS TEXT)",
            "'g08'",
            "OutRelDirectory",
        ),
        ("x'00ff'", "'STD01'", "'123'", "'g09'", "FacilityID"),
        (
            "'0410000001'",
            "'STD01'",
            "x'ff00fe'",
            "'g10'",
            "OutRelDirectory",
        ),
        (
            "'0410000001'",
            "'STD01'",
            "replace(hex(zeroblob(3000)), '0', 'x')",
            "'g11'",
            "OutRelDirectory",
        ),
    ];
    let mut statements = String::new();
    for (facility, label, directory, name, _) in &garbage {
        statements += &row(facility, label, directory, name, &now);
    }
    sql(&site, &statements);
    write_with_row(&site, "1000003", 2, &now);
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["rows_garbage"], garbage.len(), "{report}");
    let named: Vec<&str> = report["garbage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    for (_, _, _, name, column) in &garbage {
        let name = name.trim_matches('\'');
        assert!(
            named
                .iter()
                .any(|text| text.contains(name) && text.contains(column)),
            "{name} is not named with {column}: {named:#?}"
        );
    }
    assert_eq!(report["files_added"], 1, "the good row was not seen");
    let again = converges(&site);
    assert_eq!(again["rows_garbage"], 0, "named twice: {again}");
}

#[test]
fn rows_without_a_time_are_named_and_the_walk_finds_what_they_hide() {
    let site = copied();
    let times = [
        "'yesterday'",
        "'2026/04/01 12:00:00'",
        "NULL",
        "''",
        "x'00ff'",
        "20260401120000",
    ];
    for (at, updated) in times.into_iter().enumerate() {
        let patient = format!("100000{at}");
        write_with_row(&site, &patient, 2, updated);
        write_with_row(&site, &format!("100001{at}"), 2, &time("+0 hours"));
        let report = site.center(&["scan"]).ok();
        let added = report["files_added"].as_u64().unwrap();
        assert!(added >= 1, "{updated} hid the good row: {report}");
        if added == 2 {
            // It was read: then it is named as well.
            assert_eq!(report["rows_garbage"], 1, "{updated}: {report}");
            let named = report["garbage"][0].as_str().unwrap();
            assert!(named.contains(&format!("{patient}_20250401")), "{named}");
            assert!(named.contains("UpdateDatetime"), "{named}");
        }
    }
    site.center(&["scan", "--walk"]).ok();
    site.sync().ok();
    site.assert_equal();
}

/// Whatever a column's type lets a gateway write: a number in place of a time
/// is the day of a calendar far off to SQLite.
#[test]
fn a_number_in_place_of_a_time_blinds_nothing() {
    let site = written();
    let (directory, name) = write(&site, "1000003", 2);
    let [directory, name] = [directory, name].map(|text| quoted(&text));
    // Day 5,000,000 is in the year 8977.
    sql(
        &site,
        &row("'0410000001'", "'STD01'", &directory, &name, "5000000"),
    );
    settle();
    site.center(&["scan"]).ok();
    write_with_row(&site, "1000004", 2, &time("+0 hours"));
    let report = converges(&site);
    assert_eq!(report["files_added"], 1);
}

#[test]
fn duplicate_rows_and_rows_that_point_at_nothing_are_counted() {
    let site = copied();
    let now = time("+0 hours");
    for _ in 0..3 {
        let (directory, name) = write(&site, "1000003", 2);
        let [directory, name] = [directory, name].map(|text| quoted(&text));
        sql(
            &site,
            &row("'0410000001'", "'STD01'", &directory, &name, &now),
        );
    }
    let nothing = [
        row(
            "'0410000001'",
            "'STD01'",
            "'777/777/7777777/20250401/OMP-01'",
            "'n1'",
            &now,
        ),
        row(
            "'0410000001'",
            "'STD01'",
            "'100/000/1000001/20990101/OMP-01'",
            "'n2'",
            &now,
        ),
        row(
            "'0410000009'",
            "'STD01'",
            "'100/000/1000001/20990101'",
            "'n3'",
            &now,
        ),
        row(
            "'0410000001'",
            "'XXX99'",
            "'100/000/1000001/20990101'",
            "'n4'",
            &now,
        ),
    ];
    sql(&site, &nothing.concat());
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
    assert_eq!(report["files_removed"], 0, "{report}");
    assert_eq!(report["hints_of_unknown_volumes"], 2, "{report}");
    assert_eq!(report["counts"]["directories_absent"], 2, "{report}");
    site.sync().ok();
    site.assert_equal();
    // The walk reports them by name.
    let report = site.center(&["scan", "--walk"]).ok();
    assert_eq!(report["rows_without_file"], 2, "{report}");
    for name in ["n1", "n2"] {
        let named = report["mismatches"].to_string();
        assert!(named.contains(name), "{named}");
    }
}

/// A hint names one directory; one that names none must not cost a walk of
/// the volume, which may hold 300 million records.
#[test]
fn a_row_without_a_directory_does_not_walk_the_volume() {
    for directory in ["NULL", "''"] {
        let site = copied();
        let now = time("+0 hours");
        sql(
            &site,
            &row("'0410000001'", "'STD01'", directory, "'g1'", &now),
        );
        let report = site.center(&["scan"]).ok();
        let read = report["counts"]["directories_read"].as_u64().unwrap();
        assert!(read <= 1, "{directory} walked {read} directories");
        assert_eq!(report["rows_garbage"], 1, "{directory}: {report}");
    }
}

#[test]
fn a_row_of_the_year_2050_blinds_no_later_row() {
    let site = written();
    // One before the first scan, one after it.
    write_with_row(&site, "1000010", 2, "'2050-01-01 00:00:00.000'");
    settle();
    site.center(&["scan"]).ok();
    write_with_row(&site, "1000003", 2, "'2050-01-01 00:00:00.000'");
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
    for order in 3..6 {
        settle();
        site.center(&["scan"]).ok();
        write_with_row(&site, "1000003", order, &time("+0 hours"));
        let report = site.center(&["scan"]).ok();
        assert_eq!(report["files_added"], 1, "{report}");
        assert_eq!(report["rows_new"], 1, "{report}");
    }
    converges(&site);
}

#[test]
fn a_late_commit_within_the_overlap_is_seen_and_one_before_it_is_found_by_the_walk() {
    let site = copied();
    write_with_row(&site, "1000003", 2, &time("+0 hours"));
    settle();
    site.center(&["scan"]).ok();
    // Commits five minutes after the time that it carries.
    write_with_row(&site, "1000004", 2, &time("-5 minutes"));
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 1, "within the overlap: {report}");
    assert_eq!(report["rows_new"], 1, "{report}");
    assert_eq!(report["volumes_walked"], 0, "{report}");
    settle();
    site.center(&["scan"]).ok();
    // Two hours: beyond the overlap of ten minutes.
    write_with_row(&site, "1000005", 2, &time("-2 hours"));
    let report = site.center(&["scan", "--hints"]).ok();
    assert_eq!(report["files_added"], 0, "{report}");
    let report = site.center(&["scan", "--walk"]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
    converges(&site);
}

#[test]
fn a_clock_that_goes_back_hides_nothing_from_the_walk() {
    let site = copied();
    write_with_row(&site, "1000003", 2, &time("+0 hours"));
    site.center(&["scan"]).ok();
    sql(
        &site,
        "UPDATE SSMIXIDX SET UpdateDatetime = strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 years');",
    );
    write_with_row(&site, "1000004", 2, &time("-1 years"));
    site.center(&["scan", "--walk"]).ok();
    write_with_row(&site, "1000005", 2, &time("+0 hours"));
    converges(&site);
}

#[test]
fn windows_separators_and_padded_columns_name_their_directory() {
    let site = copied();
    let now = time("+0 hours");
    let (directory, name) = write(&site, "1000003", 2);
    let directory = quoted(&format!("\\{}\\", directory.replace('/', "\\")));
    sql(
        &site,
        &row(
            "'0410000001   '",
            "'STD01  '",
            &directory,
            &quoted(&name),
            &now,
        ),
    );
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
    assert_eq!(report["rows_garbage"], 0, "{report}");
    // The walk joins such rows to their files, too.
    let report = site.center(&["scan", "--walk"]).ok();
    assert_eq!(report["rows_without_file"], 0, "{report}");
    assert_eq!(report["files_without_row"], 0, "{report}");
    site.sync().ok();
    site.assert_equal();
}

#[test]
fn the_walk_names_files_without_a_row() {
    let site = copied();
    write(&site, "1000003", 2);
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["files_added"], 0, "no row, no hint: {report}");
    let report = site.center(&["scan", "--walk"]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
    assert_eq!(report["files_without_row"], 1, "{report}");
    let named = report["mismatches"].to_string();
    assert!(named.contains(&record("1000003", 2)), "{named}");
    site.sync().ok();
    site.assert_equal();
}

/// The row of a record whose patient directory can't be read now must not be
/// used up.
#[test]
fn a_row_for_an_unreadable_directory_is_looked_at_again_without_another_row() {
    let Some(unprivileged) = unprivileged() else {
        return skipped("bad_index", "root, and no setpriv");
    };
    use std::os::unix::fs::PermissionsExt;
    let mode = |site: &Site, below: &str, mode| {
        let path = site.volumes().join(VOLUME).join(below);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let site = copied();
    let folders = [("100/000/1000003", 3), ("100/000", 4), ("100", 5)];
    for (below, patient) in folders {
        let patient = format!("100000{patient}");
        write_with_row(&site, &patient, 2, &time("+0 hours"));
        mode(&site, below, 0o000);
        let ran = site.center_under(unprivileged, &["scan"]);
        assert_eq!(ran.code, Some(1), "{below}: {}", ran.json);
        let named = ran.json["left_out"].to_string();
        assert!(
            named.contains(&format!("100/000/{patient}")),
            "{below}: {named}"
        );
        assert_eq!(ran.json["files_removed"], 0, "{below}");
        mode(&site, below, 0o755);
        let report = site.center_under(unprivileged, &["scan"]).ok();
        assert_eq!(report["files_added"], 1, "{below}: {report}");
        assert_eq!(report["left_out_total"], 0, "{below}: {report}");
        converges(&site);
    }
}

/// What the first walk could not read has no row that would name it again.
#[test]
fn a_folder_that_the_first_walk_could_not_read_is_looked_at_by_the_next_scan() {
    let Some(unprivileged) = unprivileged() else {
        return skipped("bad_index", "root, and no setpriv");
    };
    use std::os::unix::fs::PermissionsExt;
    let folders = ["100/000/1000003", "100/000", "100", ""];
    let sites = folders.map(|below| (below, written()));
    settle();
    for (below, site) in sites {
        let folder = site.volumes().join(VOLUME).join(below);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
        let ran = site.center_under(unprivileged, &["scan"]);
        assert_eq!(ran.code, Some(1), "{below}: {}", ran.json);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = site.center_under(unprivileged, &["scan"]);
        let report = &ran.json;
        assert_eq!(
            report["entries"], 20,
            "after {below:?} was unreadable at the first walk: {report}"
        );
        assert_eq!(report["left_out_total"], 0, "{below}: {report}");
        assert_eq!(ran.code, Some(0), "{below}: {report}");
        converges(&site);
    }
}

/// Counts stay what they are, however often a directory is looked at.
#[test]
fn what_is_left_out_is_counted_once_however_often_it_is_hinted() {
    let site = copied();
    for link in 0..1_100 {
        let at = format!("{VOLUME}/100/000/1000003/link{link}");
        std::os::unix::fs::symlink("nowhere", site.volumes().join(at)).unwrap();
    }
    for order in 2..5 {
        write_with_row(&site, "1000003", order, &time("+0 hours"));
        let (directory, name) = (quoted("100/000/1000003"), quoted(&order.to_string()));
        let now = time("+0 hours");
        let hint = row("'0410000001'", "'STD01'", &directory, &name, &now);
        sql(&site, &hint);
        let report = site.center(&["scan"]).ok();
        assert_eq!(report["left_out_total"], 1_100, "look {order}");
    }
}

#[test]
fn a_hint_on_one_patient_forgets_nothing_left_out_of_another() {
    let site = copied();
    write(&site, "100000", 1);
    let link = format!("{VOLUME}/100/000/1000003/link");
    std::os::unix::fs::symlink("nowhere", site.volumes().join(&link)).unwrap();
    let report = site.center(&["scan", "--walk"]).ok();
    assert_eq!(report["left_out_total"], 1, "{report}");
    settle();
    site.center(&["scan"]).ok();
    // The id is the beginning of the other.
    let now = time("+0 hours");
    let directory = quoted("100/000/100000");
    sql(
        &site,
        &row("'0410000001'", "'STD01'", &directory, "'x'", &now),
    );
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["left_out_total"], 1, "{report}");
    assert!(report["left_out"].to_string().contains(&link), "{report}");
}

/// The row names a folder below the one that was empty.
#[test]
fn an_empty_folder_is_named_until_a_row_tells_of_a_file_in_it() {
    let site = copied();
    let empty = format!("{VOLUME}/200/000/2000001");
    fs::create_dir_all(site.volumes().join(&empty)).unwrap();
    let report = site.center(&["scan", "--walk"]).ok();
    assert_eq!(report["left_out_total"], 1, "{report}");
    assert!(report["left_out"].to_string().contains(&empty), "{report}");
    write_with_row(&site, "2000001", 1, &time("+0 hours"));
    let report = site.center(&["scan"]).ok();
    assert_eq!(report["volumes_walked"], 0, "{report}");
    assert_eq!(report["files_added"], 1, "{report}");
    assert_eq!(report["left_out_total"], 0, "{report}");
    converges(&site);
}

#[test]
fn what_the_tests_need_is_here() {
    assert!(has_program("sqlite3"), "install sqlite3");
    if !is_root() {
        skipped("bad_index", "nothing; setpriv is not needed without root");
    }
}
