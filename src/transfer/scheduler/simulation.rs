//! Links on simulated time: rate, delay, and what becomes of them. A link is
//! a pipe: one answer after the other, each `delay` after it was asked for at
//! the earliest, as by a source that sends streams in order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, AttemptId, Class, RequestId, Scheduler, Signs, Standing, Time};

/// A step of simulated time.
const STEP: Duration = Duration::from_millis(2);
/// A simulation that takes longer has hung.
const HUNG: Duration = Duration::from_secs(3600);
/// How long a handshake is waited for.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long the transport takes to notice that a path is gone.
pub(super) const IDLE: Duration = Duration::from_secs(3);

/// What happens to a link.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// Bytes per second from now on; 0 is a black hole.
    Rate(f64),
    /// The source takes so long from now on until it begins to answer.
    Thought(Duration),
    /// The connection breaks and the path stays: noticed at once.
    Reset,
}

/// A path as it is in the simulated world.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) rate: f64,
    pub(super) delay: Duration,
    thought: Duration,
    pub(super) changes: Vec<(Time, Change)>,
}

impl Path {
    pub(super) fn new(rate: f64, delay_ms: u64) -> Path {
        Path {
            rate,
            delay: Duration::from_millis(delay_ms),
            thought: Duration::ZERO,
            changes: vec![],
        }
    }

    pub(super) fn at(mut self, seconds: f64, change: Change) -> Path {
        self.changes
            .push((Duration::from_secs_f64(seconds), change));
        self
    }
}

struct Answer {
    attempt: AttemptId,
    request: RequestId,
    left: f64,
    ready: Time,
    asked: Time,
    first_byte: Option<Duration>,
    received: f64,
}

struct World {
    path: Path,
    up: bool,
    answers: Vec<Answer>,
    received: f64,
    heard: u64,
    probe: Option<Time>,
    black_since: Option<Time>,
}

/// What a simulation came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seconds: f64,
    /// Bytes of answers that came over each link.
    pub(super) received: Vec<f64>,
    /// Bytes that came and were not needed.
    pub(super) twice: f64,
    pub(super) retries: u64,
    pub(super) hedges: u64,
    /// Longest time without any byte, while some path was there.
    pub(super) stall: f64,
}

/// Fetches answers of these sizes; `window` requests are known at once.
pub(super) fn run(paths: &[Path], sizes: &[f64], window: usize) -> Outcome {
    let limits: Vec<Option<u64>> = paths.iter().map(|_| None).collect();
    let mut simulation = Simulation {
        scheduler: Scheduler::new(&limits),
        worlds: paths.iter().cloned().map(World::new).collect(),
        sizes: sizes.to_vec(),
        asked: 0,
        waiting: BTreeMap::new(),
        now: Time::ZERO,
        twice: 0.0,
        last_byte: Time::ZERO,
        stall: Duration::ZERO,
    };
    simulation
        .scheduler
        .expect(sizes.iter().sum::<f64>() as u64);
    simulation.run(window)
}

impl World {
    fn new(path: Path) -> World {
        World {
            path,
            up: false,
            answers: vec![],
            received: 0.0,
            heard: 0,
            probe: None,
            black_since: None,
        }
    }
}

struct Simulation {
    scheduler: Scheduler,
    worlds: Vec<World>,
    sizes: Vec<f64>,
    asked: usize,
    waiting: BTreeMap<RequestId, f64>,
    now: Time,
    twice: f64,
    last_byte: Time,
    stall: Duration,
}

impl Simulation {
    fn run(mut self, window: usize) -> Outcome {
        loop {
            while self.waiting.len() < window && self.asked < self.sizes.len() {
                let id = RequestId(self.asked as u64);
                let size = self.sizes[self.asked];
                self.scheduler.push(id, Class::Ranges, size as u64);
                self.waiting.insert(id, size);
                self.asked += 1;
            }
            if self.waiting.is_empty() && self.asked == self.sizes.len() {
                break;
            }
            while let Some(action) = self.scheduler.next(self.now) {
                self.act(action);
            }
            self.now += STEP;
            assert!(self.now < HUNG, "hung: {:?}", self.scheduler);
            for link in 0..self.worlds.len() {
                self.change(link);
                self.connect(link);
                self.flow(link);
                let world = &mut self.worlds[link];
                world.heard += u64::from(world.up && world.path.rate > 0.0);
                let signs = Signs {
                    received: world.received as u64,
                    carried: world.received as u64,
                    heard: world.heard,
                    rtt: world.path.delay,
                };
                self.scheduler.measured(self.now, link, signs);
            }
            self.check();
        }
        let links = 0..self.worlds.len();
        let counts: Vec<_> = links.map(|link| self.scheduler.counts(link)).collect();
        Outcome {
            seconds: self.now.as_secs_f64(),
            received: self.worlds.iter().map(|world| world.received).collect(),
            twice: self.twice,
            retries: counts.iter().map(|counts| counts.retries).sum(),
            hedges: counts.iter().map(|counts| counts.hedges).sum(),
            stall: self.stall.as_secs_f64(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Probe { link } => {
                let world = &mut self.worlds[link];
                assert!(world.probe.is_none(), "two probes of one link");
                world.probe = Some(self.now);
            }
            Action::Ask {
                attempt,
                link,
                request,
            } => {
                let now = self.now;
                let left = self.waiting[&request];
                let world = &mut self.worlds[link];
                assert!(world.up, "a link that is down was asked");
                world.answers.push(Answer {
                    attempt,
                    request,
                    left,
                    ready: now + world.path.delay + world.path.thought,
                    asked: now,
                    first_byte: None,
                    received: 0.0,
                });
            }
        }
    }

    fn stop(&mut self, attempts: &[AttemptId]) {
        for world in &mut self.worlds {
            world.answers.retain(|answer| {
                let stopped = attempts.contains(&answer.attempt);
                self.twice += if stopped { answer.received } else { 0.0 };
                !stopped
            });
        }
    }

    fn change(&mut self, link: usize) {
        let now = self.now;
        let world = &mut self.worlds[link];
        let due: Vec<_> = world
            .path
            .changes
            .extract_if(.., |change| change.0 <= now)
            .collect();
        for (_, change) in due {
            let world = &mut self.worlds[link];
            match change {
                Change::Rate(rate) => {
                    world.path.rate = rate;
                    world.black_since = (rate <= 0.0).then_some(now);
                }
                Change::Thought(thought) => world.path.thought = thought,
                Change::Reset => self.lose(link),
            }
        }
        let world = &self.worlds[link];
        if world.up && world.black_since.is_some_and(|since| now - since >= IDLE) {
            self.lose(link);
        }
    }

    fn lose(&mut self, link: usize) {
        if self.worlds[link].up {
            self.worlds[link].up = false;
            let stopped = self.scheduler.lost(self.now, link);
            self.stop(&stopped);
        }
    }

    fn connect(&mut self, link: usize) {
        let now = self.now;
        let world = &mut self.worlds[link];
        let Some(begun) = world.probe else { return };
        if world.path.rate > 0.0 && now - begun >= world.path.delay * 2 {
            world.probe = None;
            if world.up && self.scheduler.standing(link) == Standing::Open {
                self.scheduler.probed(now, link);
                return;
            }
            world.up = true;
            let stopped = self.scheduler.connected(now, link);
            self.stop(&stopped);
        } else if now - begun >= HANDSHAKE {
            world.probe = None;
            self.scheduler.probed(now, link);
        }
    }

    /// Bytes of one step over one link.
    fn flow(&mut self, link: usize) {
        let now = self.now;
        let world = &mut self.worlds[link];
        if !world.up {
            return;
        }
        let mut room = world.path.rate * STEP.as_secs_f64();
        let mut done = vec![];
        for answer in &mut world.answers {
            if room <= 0.0 || answer.ready > now {
                break;
            }
            answer.first_byte.get_or_insert(now - answer.asked);
            let bytes = answer.left.min(room);
            answer.left -= bytes;
            answer.received += bytes;
            room -= bytes;
            world.received += bytes;
            self.last_byte = now;
            if answer.left <= 0.0 {
                done.push(answer.attempt);
            }
        }
        for attempt in done {
            let answers = &mut self.worlds[link].answers;
            let Some(at) = answers.iter().position(|answer| answer.attempt == attempt) else {
                continue;
            };
            let answer = answers.remove(at);
            let first_byte = answer.first_byte.unwrap_or_default();
            let wire = answer.received as u64;
            let (first, stopped) = self.scheduler.answered(now, attempt, wire, first_byte);
            self.stop(&stopped);
            match first {
                true => drop(self.waiting.remove(&answer.request)),
                false => self.twice += answer.received,
            }
        }
    }

    /// What holds at every moment.
    fn check(&mut self) {
        let some_path = self.worlds.iter().any(|world| world.path.rate > 0.0);
        match some_path {
            true => self.stall = self.stall.max(self.now - self.last_byte),
            false => self.last_byte = self.now,
        }
        assert_eq!(self.scheduler.requests.len(), self.waiting.len());
        for world in &self.worlds {
            assert!(world.answers.len() <= super::LEASES_MAX);
        }
    }
}
