//! A request as the pages see it, and what they answer: plain values, no
//! network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use maud::Markup;

use super::audit::Whose;
use crate::language::Language;

/// The cookie of a session. The prefix binds it to this host and to HTTPS.
pub(super) const SESSION_COOKIE: &str = "__Host-hikae";
/// The cookie of the language.
pub(super) const LANGUAGE_COOKIE: &str = "__Host-hikae-language";

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Parts of the path that the route names.
    pub path: BTreeMap<String, String>,
    /// The query or, of a POST, the form.
    pub fields: BTreeMap<String, String>,
    /// Cookies.
    pub cookies: BTreeMap<String, String>,
    /// The page from which it came; browsers say it only of our own.
    pub referer: String,
    /// From where.
    pub from: Option<IpAddr>,
}

impl Request {
    /// A field; empty if it is not there.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// A part of the path; empty if the route has none of the name.
    pub(super) fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The patient that the path names.
    pub(super) fn whose(&self) -> Whose {
        Whose {
            facility: self.part("facility").into(),
            patient: self.part("patient").into(),
        }
    }

    /// The path of the page from which somebody came, if it was one of ours.
    pub(super) fn came_from(&self) -> Option<String> {
        let (_, rest) = self.referer.split_once("://")?;
        let (_, path) = rest.split_once('/')?;
        // Two slashes would begin another host's name.
        (!path.starts_with('/') && !path.starts_with('\\')).then(|| format!("/{path}"))
    }

    /// Japanese, unless somebody chose.
    pub(super) fn language(&self) -> Language {
        match self.cookies.get(LANGUAGE_COOKIE).map(String::as_str) {
            Some("en") => Language::English,
            _ => Language::Japanese,
        }
    }

    /// The address it came from, as text.
    pub(super) fn address(&self) -> String {
        self.from.map_or_else(String::new, |from| from.to_string())
    }
}

/// What is answered.
pub(super) enum Reply {
    /// A whole page.
    Page {
        /// HTTP status.
        status: u16,
        /// The page.
        markup: Markup,
    },
    /// Look there instead, by GET.
    Elsewhere {
        /// A path of this viewer.
        path: String,
        /// Cookies to set, as header values.
        cookies: Vec<String>,
    },
    /// Bytes of a record or of the viewer itself.
    File {
        /// Media type.
        media: &'static str,
        /// The bytes.
        bytes: Vec<u8>,
        /// Shown in the browser; else saved under this name.
        save_as: Option<String>,
        /// The same for everybody and always: may be kept by the browser.
        is_asset: bool,
    },
}

impl Reply {
    /// A page that is what was asked for.
    pub(super) fn page(markup: Markup) -> Reply {
        Reply::Page {
            status: 200,
            markup,
        }
    }

    /// Another path of this viewer.
    pub(super) fn elsewhere(path: impl Into<String>) -> Reply {
        Reply::Elsewhere {
            path: path.into(),
            cookies: vec![],
        }
    }
}

/// A component of a path, as it stands in an address.
pub(super) fn escaped(component: &str) -> String {
    let mut text = String::new();
    for byte in component.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_an_address_is_escaped() {
        assert_eq!(escaped("a/b?c#d%é\""), "a%2Fb%3Fc%23d%25%C3%A9%22");
        assert_eq!(escaped("0410000001"), "0410000001");
    }
}
