//! TCP connections that wait for the next call of one function.
//!
//! A pool belongs to one function and to one state of its configuration, so that
//! no call uses a connection that its function may not have made.
//!
//! Bounded: `outbound_idle_connections`, each for `outbound_idle_timeout`. Those of
//! HTTP/2 count even while they carry calls.

use std::collections::HashMap;
use std::time::Duration;

use openline_core::outbound::Destination;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::pipe::{One, Pipe, Shared, Two};

/// The connections of a function that wait.
#[derive(Debug)]
pub(crate) struct Pool {
    most: usize,
    time: Duration,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By destination, the newest last.
    ones: HashMap<Destination, Vec<Idle>>,
    count: usize,
    shared: HashMap<Destination, Carrier>,
}

#[derive(Debug)]
struct Idle {
    one: One,
    since: Instant,
}

#[derive(Debug)]
struct Carrier {
    shared: Shared,
    /// When it was last seen with a call.
    used: Instant,
}

impl Pool {
    pub(crate) fn new(most: u32, time: Duration) -> Self {
        Self {
            most: most as usize,
            time,
            waiting: Mutex::default(),
        }
    }

    /// Takes a connection to a destination.
    pub(crate) fn take(&self, to: &Destination) -> Option<Pipe> {
        let mut waiting = self.waiting.lock();
        let now = Instant::now();
        if let Some(carrier) = waiting.shared.get_mut(to) {
            if !carrier.shared.is_closed() {
                carrier.used = now;
                return Some(Pipe::Two(Two::new(carrier.shared.clone())));
            }
            waiting.shared.remove(to);
        }
        let idle = waiting.ones.get_mut(to)?;
        let (mut taken, mut found) = (0, None);
        // The newest is the one that the other host will keep open for longest.
        while let Some(newest) = idle.pop() {
            taken += 1;
            if newest.one.is_ready() && now - newest.since < self.time {
                found = Some(Pipe::One(newest.one));
                break;
            }
        }
        if idle.is_empty() {
            waiting.ones.remove(to);
        }
        waiting.count -= taken;
        found
    }

    /// Gives a connection back.
    pub(crate) fn give(&self, to: &Destination, one: One) {
        if self.most == 0 || self.time.is_zero() || !one.is_ready() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let since = Instant::now();
        let idle = Idle { one, since };
        waiting.ones.entry(to.clone()).or_default().push(idle);
        waiting.count += 1;
        let too_many = waiting.count + waiting.shared.len() > self.most;
        let closed = if too_many {
            waiting.remove_oldest()
        } else {
            None
        };
        drop(waiting);
        drop(closed);
    }

    /// Lets other calls use a connection of HTTP/2.
    pub(crate) fn share(&self, to: &Destination, shared: Shared) {
        if self.most == 0 || self.time.is_zero() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let there = waiting.shared.get(to);
        if there.is_some_and(|it| !it.shared.is_closed()) {
            return;
        }
        let used = Instant::now();
        waiting.shared.insert(to.clone(), Carrier { shared, used });
        let mut closed = Vec::new();
        while waiting.count + waiting.shared.len() > self.most {
            if let Some(idle) = waiting.remove_oldest() {
                closed.push(idle);
                continue;
            }
            // It goes on with its calls, and takes no more.
            let carriers = waiting.shared.iter();
            let oldest = carriers.min_by_key(|(_, it)| it.used);
            let Some(oldest) = oldest.map(|(to, _)| to.clone()) else {
                break;
            };
            waiting.shared.remove(&oldest);
        }
        drop(waiting);
        drop(closed);
    }

    /// Closes what has waited for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        let Waiting {
            ones,
            count,
            shared,
        } = &mut *waiting;
        let mut closed = Vec::new();
        ones.retain(|_, idle| {
            let is_over = |it: &mut Idle| it.one.is_closed() || now - it.since >= self.time;
            closed.extend(idle.extract_if(.., is_over));
            !idle.is_empty()
        });
        *count -= closed.len();
        shared.retain(|_, carrier| {
            if carrier.shared.streams() > 0 {
                carrier.used = now;
            }
            !carrier.shared.is_closed() && now - carrier.used < self.time
        });
        drop(waiting);
        drop(closed);
    }

    /// How many wait, of HTTP/1.1 and of HTTP/2.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.count, waiting.shared.len())
    }
}

impl Waiting {
    /// Removes the connection of HTTP/1.1 that has waited longest.
    fn remove_oldest(&mut self) -> Option<Idle> {
        let firsts = self.ones.iter();
        let firsts = firsts.filter_map(|(to, idle)| Some((idle.first()?.since, to)));
        let (_, to) = firsts.min_by_key(|(since, _)| *since)?;
        let to = to.clone();
        let idle = self.ones.get_mut(&to)?;
        let oldest = idle.remove(0);
        if idle.is_empty() {
            self.ones.remove(&to);
        }
        self.count -= 1;
        Some(oldest)
    }
}
