//! What a person is told of a session's links.

use serde::Serialize;

use crate::config::SourceLink;
use crate::transfer::LinkStats;
use crate::transfer::link::SocketBuffers;

/// One link.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LinkFigures {
    /// Its name.
    pub name: String,
    /// Address and port of the source.
    pub remote: String,
    /// The address that packets leave by; none if it never connected.
    pub local: Option<String>,
    /// `open`, `doubtful` (overdue), `down`, `idle` (not needed), `hours` (not
    /// now).
    pub state: &'static str,
    /// Why it is down, or was the last time.
    pub error: Option<String>,
    /// Measured rate of answers, bytes per second.
    pub rate: u64,
    /// The configured limit, bytes per second.
    pub limit: Option<u64>,
    /// Share of the packets that this side sent which were lost.
    pub loss: f64,
    /// Bytes of answers that are expected by it.
    pub in_flight: u64,
    /// Bytes of answers that came by it.
    pub answer_bytes: u64,
    /// Answers that came by it and were used.
    pub bundles: u64,
    /// Its requests that were asked again, by another link or anew.
    pub retries: u64,
    /// Requests that it took over at the end from a slower link.
    pub hedges: u64,
    /// Bytes of answers that another link gave, too.
    pub bytes_twice: u64,
    /// Connections that came about.
    pub connections: u64,
    /// What its socket got from the kernel.
    pub buffers: SocketBuffers,
    /// Bytes of a datagram that the path takes.
    pub mtu: u16,
    /// What it moved in all.
    #[serde(flatten)]
    pub moved: LinkStats,
}

impl LinkFigures {
    /// A link that was not used yet.
    pub fn of(link: &SourceLink) -> LinkFigures {
        LinkFigures {
            name: link.name.clone(),
            remote: link.remote.to_string(),
            limit: link.rate.map(|rate| rate.bytes_per_second),
            state: "idle",
            ..LinkFigures::default()
        }
    }
}

/// All links of a session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SessionFigures {
    /// In the order of the configuration.
    pub links: Vec<LinkFigures>,
    /// What an operator should know about them.
    pub notes: Vec<String>,
}

impl SessionFigures {
    /// What all links moved; the round-trip time is the shortest.
    pub fn total(&self) -> LinkStats {
        let open = self.links.iter().filter(|link| link.connections > 0);
        let mut total = LinkStats::default();
        for link in open {
            let rtt_us = match total.rtt_us {
                0 => link.moved.rtt_us,
                shortest => shortest.min(link.moved.rtt_us),
            };
            total = total.and(&link.moved);
            total.rtt_us = rtt_us;
        }
        total
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        let links = self.links.iter().map(|link| match link.state {
            "open" | "doubtful" => format!(
                "{} {:.1} MB/s {:.0} ms{}",
                link.name,
                link.rate as f64 / 1e6,
                link.moved.rtt_us as f64 / 1e3,
                if link.state == "open" { "" } else { " ?" }
            ),
            state => format!("{} {state}", link.name),
        });
        links.collect::<Vec<_>>().join(", ")
    }
}
