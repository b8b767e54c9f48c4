//! INDEX DBs on real servers, PostgreSQL and MariaDB: what they say is seen,
//! each fault is named and hides nothing, and no password is shown.
//!
//! HIKAE_INDEX_ROWS sets how many rows change at once.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

#[path = "index_servers/export.rs"]
mod export;
mod harness;
#[path = "index_servers/lines.rs"]
mod lines;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Kind, PASSWORD, Process, Ran, Server, Site, binary, hikae_under, record};
use serde_json::Value;

const VOLUME: &str = "0410000001/STD01";

/// A center whose rows lie on a server.
struct Center {
    site: Site,
    server: Server,
    /// Of the next record.
    patient: std::cell::Cell<u64>,
}

/// A statement that makes the table.
fn table(name: &str, updated: &str) -> String {
    format!(
        "CREATE TABLE {name} (VolumeLabel varchar(20), FacilityID char(10), \
         PatientID varchar(15), OrderDate varchar(8), DataKind varchar(180), OrderNo varchar(22), \
         ProcessingType varchar(3), EnterOrgCD varchar(5), TransactionDatetime varchar(17), \
         OutRelDirectory varchar(260), FileName varchar(260), UpdateDatetime {updated});\n"
    )
}

impl Center {
    /// Twenty records with their rows, scanned.
    fn scanned(kind: Kind) -> Center {
        let center = Center {
            site: Site::empty(),
            server: Server::start(kind),
            patient: std::cell::Cell::new(1_000_000),
        };
        fs::create_dir_all(center.site.volumes()).unwrap();
        let updated = match kind {
            Kind::Postgres => "timestamp",
            Kind::MariaDb => "datetime(6)",
        };
        center.server.sql(&table("SSMIXIDX", updated));
        if kind == Kind::Postgres {
            center.server.sql("GRANT SELECT ON SSMIXIDX TO hikae;\n");
        }
        let rows: String = (0..20)
            .map(|_| center.written("SSMIXIDX", &center.shifted("-3 HOUR")))
            .collect();
        center.server.sql(&rows);
        center.configure(&[(&center.server.url(), "SSMIXIDX")]);
        let report = center.scan(&["scan"]).ok();
        assert_eq!(report["files_added"], 20, "{report}");
        // Rows just before the first watermark are looked at once more.
        center.scan(&["scan"]).ok();
        center
    }

    /// Names the INDEX DBs in the configuration.
    fn configure(&self, indexes: &[(&str, &str)]) {
        self.site.configure(false);
        let path = self.site.path("center/hikae.toml");
        let mut text = fs::read_to_string(&path).unwrap();
        for (url, table) in indexes {
            text +=
                &format!("[[index_db]]\nurl = \"{url}\"\ntable = \"{table}\"\nzone = \"+09:00\"\n");
        }
        fs::write(&path, text + "[schedule]\nhints = \"100ms\"\n").unwrap();
    }

    fn scan(&self, arguments: &[&str]) -> Ran {
        self.site.center(arguments)
    }

    /// The server's own time, shifted: `-5 MINUTE`.
    fn shifted(&self, shift: &str) -> String {
        match self.server.kind {
            Kind::Postgres => format!("now() + interval '{shift}'"),
            Kind::MariaDb => format!("NOW(6) + INTERVAL {shift}"),
        }
    }

    /// The path of a record that is not there yet.
    fn next(&self) -> String {
        self.patient.set(self.patient.get() + 1);
        record(&self.patient.get().to_string(), 1)
    }

    /// Writes a record, and gives the statement for its row.
    fn written(&self, table: &str, updated: &str) -> String {
        let path = self.next();
        self.site.put(&format!("{VOLUME}/{path}"), path.as_bytes());
        row(table, &path, updated)
    }

    /// A scan by hints finds these files, and only by them.
    #[track_caller]
    fn hints_find(&self, files: u64) -> Value {
        let report = self.scan(&["scan", "--hints"]).ok();
        assert_eq!(report["volumes_walked"], 0, "{report}");
        assert_eq!(report["files_added"], files, "{report}");
        report
    }

    /// A scan fails with 1, names all of these, loses nothing, and shows no
    /// password in whatever log.
    #[track_caller]
    fn fails(&self, expected: &[&str]) {
        let wrapper = ["env", "HIKAE_LOG=trace"];
        let home = self.site.text("center");
        let ran = hikae_under(&wrapper, &["scan", "--hints", "--home", &home]);
        let text = ran.json.to_string();
        assert_eq!(ran.code, Some(1), "{text}\n{}", ran.stderr);
        for expected in expected {
            assert!(text.contains(expected), "expected {expected:?} in {text}");
        }
        assert_eq!(ran.json["files_removed"], 0, "{text}");
        assert_secret(&ran);
    }
}

#[track_caller]
fn assert_secret(ran: &Ran) {
    for secret in [PASSWORD, "an0ther-word"] {
        assert!(!ran.json.to_string().contains(secret), "{}", ran.json);
        assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
    }
}

/// A row as a Windows gateway writes it.
fn row(table: &str, path: &str, updated: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap();
    // Both servers read this as one backslash, whatever their modes are.
    let directory: Vec<String> = directory
        .split('/')
        .map(|part| format!("'{part}'"))
        .collect();
    let directory = match directory.len() {
        1 => directory[0].clone(),
        _ => format!("CONCAT({})", directory.join(", chr(92), ")),
    };
    format!(
        "INSERT INTO {table} (FacilityID, VolumeLabel, OutRelDirectory, FileName, UpdateDatetime) \
         VALUES ('0410000001', 'STD01  ', {directory}, '{name}', {updated});\n"
    )
}

/// All cases against one server of each kind: starting one takes seconds.
#[test]
fn postgresql() {
    cases(Kind::Postgres);
}

#[test]
fn mariadb() {
    cases(Kind::MariaDb);
}

fn cases(kind: Kind) {
    let mut center = Center::scanned(kind);
    rows_are_seen_once(&center);
    a_zone_that_nobody_told_hides_nothing(&center);
    late_commits_are_seen(&center);
    a_row_of_2050_and_a_clock_that_went_back(&center);
    names_in_other_character_sets(&center);
    every_type_of_time(&center);
    several_tables_and_servers(&center);
    what_is_wrong_with_a_table_is_named(&center);
    a_password_is_never_shown(&center);
    many_rows_at_once_take_little_memory(&center);
    export::to_a_server(&center.server);
    commits_are_readable_soon(&center);
    a_server_that_dies_is_named_and_comes_back(&mut center);
    a_serving_center_connects_again(&mut center);
    let walked = center.scan(&["scan", "--walk"]).ok();
    assert_eq!(walked["files_added"], 0, "{walked}");
    center.site.sync().ok();
    center.site.assert_equal();
}

fn rows_are_seen_once(center: &Center) {
    center
        .server
        .sql(&center.written("SSMIXIDX", &center.shifted("0 SECOND")));
    let report = center.hints_find(1);
    assert_eq!(report["rows_new"], 1, "{report}");
    let report = center.hints_find(0);
    assert_eq!(report["rows_new"], 0, "{report}");
    assert_eq!(report["directories_hinted"], 0, "{report}");
    let walked = center.scan(&["scan", "--walk"]).ok();
    for mismatches in ["rows_without_file", "files_without_row"] {
        assert_eq!(walked[mismatches], 0, "{walked}");
    }
}

/// Where nobody says which time the column has, local time is of the future
/// for hours: that costs reading it again, and hides nothing.
fn a_zone_that_nobody_told_hides_nothing(center: &Center) {
    let path = center.site.path("center/hikae.toml");
    let told = fs::read_to_string(&path).unwrap();
    fs::write(&path, told.replace("zone = \"+09:00\"\n", "")).unwrap();
    center.scan(&["scan"]).ok();
    for shift in ["-1 MINUTE", "0 SECOND", "-9 HOUR"] {
        center
            .server
            .sql(&center.written("SSMIXIDX", &center.shifted(shift)));
        center.hints_find(1);
        let report = center.hints_find(0);
        assert_eq!(report["rows_new"], 0, "{report}");
    }
    fs::write(&path, told).unwrap();
    center.scan(&["scan"]).ok();
}

/// A transaction that began before others and commits after them.
fn late_commits_are_seen(center: &Center) {
    let mut late = center.server.transaction();
    late.run(&center.written("SSMIXIDX", &center.shifted("0 SECOND")));
    std::thread::sleep(Duration::from_millis(300));
    center
        .server
        .sql(&center.written("SSMIXIDX", &center.shifted("0 SECOND")));
    center.hints_find(1);
    late.commit();
    let report = center.hints_find(1);
    assert_eq!(report["rows_new"], 1, "{report}");
}

fn a_row_of_2050_and_a_clock_that_went_back(center: &Center) {
    let far = center.written("SSMIXIDX", "'2050-01-01 00:00:00'");
    center.server.sql(&far);
    center.hints_find(1);
    for _ in 0..2 {
        center
            .server
            .sql(&center.written("SSMIXIDX", &center.shifted("0 SECOND")));
        let report = center.hints_find(1);
        assert_eq!(report["rows_new"], 1, "{report}");
    }
    // A hint can't tell of it: the walk does.
    center
        .server
        .sql(&center.written("SSMIXIDX", &center.shifted("-2 DAY")));
    center.hints_find(0);
    let report = center.scan(&["scan", "--walk"]).ok();
    assert_eq!(report["files_added"], 1, "{report}");
}

/// The disk has names in Shift_JIS, the database in whatever it likes.
fn names_in_other_character_sets(center: &Center) {
    use std::os::unix::ffi::OsStrExt;
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode("^表示能力^^18842-5^退院時サマリー^LN");
    let text = "^表示能力^^18842-5^退院時サマリー^LN";
    let mut tables = vec!["SSMIXIDX"];
    match center.server.kind {
        Kind::Postgres => {}
        Kind::MariaDb => {
            center.server.sql(&format!(
                "{}ALTER TABLE SJIS CONVERT TO CHARACTER SET cp932;\n{}\
                 ALTER TABLE BIN MODIFY OutRelDirectory varbinary(400);\n",
                table("SJIS", "datetime(6)"),
                table("BIN", "datetime(6)"),
            ));
            tables.extend(["SJIS", "BIN"]);
        }
    }
    let url = center.server.url();
    let indexes: Vec<_> = tables.iter().map(|table| (url.as_str(), *table)).collect();
    center.configure(&indexes);
    center.scan(&["scan"]).ok();
    for table in tables {
        let patient = {
            let path = center.next();
            path.split('/').take(3).collect::<Vec<_>>().join("/")
        };
        let below = center.site.volumes().join(VOLUME).join(&patient).join("-");
        let folder = below.join(std::ffi::OsStr::from_bytes(&sjis));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("main"), &patient).unwrap();
        let path = format!("{patient}/-/{text}/main");
        center
            .server
            .sql(&row(table, &path, &center.shifted("0 SECOND")));
        let report = center.hints_find(1);
        assert_eq!(report["rows_garbage"], 0, "{report}");
    }
    if center.server.kind == Kind::Postgres {
        for encoding in ["EUC_JP", "SQL_ASCII"] {
            other_encoding(center, encoding);
        }
    }
    center.configure(&[(&url, "SSMIXIDX")]);
    center.scan(&["scan", "--walk"]).ok();
}

fn other_encoding(center: &Center, encoding: &str) {
    let name = encoding.to_lowercase();
    center.server.sql_in(
        "postgres",
        &format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 OWNER hikae;\n"),
    );
    let made = format!(
        "{}GRANT SELECT ON SSMIXIDX TO hikae;\n",
        table("SSMIXIDX", "timestamptz")
    );
    center.server.sql_in(&name, &made);
    center.configure(&[(&center.server.url_of(&name, PASSWORD), "SSMIXIDX")]);
    center.scan(&["scan"]).ok();
    let insert = center.written("SSMIXIDX", &center.shifted("0 SECOND"));
    // Bytes that are no UTF-8, where the server lets them in.
    let (from, to) = match encoding {
        "SQL_ASCII" => (
            "'STD01  '",
            "convert_from('\\x5354443031'::bytea, 'SQL_ASCII')",
        ),
        _ => ("'STD01  '", "'STD01'"),
    };
    center.server.sql_in(&name, &insert.replace(from, to));
    if encoding == "SQL_ASCII" {
        let garbage = "INSERT INTO SSMIXIDX (FacilityID, VolumeLabel, OutRelDirectory, FileName, \
             UpdateDatetime) VALUES ('0410000001', 'STD01', \
             'x/' || convert_from('\\x95'::bytea, 'SQL_ASCII'), 'x', now());\n";
        center.server.sql_in(&name, garbage);
    }
    let report = center.hints_find(1);
    assert_eq!(report["rows_garbage"], 0, "{encoding}: {report}");
}

fn every_type_of_time(center: &Center) {
    let types: &[&str] = match center.server.kind {
        Kind::Postgres => &["timestamptz", "timestamp(0)", "timestamptz(3)", "date"],
        Kind::MariaDb => &["datetime", "timestamp NULL", "timestamp(3) NULL", "date"],
    };
    let url = center.server.url();
    for (at, updated) in types.iter().enumerate() {
        let name = format!("TIMES{at}");
        center.server.sql(&table(&name, updated));
        if center.server.kind == Kind::Postgres {
            center
                .server
                .sql(&format!("GRANT SELECT ON {name} TO hikae;\n"));
        }
        center.configure(&[(&url, &name)]);
        center.scan(&["scan"]).ok();
        for shift in ["-1 MINUTE", "0 SECOND"] {
            center
                .server
                .sql(&center.written(&name, &center.shifted(shift)));
            let report = center.hints_find(1);
            assert_eq!(report["rows_garbage"], 0, "{updated}: {report}");
            center.hints_find(0);
        }
        // A row without a time is the walk's.
        center.server.sql(&center.written(&name, "NULL"));
        center.hints_find(0);
        center.scan(&["scan", "--walk"]).ok();
    }
    center.configure(&[(&url, "SSMIXIDX")]);
}

fn several_tables_and_servers(center: &Center) {
    let sqlite = format!("sqlite://{}", center.site.text("storage/index.db"));
    let status = Command::new("sqlite3")
        .arg(center.site.path("storage/index.db"))
        .arg(table("SSMIXIDX", "timestamp"))
        .status()
        .unwrap();
    assert!(status.success());
    let url = center.server.url();
    center.configure(&[
        (&url, "SSMIXIDX"),
        (&url, "ssmix.TIMES0"),
        (&sqlite, "SSMIXIDX"),
    ]);
    if center.server.kind == Kind::Postgres {
        center.configure(&[
            (&url, "SSMIXIDX"),
            (&url, "public.TIMES0"),
            (&sqlite, "SSMIXIDX"),
        ]);
    }
    center.scan(&["scan"]).ok();
    let rows: String = ["SSMIXIDX", "TIMES0"]
        .map(|table| center.written(table, &center.shifted("0 SECOND")))
        .concat();
    center.server.sql(&rows);
    center.hints_find(2);
    // One that is away keeps none of the others from being read.
    fs::rename(
        center.site.path("storage/index.db"),
        center.site.path("storage/away.db"),
    )
    .unwrap();
    center
        .server
        .sql(&center.written("TIMES0", &center.shifted("0 SECOND")));
    let ran = center.scan(&["scan", "--hints"]);
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert_eq!(ran.json["files_added"], 1, "{}", ran.json);
    assert!(ran.json["errors"].to_string().contains("index.db"));
    center.configure(&[(&url, "SSMIXIDX")]);
}

fn what_is_wrong_with_a_table_is_named(center: &Center) {
    let url = center.server.url();
    let shown = url.replace(PASSWORD, "***");
    center.configure(&[(&url, "ELSEWHERE")]);
    center.fails(&[&shown, "ELSEWHERE", "no such table"]);
    let server = &center.server;
    server.sql(&table("LACKS", "timestamp NULL"));
    server.sql("ALTER TABLE LACKS DROP COLUMN OutRelDirectory;\n");
    server.sql(&table("TEXTS", "varchar(30)"));
    if server.kind == Kind::Postgres {
        server.sql("GRANT SELECT ON LACKS, TEXTS TO hikae;\n");
    }
    center.configure(&[(&url, "LACKS")]);
    center.fails(&[&shown, "LACKS", "no such column: OutRelDirectory"]);
    center.configure(&[(&url, "TEXTS")]);
    center.fails(
        &[&shown, "TEXTS", "UpdateDatetime", "timestamp"].map(|text| match (text, server.kind) {
            ("UpdateDatetime", Kind::Postgres) => "updatedatetime",
            _ => text,
        }),
    );
    center.configure(&[(&url, "SSMIXIDX")]);
}

fn a_password_is_never_shown(center: &Center) {
    let server = &center.server;
    center.configure(&[(&server.url_of("ssmix", "an0ther-word"), "SSMIXIDX")]);
    center.fails(&["hikae", "127.0.0.1"]);
    let status = center.scan(&["status"]);
    assert_secret(&status);
    // Nor where the line is shown in which it stands.
    for url in [
        "oracle://hikae:an0ther-word@db/x",
        "postgre://hikae:an0ther-word@db/x",
    ] {
        center.configure(&[(url, "SSMIXIDX")]);
        let ran = center.scan(&["scan"]);
        assert_eq!(ran.code, Some(2), "{}", ran.json);
        assert!(ran.json.to_string().contains("line"), "{}", ran.json);
        assert_secret(&ran);
    }
    center.configure(&[("postgres://hikae:an0ther-word@:x/", "SSMIXIDX")]);
    assert_secret(&center.scan(&["scan", "--hints"]));
    // What is kept in the store names no password either.
    center.configure(&[(&server.url(), "SSMIXIDX")]);
    center.scan(&["scan"]).ok();
    let state = fs::read(center.site.path("center/store/source.state")).unwrap();
    let has = |text: &str| {
        state
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(has("127.0.0.1") && !has(PASSWORD));
}

/// Bytes that a command held at most.
fn peak(arguments: &[&str]) -> u64 {
    let mut child = Command::new(binary())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = status.unwrap_or_default();
        let kilobytes = line
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn many_rows_at_once_take_little_memory(center: &Center) {
    let rows: u64 = std::env::var("HIKAE_INDEX_ROWS").map_or(60_000, |text| text.parse().unwrap());
    let home = center.site.text("center");
    let scan = ["scan", "--hints", "--home", home.as_str()];
    center
        .server
        .sql(&center.written("SSMIXIDX", &center.shifted("0 SECOND")));
    let few = peak(&scan);
    // Five rows a patient, each in a directory of its own, none on the disk.
    let (id, series, pad) = match center.server.kind {
        Kind::Postgres => (
            "(9000000 + n / 5)::text",
            format!("generate_series(1, {rows}) AS s(n)"),
            "n::text",
        ),
        Kind::MariaDb => (
            "CAST(9000000 + n DIV 5 AS CHAR)",
            format!("(SELECT seq AS n FROM seq_1_to_{rows}) AS s"),
            "CAST(n AS CHAR)",
        ),
    };
    center.server.sql(&format!(
        "INSERT INTO SSMIXIDX (FacilityID, VolumeLabel, OutRelDirectory, FileName, UpdateDatetime) \
         SELECT '0410000001', 'STD01', CONCAT(substr({id}, 1, 3), '/', substr({id}, 4, 3), '/', {id}, \
         '/20250401/K-', {pad}), 'x', {} FROM {series};\n",
        center.shifted("0 SECOND")
    ));
    center
        .server
        .sql(&center.written("SSMIXIDX", &center.shifted("0 SECOND")));
    let begun = Instant::now();
    let many = peak(&scan);
    println!(
        "{:?}: {} kB with one row, {} kB with {rows}, {:?}",
        center.server.kind,
        few / 1024,
        many / 1024,
        begun.elapsed()
    );
    assert!(many < 256 << 20, "{many} bytes");
    assert!(
        (many - few) / rows < 200 || many < 200 << 20,
        "{few} to {many} bytes"
    );
    let report = center.hints_find(0);
    assert_eq!(report["rows_new"], 0, "handled twice: {report}");
    center
        .server
        .sql("DELETE FROM SSMIXIDX WHERE FileName = 'x';\n");
}

/// Killed while it answers: a view makes each row slow.
fn a_server_that_dies_is_named_and_comes_back(center: &mut Center) {
    let (view, grant) = match center.server.kind {
        Kind::Postgres => (
            "CREATE VIEW SLOW AS SELECT * FROM SSMIXIDX WHERE pg_sleep(0.02) IS NOT NULL;\n",
            "GRANT SELECT ON SLOW TO hikae;\n",
        ),
        Kind::MariaDb => (
            "CREATE VIEW SLOW AS SELECT * FROM SSMIXIDX WHERE SLEEP(0.02) = 0;\n",
            "SELECT 1;\n",
        ),
    };
    center.server.sql(view);
    center.server.sql(grant);
    let url = center.server.url();
    center.configure(&[(&url, "SSMIXIDX"), (&url, "SLOW")]);
    center.scan(&["scan"]).ok();
    let rows: String = (0..3)
        .map(|_| center.written("SSMIXIDX", &center.shifted("0 SECOND")))
        .collect();
    center.server.sql(&rows.repeat(20));
    center.configure(&[(&url, "SLOW")]);
    let home = center.site.text("center");
    let scan =
        std::thread::spawn(move || harness::hikae(["scan", "--hints", "--home", home.as_str()]));
    std::thread::sleep(Duration::from_millis(600));
    assert!(!scan.is_finished(), "it was over before the server died");
    center.server.kill();
    let ran = scan.join().unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.json);
    assert!(ran.json.to_string().contains("SLOW"), "{}", ran.json);
    assert_eq!(ran.json["files_added"], 0, "{}", ran.json);
    // Away altogether.
    center.fails(&["SLOW", "127.0.0.1"]);
    center.server.restart();
    let found = center.scan(&["scan", "--hints"]).ok();
    assert_eq!(found["files_added"], 3, "{found}");
    center.server.sql("DROP VIEW SLOW;\n");
    center.configure(&[(&url, "SSMIXIDX")]);
}

/// Waits until the serving center has this many records.
#[track_caller]
fn wait_for(center: &Center, entries: u64) {
    let begun = Instant::now();
    loop {
        let status = center.site.status("center");
        if status["snapshot"]["entries"] == entries {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// From the commit on the server to the name in the backup's tree. Some
/// slack: others may be at work on this machine.
fn commits_are_readable_soon(center: &Center) {
    const COMMITS: u32 = 12;
    let serving = center.site.serve();
    center.site.backup(&["sync"]).ok();
    let following = center.site.spawn_logged("backup", &["sync", "--follow"]);
    let mut seconds = Vec::new();
    for at in 0..COMMITS {
        // At whatever moment of the backup's second.
        std::thread::sleep(Duration::from_millis(200 + 97 * u64::from(at)));
        let path = center.next();
        center
            .site
            .put(&format!("{VOLUME}/{path}"), path.as_bytes());
        let insert = row("SSMIXIDX", &path, &center.shifted("0 SECOND"));
        center.server.sql(&insert);
        let begun = Instant::now();
        let shown = center.site.tree().join(VOLUME).join(&path);
        while !shown.exists() {
            let late = begun.elapsed() > Duration::from_secs(20);
            assert!(!late, "{}", center.site.log("backup"));
            std::thread::sleep(Duration::from_millis(5));
        }
        seconds.push(begun.elapsed().as_secs_f64());
    }
    following.end();
    serving.end();
    seconds.sort_by(f64::total_cmp);
    println!(
        "{:?}: seconds from commit to readable: {seconds:.2?}",
        center.server.kind
    );
    assert!(seconds[COMMITS as usize / 2] < 2.0, "{seconds:?}");
    assert!(seconds[COMMITS as usize - 1] < 5.0, "{seconds:?}");
}

fn a_serving_center_connects_again(center: &mut Center) {
    let serving: Process = center.site.serve();
    let entries = center.site.status("center")["snapshot"]["entries"].as_u64();
    let entries = entries.unwrap();
    let insert = center.written("SSMIXIDX", &center.shifted("0 SECOND"));
    center.server.sql(&insert);
    wait_for(center, entries + 1);
    center.server.kill();
    let insert = center.written("SSMIXIDX", &center.shifted("0 SECOND"));
    std::thread::sleep(Duration::from_millis(500));
    let refresh = center.site.last_refresh();
    assert!(
        refresh["errors"].to_string().contains("SSMIXIDX"),
        "{refresh}"
    );
    center.server.restart();
    center.server.sql(&insert);
    wait_for(center, entries + 2);
    serving.end();
}
