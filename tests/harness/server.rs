//! Database servers of the tests: real ones, on free ports, in temporary
//! folders that go with them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{is_root, memory_folder};

/// The password of the user `hikae`.
pub const PASSWORD: &str = "s3cret-of-the-index";
/// Root runs servers as this user: `nobody`.
const NOBODY: u32 = 65534;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    MariaDb,
}

/// A server that ends when it goes out of scope.
pub struct Server {
    pub kind: Kind,
    pub port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

/// A program of the server, wherever Debian puts it.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.into_iter().map(|folder| folder.join(name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "{name} is not here (Debian: apt-get install postgresql mariadb-server-core \
                 mariadb-client-core)"
            )
        })
}

/// A command that root runs as nobody; servers refuse root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    command
}

#[track_caller]
fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

impl Server {
    /// Starts a new, empty server with a database `ssmix` and a user `hikae`.
    pub fn start(kind: Kind) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = memory_folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut server = Server {
            kind,
            port,
            folder,
            child: None,
        };
        server.make();
        server.run();
        let user = match kind {
            Kind::Postgres => format!(
                "CREATE USER hikae PASSWORD '{PASSWORD}';\nCREATE DATABASE ssmix OWNER hikae;"
            ),
            Kind::MariaDb => format!(
                "CREATE DATABASE ssmix CHARACTER SET utf8mb4;\n\
                 CREATE USER hikae@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
                 GRANT ALL ON ssmix.* TO hikae@'127.0.0.1';"
            ),
        };
        let database = match kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
        };
        server.sql_in(database, &user);
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make(&self) {
        match self.kind {
            Kind::Postgres => {
                let password = self.folder.path().join("password");
                fs::write(&password, PASSWORD).unwrap();
                done(
                    unprivileged(&program("initdb"))
                        .current_dir("/")
                        .arg("--pgdata")
                        .arg(self.data())
                        .arg("--pwfile")
                        .arg(password)
                        .args(["--username=root", "--auth=scram-sha-256", "--no-sync"])
                        .args(["--encoding=UTF8", "--locale=C"]),
                );
            }
            Kind::MariaDb => done(
                unprivileged(&program("mariadb-install-db"))
                    .current_dir("/")
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", self.data().display()))
                    .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
                    .args(["--skip-name-resolve", "--innodb-buffer-pool-size=32M"]),
            ),
        }
    }

    /// Starts the server on its data, and waits until it answers.
    #[track_caller]
    pub fn run(&mut self) {
        let port = self.port.to_string();
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let log = fs::File::create(log).unwrap();
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = unprivileged(&program("postgres"));
                command.arg("-D").arg(&data).args(["-p", port.as_str()]);
                command.arg("-k").arg(&data);
                for setting in [
                    "listen_addresses=127.0.0.1",
                    "fsync=off",
                    "timezone=Asia/Tokyo",
                    "log_timezone=Asia/Tokyo",
                    "shared_buffers=32MB",
                ] {
                    command.args(["-c", setting]);
                }
                command
            }
            Kind::MariaDb => {
                let mut command = unprivileged(&program("mariadbd"));
                command
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}", data.display()))
                    .arg(format!("--socket={}", data.join("socket").display()))
                    .arg(format!("--pid-file={}", data.join("pid").display()))
                    .arg(format!("--port={port}"))
                    .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
                    .args([
                        "--default-time-zone=+09:00",
                        "--innodb-buffer-pool-size=32M",
                    ])
                    .args(["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]);
                command
            }
        };
        let child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while !self.answers() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        let database = match self.kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
        };
        let output = self.client(database).arg("SELECT 1").output().unwrap();
        output.status.success()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // What the server started ends by itself when it notices.
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && begun.elapsed() < Duration::from_secs(20)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server and starts it again.
    pub fn restart(&mut self) {
        self.kill();
        let begun = Instant::now();
        // A lock of the dead one may lie about for a moment.
        while self.kind == Kind::Postgres
            && self.is_used()
            && begun.elapsed() < Duration::from_secs(20)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        self.run();
    }

    /// Whether a process of the killed server still has its data.
    fn is_used(&self) -> bool {
        let data = self.data();
        let processes = fs::read_dir("/proc").unwrap();
        processes.flatten().any(|process| {
            let folder = fs::read_link(process.path().join("cwd"));
            folder.is_ok_and(|folder| folder == data)
        })
    }

    /// The URL for `hikae.toml`.
    pub fn url(&self) -> String {
        self.url_of("ssmix", PASSWORD)
    }

    pub fn url_of(&self, database: &str, password: &str) -> String {
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
        };
        format!(
            "{scheme}://hikae:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// A client that runs the statements of one more argument.
    fn client(&self, database: &str) -> Command {
        let port = self.port.to_string();
        match self.kind {
            Kind::Postgres => {
                let mut command = Command::new(program("psql"));
                command
                    .env("PGPASSWORD", PASSWORD)
                    .args(["-h", "127.0.0.1", "-p", port.as_str(), "-U", "root"])
                    .args(["-d", database, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c"]);
                command
            }
            Kind::MariaDb => {
                let mut command = Command::new(program("mariadb"));
                command
                    .args([
                        "--no-defaults",
                        "-h",
                        "127.0.0.1",
                        "-P",
                        port.as_str(),
                        "-u",
                        "root",
                    ])
                    .args([
                        "--default-character-set=utf8mb4",
                        "-N",
                        "-B",
                        database,
                        "-e",
                    ]);
                command
            }
        }
    }

    /// Runs statements; gives what they print.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in("ssmix", statements)
    }

    #[track_caller]
    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        // One statement each: some may not stand in a transaction.
        let mut command = self.client(database);
        if self.kind == Kind::Postgres {
            let mut parts = statements.split(";\n");
            command.arg(parts.next().unwrap());
            for part in parts.filter(|part| !part.trim().is_empty()) {
                command.args(["-c", part]);
            }
        } else {
            command.arg(statements);
        }
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {error}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_string()
    }

    /// A client that stays: a transaction that commits later.
    pub fn transaction(&self) -> Transaction {
        let mut command = self.client("ssmix");
        let program = command.get_program().to_owned();
        let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        arguments.pop();
        command = Command::new(program);
        let mut child = command
            .args(arguments)
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut transaction = Transaction { child, input };
        transaction.run("BEGIN;\n");
        transaction
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A transaction that was begun.
pub struct Transaction {
    child: Child,
    input: std::process::ChildStdin,
}

impl Transaction {
    pub fn run(&mut self, statements: &str) {
        self.input.write_all(statements.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Commits, and waits until that was done.
    pub fn commit(mut self) {
        self.run("COMMIT;\n");
        drop(self.input);
        let mut text = String::new();
        let _ = self.child.stdout.take().unwrap().read_to_string(&mut text);
        assert!(self.child.wait().unwrap().success());
    }
}
