//! A link of the configuration, with the connection that it has now and what
//! those before it moved.

use std::time::Duration;

use quinn::Connection;

use super::LinkFigures;
use crate::config::SourceLink;
use crate::transfer::link::{Link, LinkStats};
use crate::transfer::meter::Meter;
use crate::transfer::scheduler::{Scheduler, Signs, Standing};

/// A link of the configuration, and its connection.
pub(super) struct Path {
    pub options: SourceLink,
    pub link: Option<Link>,
    pub meter: Meter,
    /// What connections before this one moved.
    past: LinkStats,
    /// How many there were.
    pub connections: u64,
    /// Why the last attempt failed, or the last connection ended.
    pub error: Option<String>,
    told: LinkFigures,
}

impl Path {
    /// A link that was not used yet.
    pub(super) fn new(options: &SourceLink) -> Path {
        Path {
            meter: Meter::new(options.rate),
            link: None,
            past: LinkStats::default(),
            connections: 0,
            error: None,
            told: LinkFigures::of(options),
            options: options.clone(),
        }
    }

    /// Forgets the connection, but not what it moved.
    pub(super) fn part(&mut self) {
        if let Some(link) = self.link.take() {
            self.past = self.past.and(&link.stats());
        }
    }

    /// What its connection shows of itself.
    pub(super) fn signs(&self) -> Signs {
        let connection = self.link.as_ref().map(Link::connection);
        Signs {
            received: self.meter.of_link(),
            carried: self.moved().bytes_received,
            heard: connection.map_or(0, |connection| connection.stats().frame_rx.acks),
            rtt: connection.map_or(Duration::ZERO, Connection::rtt),
        }
    }

    fn moved(&self) -> LinkStats {
        match &self.link {
            Some(link) => self.past.and(&link.stats()),
            None => self.past,
        }
    }

    /// What a person is told of it; it is number `at` of the scheduler.
    pub(super) fn figures(&mut self, scheduler: &Scheduler, at: usize) -> LinkFigures {
        let counts = scheduler.counts(at);
        let state = match scheduler.standing(at) {
            _ if !scheduler.is_allowed(at) => "hours",
            Standing::Open => "open",
            Standing::Doubtful => "doubtful",
            Standing::Down if self.error.is_none() => "idle",
            Standing::Down => "down",
        };
        let moved = self.moved();
        if let Some(link) = &self.link {
            self.told.local = link.local().map(|ip| ip.to_string());
            self.told.buffers = link.buffers();
            self.told.mtu = link.connection().stats().path.current_mtu;
        }
        LinkFigures {
            state,
            error: self.error.clone(),
            rate: scheduler.rate(at),
            loss: moved.packets_lost as f64 / moved.packets_sent.max(1) as f64,
            in_flight: scheduler.bytes_in_flight(at),
            answer_bytes: self.meter.of_link(),
            bundles: counts.answers,
            retries: counts.retries,
            hedges: counts.hedges,
            bytes_twice: counts.twice,
            connections: self.connections,
            moved,
            ..self.told.clone()
        }
    }
}
