//! Which link takes the next request, and what a free one takes over from
//! another: estimates of when each is done.

use super::{
    AHEAD, Action, AttemptId, HEDGE_GAIN, LEASES_MAX, Lease, OVERDUE, RequestId, SILENT, Scheduler,
    Time, seconds,
};

impl Scheduler {
    fn wire(&self, request: RequestId) -> f64 {
        self.requests.get(&request).map_or(0.0, |request| {
            request.raw as f64 * self.ratios[request.class as usize]
        })
    }

    pub(super) fn in_flight(&self, link: usize) -> f64 {
        let held = self.leases.iter().filter(|lease| lease.link == link);
        held.map(|lease| lease.bytes).sum()
    }

    fn held(&self, link: usize) -> usize {
        let held = self.leases.iter().filter(|lease| lease.link == link);
        held.count()
    }

    /// Seconds until a link were done with so many more bytes; none if it was
    /// never measured.
    fn finish(&self, link: usize, bytes: f64) -> Option<f64> {
        let state = &self.links[link];
        let rate = state.rate?.max(1.0);
        Some(state.delay.unwrap_or(0.0) + (self.in_flight(link) + bytes) / rate)
    }

    /// A link has room for one more.
    fn has_room(&self, link: usize) -> bool {
        let held = self.held(link);
        if !self.is_open(link) || held >= LEASES_MAX {
            return false;
        }
        let state = &self.links[link];
        match (state.rate, state.delay) {
            (Some(rate), Some(delay)) => {
                let bundle = self
                    .leases
                    .iter()
                    .filter(|lease| lease.link == link)
                    .map(|lease| lease.bytes)
                    .fold(0.0, f64::max);
                // One is on the wire, one waits behind it.
                held < 2 || self.in_flight(link) < rate * delay.max(AHEAD.as_secs_f64()) + bundle
            }
            _ => held < 2,
        }
    }

    /// The link that takes the first request of the queue.
    pub(super) fn take(&mut self, now: Time) -> Option<Action> {
        let request = *self.queue.front()?;
        let bytes = self.wire(request);
        let holds = |link: usize| {
            let mut leases = self.leases.iter();
            leases.any(|lease| lease.request == request && lease.link == link)
        };
        let free = (0..self.links.len()).filter(|link| self.has_room(*link) && !holds(*link));
        let soonest = free
            .map(|link| (self.finish(link, bytes).unwrap_or(0.0), link))
            .min_by(|one, two| one.0.total_cmp(&two.0));
        let (finish, link) = soonest?;
        if self.others_are_done_before(link, finish) {
            return None;
        }
        self.queue.pop_front();
        Some(self.lease(now, link, request, bytes))
    }

    /// Whether all other links together would be done with everything that is
    /// left before this one with the next.
    fn others_are_done_before(&self, link: usize, finish: f64) -> bool {
        let others = (0..self.links.len()).filter(|other| *other != link && self.is_open(*other));
        let (mut rate, mut bytes, mut delay) = (0.0, 0.0, 0.0_f64);
        for other in others {
            let state = &self.links[other];
            let Some(measured) = state.rate else {
                continue;
            };
            rate += measured;
            bytes += self.in_flight(other);
            delay = delay.max(state.delay.unwrap_or(0.0));
        }
        if rate <= 0.0 {
            return false;
        }
        let queued: f64 = self.queue.iter().map(|request| self.wire(*request)).sum();
        let later = self.backlog as f64 * self.ratios[0];
        delay + (bytes + queued + later) / rate < finish
    }

    fn lease(&mut self, now: Time, link: usize, request: RequestId, bytes: f64) -> Action {
        let takes = self.finish(link, bytes).map_or(SILENT, seconds);
        self.attempts += 1;
        let attempt = AttemptId(self.attempts);
        let alone = self.held(link) == 0;
        if alone {
            self.links[link].heard = now;
        }
        self.leases.push(Lease {
            attempt,
            request,
            link,
            bytes,
            asked: now,
            due: now.saturating_add(takes),
            deadline: now.saturating_add(SILENT.max(takes.mul_f64(OVERDUE))),
            overdue: false,
            alone,
        });
        Action::Ask {
            attempt,
            link,
            request,
        }
    }

    /// At the end: a free link takes over what another is slow with.
    pub(super) fn hedge(&mut self, now: Time) -> Option<Action> {
        // Sizes are estimates: what is left of them is no work to come.
        let least = self.leases.iter().map(|lease| lease.bytes);
        let least = least.fold(f64::MAX, f64::min);
        if !self.queue.is_empty() || self.backlog as f64 * self.ratios[0] >= least {
            return None;
        }
        let free = (0..self.links.len()).filter(|link| self.is_open(*link) && self.held(*link) < 2);
        let (link, request, bytes) = free
            .filter_map(|link| self.slowest_of_others(now, link))
            .max_by(|one, two| one.0.total_cmp(&two.0))
            .map(|(_, link, request, bytes)| (link, request, bytes))?;
        if let Some(request) = self.requests.get_mut(&request) {
            request.hedged = true;
        }
        self.links[link].counts.hedges += 1;
        Some(self.lease(now, link, request, bytes))
    }

    /// What a link would gain most by taking over: how many seconds, what.
    fn slowest_of_others(&self, now: Time, link: usize) -> Option<(f64, usize, RequestId, f64)> {
        let candidates = self.leases.iter().filter(|lease| {
            let fresh = self
                .requests
                .get(&lease.request)
                .is_some_and(|request| !request.hedged);
            let mut others = self.leases.iter();
            lease.link != link
                && fresh
                && !others.any(|other| other.request == lease.request && other.link == link)
        });
        candidates
            .filter_map(|lease| {
                // Nothing of this link's rate is known before its first answer.
                let own = self.finish(link, lease.bytes)?;
                let waited = now.saturating_sub(lease.asked).as_secs_f64();
                let left = lease.due.saturating_sub(now).as_secs_f64();
                // What is late will be later.
                let left = if left > 0.0 { left } else { waited / 2.0 };
                let gain = left - own * HEDGE_GAIN;
                (gain > 0.0).then_some((gain, link, lease.request, lease.bytes))
            })
            .max_by(|one, two| one.0.total_cmp(&two.0))
    }
}
