//! Where an INDEX DB is: a URL that may hold a password, which is shown
//! nowhere.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Kinds of URL, by scheme.
const SCHEMES: [(&str, DatabaseKind); 6] = [
    ("sqlite:", DatabaseKind::Sqlite),
    ("postgres://", DatabaseKind::Postgres),
    ("postgresql://", DatabaseKind::Postgres),
    ("mysql://", DatabaseKind::MySql),
    ("mariadb://", DatabaseKind::MySql),
    ("lines:", DatabaseKind::Lines),
];

/// What answers at a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
    /// A server, MariaDB too.
    MySql,
    /// Nothing: somebody hands over lines that were exported elsewhere.
    Lines,
}

/// A URL of a database. It is shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    kind: DatabaseKind,
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// Errors: what was expected, without the password.
    pub fn parse(text: &str) -> Result<DatabaseUrl, String> {
        let known = SCHEMES
            .iter()
            .find(|(scheme, _)| text.starts_with(scheme))
            .filter(|(scheme, kind)| *kind != DatabaseKind::Lines || text == *scheme);
        match known {
            Some((_, kind)) => Ok(DatabaseUrl {
                text: text.into(),
                kind: *kind,
            }),
            None => Err(format!(
                "{:?} is no database of this version; expected like \
                 \"postgres://user@host/database\", \"mysql://user@host/database\", \
                 \"sqlite:///path/index.db\", or \"lines:\"",
                without_passwords(text)
            )),
        }
    }

    /// With the password: for the driver alone.
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// What answers there.
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_passwords(&self.text))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DatabaseUrl, D::Error> {
        let text = String::deserialize(deserializer)?;
        DatabaseUrl::parse(&text).map_err(de::Error::custom)
    }
}

/// With the password: for another process of ours.
impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A text in which the passwords of all URLs are replaced by `***`: one
/// between `:` and `@`, and a parameter `password`.
pub(super) fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        shown.push_str(before);
        // A password may hold anything but what ends the line or its quotes.
        let end = url.find(['\n', '\r', '"', '\'']).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        shown.push_str(&without_parameter(&without_user_password(url)));
        rest = after;
    }
    shown + rest
}

fn without_user_password(url: &str) -> String {
    match url.rfind('@').map(|at| url.split_at(at)) {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***{host}"),
            None => url.into(),
        },
        None => url.into(),
    }
}

fn without_parameter(url: &str) -> String {
    let Some((path, parameters)) = url.split_once('?') else {
        return url.into();
    };
    let shown: Vec<String> = parameters
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
            _ => parameter.into(),
        })
        .collect();
    format!("{path}?{}", shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        for (url, shown) in [
            ("postgres://u:p@h/d", "postgres://u:***@h/d"),
            ("postgres://u:p@p:x@h:1/d", "postgres://u:***@h:1/d"),
            ("mysql://u@h/d", "mysql://u@h/d"),
            (
                "postgresql://h/d?user=u&password=p&sslmode=require",
                "postgresql://h/d?user=u&password=***&sslmode=require",
            ),
            ("sqlite:///x/index.db", "sqlite:///x/index.db"),
        ] {
            let parsed = DatabaseUrl::parse(url).unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(format!("{parsed:?}"), format!("{shown:?}"));
            assert_eq!(parsed.secret(), url);
        }
        let text = "2 | url = \"oracle://u:secret@h/d\" and \"x://a:secret@b\"\n^^";
        let shown = without_passwords(text);
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.ends_with("\n^^"), "{shown}");
        let error = DatabaseUrl::parse("oracle://u:secret@h/d").unwrap_err();
        assert!(
            !error.contains("secret") && error.contains("sqlite:"),
            "{error}"
        );
        assert!(DatabaseUrl::parse("lines:x").is_err());
    }
}
