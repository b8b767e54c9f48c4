//! A browser without a screen: curl, with a jar for cookies.

use std::path::PathBuf;
use std::process::Command;

/// One user's browser.
pub struct Client {
    url: String,
    jar: PathBuf,
    _folder: tempfile::TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub seconds: f64,
}

impl Answer {
    pub fn location(&self) -> &str {
        let line = self
            .head
            .lines()
            .find(|line| line.to_lowercase().starts_with("location:"));
        line.map_or("", |line| line["location:".len()..].trim())
    }
}

impl Client {
    pub fn new(url: &str) -> Client {
        let folder = tempfile::tempdir().unwrap();
        Client {
            url: url.into(),
            jar: folder.path().join("jar"),
            _folder: folder,
        }
    }

    /// A client that signed in with the password that `gen` gives.
    pub fn signed_in(url: &str, facility: &str, user: &str) -> Client {
        let client = Client::new(url);
        let answer = client.sign_in(facility, user, &format!("hikae-{user}"), "");
        assert_eq!(
            (answer.status, answer.location()),
            (303, "/patients"),
            "{user}"
        );
        client
    }

    pub fn sign_in(&self, facility: &str, user: &str, password: &str, code: &str) -> Answer {
        let fields = [
            ("facility", facility),
            ("user", user),
            ("password", password),
            ("code", code),
        ];
        self.post("/sign-in", &fields)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.run(path, &[])
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("Origin: {}", self.url);
        let mut arguments = vec!["-X".into(), "POST".into(), "-H".into(), origin];
        for (name, value) in fields {
            arguments.extend(["--data-urlencode".into(), format!("{name}={value}")]);
        }
        if fields.is_empty() {
            arguments.extend(["-d".into(), String::new()]);
        }
        self.run(path, &arguments)
    }

    /// With curl's own arguments.
    pub fn run(&self, path: &str, arguments: &[String]) -> Answer {
        let jar = self.jar.to_str().unwrap();
        let output = Command::new("curl")
            .args([
                "-s",
                "-k",
                "-i",
                "-b",
                jar,
                "-c",
                jar,
                "-w",
                "\n%{time_total}",
            ])
            .args(arguments)
            .arg(format!("{}{path}", self.url))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, seconds) = text.rsplit_once('\n').unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok());
        Answer {
            status: status.unwrap_or(0),
            head: head.into(),
            body: body.into(),
            seconds: seconds.parse().unwrap_or(0.0),
        }
    }
}
