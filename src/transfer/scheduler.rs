//! The scheduler: which link takes which request, and when. Pure: it takes
//! `now` and what was measured, and returns what to do.
//!
//! A link takes the next request while its bytes in flight are below its
//! bandwidth-delay product (or `AHEAD`, if that is more) and one bundle, unless
//! all others together would be done with everything before it were done with
//! this one. What a link holds is *leased* to it: a lease that is overdue, and
//! all leases of a link from which nothing comes any more, may be asked for
//! elsewhere. At the end a free link asks for what a slower one still holds: a
//! *hedge*.
//!
//! Invariant: a request that is waited for is in the queue, or some link that
//! is not down holds it.

mod choice;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Time since the session began.
pub(super) type Time = Duration;

/// Requests that one link may hold at once.
pub(super) const LEASES_MAX: usize = 16;
/// A link that holds requests is silent after this time and two round trips in
/// which no byte of an answer came, and nothing that says the source hears us.
const SILENT: Duration = Duration::from_millis(2_000);
/// A lease is overdue after this share of the time that it should take, and
/// never before `SILENT`.
const OVERDUE: f64 = 3.0;
/// What a link holds is at least what it brings in this time: a source reads for
/// several answers at once.
const AHEAD: Duration = Duration::from_millis(250);
/// A hedge must be this much sooner than what it overtakes.
const HEDGE_GAIN: f64 = 1.5;
/// The rate of a link is averaged over about this time; it is believed sooner
/// to rise than to fall.
const FALL_SPAN: f64 = 0.5;
const RISE_SPAN: f64 = 0.1;
/// A rate is taken over at least this time: datagrams come in bursts, of which
/// each alone looks like a far better link.
const SAMPLE_SPAN: Duration = Duration::from_millis(100);
/// An answer of so many bytes says what a link brings that has no rate yet; of a
/// shorter one nearly all the time is the round trip.
const SAMPLE_BYTES: u64 = 64 * 1024;
/// After a link went away it is tried again after this, twice that, and so on.
const PROBE_FIRST: Duration = Duration::from_millis(250);
const PROBE_MOST: Duration = Duration::from_millis(2_000);
/// A link that was open for so long begins with `PROBE_FIRST` again.
const STEADY: Duration = Duration::from_secs(10);
/// The second link is only tried first so much after the first, and so on.
const STAGGER: Duration = Duration::from_millis(250);
/// How often links are measured while they hold anything.
const TICK: Duration = Duration::from_millis(100);
/// And else.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// A time over which a link's rate is taken.
#[derive(Debug, Clone, Copy)]
struct Sample {
    since: Time,
    /// What the link had shown then.
    signs: Signs,
    /// Bytes of answers came: before, only acknowledgements do.
    begun: bool,
}

/// One request to one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttemptId(pub u64);

/// One request, whoever answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestId(pub u64);

/// What kind of answer is expected: each compresses in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Deltas and small contents.
    Bundle,
    /// Ranges of contents.
    Ranges,
    /// Anything else.
    Other,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Send this request by this link.
    Ask {
        /// Tells one from another.
        attempt: AttemptId,
        /// Which link.
        link: usize,
        /// Which request.
        request: RequestId,
    },
    /// Open a connection by this link.
    Probe {
        /// Which link.
        link: usize,
    },
}

/// What a connection shows of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Answers' bytes so far, by all connections of the link.
    pub received: u64,
    /// Bytes of datagrams so far: a lost one holds back an answer, and not these.
    pub carried: u64,
    /// Packets so far in which the source acknowledges what it was sent.
    pub heard: u64,
    /// Time of a round trip.
    pub rtt: Duration,
}

/// How a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not connected.
    Down,
    /// Takes requests.
    Open,
    /// Connected, but what it holds is overdue: it is probed.
    Doubtful,
}

/// Counts of one link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answers that were used.
    pub answers: u64,
    /// Requests that went to another link, or were asked again.
    pub retries: u64,
    /// Requests that this link took over at the end from a slower one.
    pub hedges: u64,
    /// Bytes of answers that another link had given, or gave first.
    pub twice: u64,
}

#[derive(Debug)]
struct Link {
    standing: Standing,
    /// Within its hours.
    allowed: bool,
    /// Bytes per second; none as long as nothing was measured.
    rate: Option<f64>,
    /// From a request to the first byte of its answer, with nothing before it.
    delay: Option<f64>,
    /// What it showed last.
    signs: Signs,
    /// Since when its rate is taken. None while it holds nothing.
    sample: Option<Sample>,
    /// When it last gave a sign of life, or what it waits for was asked.
    heard: Time,
    opened: Time,
    probe_at: Time,
    backoff: Duration,
    probing: bool,
    counts: Counts,
}

#[derive(Debug)]
struct Lease {
    attempt: AttemptId,
    request: RequestId,
    link: usize,
    /// Expected bytes on the wire.
    bytes: f64,
    asked: Time,
    /// When the answer should be there.
    due: Time,
    /// When it is overdue.
    deadline: Time,
    overdue: bool,
    /// Nothing was before it on the link.
    alone: bool,
}

#[derive(Debug)]
struct Request {
    class: Class,
    /// Expected bytes before compression.
    raw: u64,
    hedged: bool,
}

/// The scheduler of one session with a source.
#[derive(Debug)]
pub(super) struct Scheduler {
    links: Vec<Link>,
    requests: BTreeMap<RequestId, Request>,
    queue: VecDeque<RequestId>,
    leases: Vec<Lease>,
    /// Bytes before compression that will be asked for, later.
    backlog: u64,
    /// Bytes on the wire of one before compression, by class.
    ratios: [f64; 3],
    /// Every link is wanted, not just one that answers.
    eager: bool,
    attempts: u64,
}

fn seconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time.max(0.0)).unwrap_or(Duration::MAX)
}

impl Scheduler {
    /// Links that are not connected yet; of those with a configured limit
    /// (bytes per second) the rate is known.
    pub(super) fn new(limits: &[Option<u64>]) -> Scheduler {
        let link = |(at, limit): (usize, &Option<u64>)| Link {
            standing: Standing::Down,
            allowed: true,
            rate: limit.map(|limit| limit as f64),
            delay: None,
            signs: Signs::default(),
            sample: None,
            heard: Time::ZERO,
            opened: Time::ZERO,
            probe_at: STAGGER * at as u32,
            backoff: PROBE_FIRST,
            probing: false,
            counts: Counts::default(),
        };
        Scheduler {
            links: limits.iter().enumerate().map(link).collect(),
            requests: BTreeMap::new(),
            queue: VecDeque::new(),
            leases: Vec::new(),
            backlog: 0,
            ratios: [1.0; 3],
            eager: false,
            attempts: 0,
        }
    }

    /// There will be requests for so many bytes: every link is wanted.
    pub(super) fn expect(&mut self, raw: u64) {
        self.eager = true;
        self.backlog = raw;
    }

    /// A request that any link may answer, for about so many bytes before
    /// compression. Lists come before contents: they say what to ask for.
    pub(super) fn push(&mut self, id: RequestId, class: Class, raw: u64) {
        self.eager = true;
        self.backlog = self.backlog.saturating_sub(raw);
        let request = Request {
            class,
            raw,
            hedged: false,
        };
        self.requests.insert(id, request);
        match class {
            Class::Bundle | Class::Ranges => self.queue.push_back(id),
            Class::Other => self.queue.push_front(id),
        }
    }

    /// Nobody waits for this request any more; what holds it may be stopped.
    pub(super) fn drop_request(&mut self, id: RequestId) -> Vec<AttemptId> {
        self.requests.remove(&id);
        self.queue.retain(|queued| *queued != id);
        self.end_leases(|lease| lease.request == id)
    }

    fn end_leases(&mut self, ends: impl Fn(&Lease) -> bool) -> Vec<AttemptId> {
        let ended = self.leases.extract_if(.., |lease| ends(lease));
        ended.map(|lease| lease.attempt).collect()
    }

    /// A link may be used, or not: its hours.
    pub(super) fn allow(&mut self, link: usize, allowed: bool) {
        self.links[link].allowed = allowed;
    }

    /// A connection came about.
    pub(super) fn connected(&mut self, now: Time, link: usize) -> Vec<AttemptId> {
        let state = &mut self.links[link];
        state.probing = false;
        state.standing = Standing::Open;
        (state.opened, state.heard, state.sample) = (now, now, None);
        // What an old connection still holds is asked for anew.
        self.release(link)
    }

    /// The connection was lost.
    pub(super) fn lost(&mut self, now: Time, link: usize) -> Vec<AttemptId> {
        let state = &mut self.links[link];
        if state.standing != Standing::Down && now.saturating_sub(state.opened) >= STEADY {
            state.backoff = PROBE_FIRST;
        }
        state.standing = Standing::Down;
        self.probe_later(now, link);
        self.release(link)
    }

    /// A probe failed, or is not needed any more.
    pub(super) fn probed(&mut self, now: Time, link: usize) {
        self.links[link].probing = false;
        self.probe_later(now, link);
    }

    fn probe_later(&mut self, now: Time, link: usize) {
        let state = &mut self.links[link];
        state.probe_at = now + state.backoff;
        state.backoff = (state.backoff * 2).min(PROBE_MOST);
    }

    /// Takes what a link holds back into the queue.
    fn release(&mut self, link: usize) -> Vec<AttemptId> {
        let held = self.leases.extract_if(.., |lease| lease.link == link);
        let held: Vec<Lease> = held.collect();
        for lease in held.iter().rev() {
            self.again(lease.request, link);
        }
        held.iter().map(|lease| lease.attempt).collect()
    }

    /// Puts a request first in the queue, unless somebody else has it.
    fn again(&mut self, request: RequestId, link: usize) {
        let held = self.leases.iter().any(|lease| lease.request == request);
        if self.requests.contains_key(&request) && !held && !self.queue.contains(&request) {
            self.queue.push_front(request);
            self.links[link].counts.retries += 1;
        }
    }

    /// What a link shows at `now`.
    pub(super) fn measured(&mut self, now: Time, link: usize, signs: Signs) {
        let busy = self.leases.iter().any(|lease| lease.link == link);
        let state = &mut self.links[link];
        if signs.received > state.signs.received || signs.heard != state.signs.heard {
            state.heard = now;
            if state.standing == Standing::Doubtful {
                state.standing = Standing::Open;
            }
        }
        state.signs = signs;
        if !busy {
            (state.heard, state.sample) = (now, None);
            return;
        }
        let next = |begun| Sample {
            since: now,
            signs,
            begun,
        };
        let sample = *state.sample.get_or_insert(next(false));
        if !sample.begun {
            // What has not begun to come has no rate; silence is judged alone.
            match signs.received > sample.signs.received {
                true => {
                    state.sample = Some(Sample {
                        begun: true,
                        ..sample
                    })
                }
                false => state.sample = Some(next(false)),
            }
        }
        let span = now.saturating_sub(sample.since);
        if span < SAMPLE_SPAN || state.sample.is_none_or(|sample| !sample.begun) {
            return;
        }
        state.sample = Some(next(true));
        let span = span.as_secs_f64();
        let carried = signs.carried.saturating_sub(sample.signs.carried);
        let sample = carried as f64 / span;
        let rate = state.rate.get_or_insert(sample);
        let over = match sample > *rate {
            true => RISE_SPAN,
            false => FALL_SPAN,
        };
        *rate += (sample - *rate) * (1.0 - (-span / over).exp());
    }

    /// An answer came by an attempt: whether it is the first, and which other
    /// attempts may be stopped. `first_byte` is how long that took.
    pub(super) fn answered(
        &mut self,
        now: Time,
        attempt: AttemptId,
        wire: u64,
        first_byte: Duration,
    ) -> (bool, Vec<AttemptId>) {
        let held = self
            .leases
            .iter()
            .position(|lease| lease.attempt == attempt);
        let Some(lease) = held.map(|at| self.leases.swap_remove(at)) else {
            return (false, vec![]);
        };
        let state = &mut self.links[lease.link];
        state.heard = now;
        if state.standing == Standing::Doubtful {
            state.standing = Standing::Open;
        }
        let sample = first_byte.as_secs_f64();
        state.delay = Some(match state.delay {
            Some(delay) if lease.alone => delay + (sample - delay) / 4.0,
            Some(delay) => delay.min(sample),
            None => sample,
        });
        if state.rate.is_none() && wire >= SAMPLE_BYTES {
            let took = now.saturating_sub(lease.asked).as_secs_f64().max(1e-3);
            state.rate = Some(wire as f64 / took);
        }
        let Some(request) = self.requests.remove(&lease.request) else {
            return (false, vec![]);
        };
        state.counts.answers += 1;
        let ratio = &mut self.ratios[request.class as usize];
        let sample = wire as f64 / request.raw.max(1) as f64;
        *ratio += (sample - *ratio) / 4.0;
        self.queue.retain(|queued| *queued != lease.request);
        let stopped = self.end_leases(|other| other.request == lease.request);
        (true, stopped)
    }

    /// An attempt ended without an answer; whether somebody else has the
    /// request, or has given the answer.
    pub(super) fn failed(&mut self, attempt: AttemptId) -> bool {
        let held = self
            .leases
            .iter()
            .position(|lease| lease.attempt == attempt);
        let Some(lease) = held.map(|at| self.leases.swap_remove(at)) else {
            return true;
        };
        !self.requests.contains_key(&lease.request)
            || self.queue.contains(&lease.request)
            || self
                .leases
                .iter()
                .any(|other| other.request == lease.request)
    }

    /// Bytes came for nothing: another link gave the answer.
    pub(super) fn wasted(&mut self, link: usize, bytes: u64) {
        self.links[link].counts.twice += bytes;
    }

    /// What to do at `now`, one thing after the other until there is none.
    pub(super) fn next(&mut self, now: Time) -> Option<Action> {
        self.look_at_leases(now);
        self.probe(now)
            .or_else(|| self.take(now))
            .or_else(|| self.hedge(now))
    }

    /// Finds what is overdue, and links from which nothing comes.
    fn look_at_leases(&mut self, now: Time) {
        for link in 0..self.links.len() {
            let state = &self.links[link];
            let silent = SILENT.saturating_add(state.signs.rtt * 2);
            if state.standing == Standing::Open
                && self.leases.iter().any(|lease| lease.link == link)
                && now.saturating_sub(state.heard) >= silent
            {
                self.doubt(now, link);
            }
        }
        for at in 0..self.leases.len() {
            let Lease {
                link,
                request,
                deadline,
                overdue,
                ..
            } = self.leases[at];
            let doubtful = self.links[link].standing == Standing::Doubtful;
            if overdue || !(doubtful || now >= deadline) {
                continue;
            }
            // Nobody else is there to ask.
            if !self.is_other_open(link) {
                continue;
            }
            self.leases[at].overdue = true;
            let elsewhere = self
                .leases
                .iter()
                .any(|other| other.request == request && other.link != link);
            if !elsewhere && !self.queue.contains(&request) {
                self.queue.push_front(request);
                self.links[link].counts.retries += 1;
            }
        }
    }

    fn doubt(&mut self, now: Time, link: usize) {
        let state = &mut self.links[link];
        state.standing = Standing::Doubtful;
        if now.saturating_sub(state.opened) >= STEADY {
            state.backoff = PROBE_FIRST;
        }
        state.probe_at = now;
    }

    fn is_open(&self, link: usize) -> bool {
        let state = &self.links[link];
        state.standing == Standing::Open && state.allowed
    }

    fn is_other_open(&self, link: usize) -> bool {
        (0..self.links.len()).any(|other| other != link && self.is_open(other))
    }

    fn wants_more_links(&self) -> bool {
        self.eager || !(0..self.links.len()).any(|link| self.is_open(link))
    }

    fn probe(&mut self, now: Time) -> Option<Action> {
        let wanted = self.wants_more_links();
        let due = self.links.iter().position(|state| {
            state.standing != Standing::Open
                && state.allowed
                && !state.probing
                && now >= state.probe_at
        });
        let link = due.filter(|_| wanted)?;
        self.links[link].probing = true;
        Some(Action::Probe { link })
    }

    /// When to call `next` again, if nothing happens before.
    pub(super) fn wake(&self, now: Time) -> Duration {
        let wanted = self.wants_more_links();
        let probes = self.links.iter().filter(|state| {
            wanted && state.standing != Standing::Open && state.allowed && !state.probing
        });
        let probe = probes
            .map(|state| state.probe_at.saturating_sub(now))
            .min()
            .unwrap_or(IDLE_TICK)
            .max(Duration::from_millis(1));
        let tick = match self.leases.is_empty() {
            true => IDLE_TICK,
            false => TICK,
        };
        probe.min(tick)
    }

    /// How a link stands.
    pub(super) fn standing(&self, link: usize) -> Standing {
        self.links[link].standing
    }

    /// Whether a link is within its hours.
    pub(super) fn is_allowed(&self, link: usize) -> bool {
        self.links[link].allowed
    }

    /// Bytes per second that a link was measured at.
    pub(super) fn rate(&self, link: usize) -> u64 {
        self.links[link].rate.unwrap_or(0.0) as u64
    }

    /// Bytes that a link is expected to bring.
    pub(super) fn bytes_in_flight(&self, link: usize) -> u64 {
        self.in_flight(link) as u64
    }

    /// What a link did.
    pub(super) fn counts(&self, link: usize) -> Counts {
        self.links[link].counts
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
