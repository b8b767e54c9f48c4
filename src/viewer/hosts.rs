//! Which names a browser may reach the viewer by. A foreign name that resolves
//! to this machine (DNS rebinding) is none of them; an address is no name.

use std::net::IpAddr;

/// The names of one viewer.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    names: Vec<String>,
    port: u16,
}

impl Hosts {
    pub(super) fn new(names: &[String], port: u16) -> Hosts {
        let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        names.push("localhost".into());
        Hosts { names, port }
    }

    /// Whether a `Host` header names this viewer.
    pub(super) fn is_ours(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(443)),
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        port == Some(self.port)
            && (address.parse::<IpAddr>().is_ok()
                || self.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }

    /// Whether a request that changes something came from one of our pages:
    /// its `Origin` is the host that it was sent to.
    pub(super) fn is_same_origin(&self, origin: Option<&str>, host: &str) -> bool {
        origin.and_then(|origin| origin.strip_prefix("https://")) == Some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_and_addresses_at_our_port() {
        let hosts = Hosts::new(&["Laptop.example".into()], 8443);
        for host in [
            "localhost:8443",
            "127.0.0.1:8443",
            "[::1]:8443",
            "192.0.2.7:8443",
            "laptop.example:8443",
            "LOCALHOST:8443",
        ] {
            assert!(hosts.is_ours(host), "{host}");
        }
        for host in [
            "evil.example:8443",
            "localhost",
            "localhost:443",
            "localhost.evil.example:8443",
            "",
            "localhost:8443:8443",
            "[::1]",
        ] {
            assert!(!hosts.is_ours(host), "{host}");
        }
        assert!(hosts.is_same_origin(Some("https://localhost:8443"), "localhost:8443"));
        for origin in [
            None,
            Some("null"),
            Some("http://localhost:8443"),
            Some("https://evil.example"),
            Some("https://localhost:8443.evil.example"),
        ] {
            assert!(
                !hosts.is_same_origin(origin, "localhost:8443"),
                "{origin:?}"
            );
        }
    }
}
