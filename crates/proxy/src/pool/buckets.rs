//! What waits, by kind of session.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Counts;
use crate::protocol::Protocol;
use crate::upstream::Upstream;

/// The most kinds that are known: which user, database and settings a session has is for clients to say.
const MOST_KINDS: usize = 256;

/// How long no login ahead of need is tried after one that failed: whoever needs a session meanwhile tries for themselves.
const BACKOFF: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Buckets<P: Protocol> {
    known: HashMap<P::Wish, Bucket<P>>,
    /// Until when nothing is kept or logged in ahead of need, since a client has a database for itself.
    vacated: Option<Instant>,
}

#[derive(Debug)]
struct Bucket<P: Protocol> {
    /// The one that was left last is taken first: what is not needed grows old and is closed.
    waiting: Vec<IdleConn<P>>,
    dialling: usize,
    /// When a login ahead of need may be tried again, where one has failed.
    resting: Option<Instant>,
    /// When a client last asked for it.
    asked: Instant,
}

#[derive(Debug)]
struct IdleConn<P: Protocol> {
    upstream: Upstream<P>,
    since: Instant,
}

impl<P: Protocol> Default for Buckets<P> {
    fn default() -> Self {
        Self { known: HashMap::new(), vacated: None }
    }
}

impl<P: Protocol> Buckets<P> {
    pub(super) fn take(&mut self, kind: &P::Wish) -> Option<Upstream<P>> {
        let known = self.known(kind);
        known.asked = Instant::now();
        known.waiting.pop().map(|waiting| waiting.upstream)
    }

    /// Keeps one. Where that makes one too many, it gives back what has waited longest.
    pub(super) fn keep(
        &mut self,
        kind: &P::Wish,
        upstream: Upstream<P>,
        most: usize,
    ) -> Option<Upstream<P>> {
        if self.is_vacated() {
            return Some(upstream);
        }
        self.known(kind).waiting.push(IdleConn { upstream, since: Instant::now() });
        if self.counts().idle <= most {
            return None;
        }
        let eldest = |kind: &&mut Bucket<P>| kind.waiting.first().map(|waiting| waiting.since);
        let crowded =
            self.known.values_mut().filter(|kind| !kind.waiting.is_empty()).min_by_key(eldest)?;
        Some(crowded.waiting.remove(0).upstream)
    }

    /// Says how many logins are to begin so that `warm` wait, and counts them as begun.
    pub(super) fn begin(&mut self, kind: &P::Wish, warm: usize) -> usize {
        let vacated = self.is_vacated();
        let known = self.known(kind);
        if vacated || known.resting.is_some_and(|until| Instant::now() < until) {
            return 0;
        }
        let missing = warm.saturating_sub(known.waiting.len() + known.dialling);
        known.dialling += missing;
        missing
    }

    /// A login that was begun is over. After one that failed, none is tried for a while.
    pub(super) fn dial_finished(&mut self, kind: &P::Wish, failed: bool) {
        if let Some(known) = self.known.get_mut(kind) {
            known.dialling = known.dialling.saturating_sub(1);
            known.resting = failed.then(|| Instant::now() + BACKOFF);
        }
    }

    /// Takes out what has waited for `idle` beyond the `warm` that shall wait, is not fresh, or whose server is not quiet.
    pub(super) fn evict(
        &mut self,
        idle: Duration,
        warm: usize,
        is_fresh: impl Fn(&Upstream<P>) -> bool,
    ) -> Vec<Upstream<P>> {
        let mut ended = Vec::new();
        for kind in self.known.values_mut() {
            let in_use = kind.asked.elapsed() < idle;
            let mut left = kind.waiting.len();
            let mut kept = Vec::with_capacity(left);
            for mut waiting in kind.waiting.drain(..) {
                let needed = in_use && left <= warm;
                let stale = waiting.since.elapsed() >= idle && !needed;
                if stale || !is_fresh(&waiting.upstream) || !waiting.upstream.is_quiet() {
                    left -= 1;
                    ended.push(waiting.upstream);
                } else {
                    kept.push(waiting);
                }
            }
            kind.waiting = kept;
        }
        self.known.retain(|_, kind| {
            kind.asked.elapsed() < idle || !kind.waiting.is_empty() || kind.dialling > 0
        });
        ended
    }

    /// The kinds that clients have asked for within `idle`, the last first, and that have fewer than `warm`, as long as there is room
    /// among the `most` that may wait: what is logged in to beyond that would only be closed.
    pub(super) fn underfilled(&self, idle: Duration, warm: usize, most: usize) -> Vec<P::Wish> {
        let Counts { idle: waiting, dialling } = self.counts();
        let mut room = most.saturating_sub(waiting + dialling);
        let mut in_use: Vec<_> =
            self.known.iter().filter(|(_, kind)| kind.asked.elapsed() < idle).collect();
        in_use.sort_by_key(|(_, kind)| Reverse(kind.asked));
        let lacks = |(wish, kind): (&P::Wish, &Bucket<P>)| {
            let missing = warm.saturating_sub(kind.waiting.len() + kind.dialling);
            let fits = missing > 0 && missing <= room;
            room -= if fits { missing } else { 0 };
            fits.then(|| wish.clone())
        };
        in_use.into_iter().filter_map(lacks).collect()
    }

    /// The kind that was asked for last.
    pub(super) fn latest(&self) -> Option<P::Wish> {
        self.known.iter().max_by_key(|(_, kind)| kind.asked).map(|(wish, _)| wish.clone())
    }

    /// Gives all that waits, and keeps nothing for a while.
    pub(super) fn vacate(&mut self) -> Vec<Upstream<P>> {
        self.vacated = Some(Instant::now() + BACKOFF);
        self.clear()
    }

    fn is_vacated(&self) -> bool {
        self.vacated.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn clear(&mut self) -> Vec<Upstream<P>> {
        self.known
            .values_mut()
            .flat_map(|kind| kind.waiting.drain(..))
            .map(|waiting| waiting.upstream)
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let sum = |of: fn(&Bucket<P>) -> usize| self.known.values().map(of).sum();
        Counts { idle: sum(|kind| kind.waiting.len()), dialling: sum(|kind| kind.dialling) }
    }

    fn known(&mut self, kind: &P::Wish) -> &mut Bucket<P> {
        if self.known.len() >= MOST_KINDS && !self.known.contains_key(kind) {
            // One that nobody waits for, asked for longest ago; its sessions are closed with it.
            let oldest = self
                .known
                .iter()
                .filter(|(_, kind)| kind.dialling == 0)
                .min_by_key(|(_, kind)| kind.asked);
            if let Some(oldest) = oldest.map(|(wish, _)| wish.clone()) {
                self.known.remove(&oldest);
            }
        }
        self.known.entry(kind.clone()).or_insert_with(|| Bucket {
            waiting: Vec::new(),
            dialling: 0,
            resting: None,
            asked: Instant::now(),
        })
    }
}

#[cfg(test)]
mod tests;
