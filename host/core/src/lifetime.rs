//! When something is due on a connection: a ping, a warning, its end.
//!
//! Has neither clock nor timer: the caller says how long the connection has
//! been open, and arms one timer for [`Lifetime::due`]. Whatever a peer sends
//! only moves that moment later, so the caller leaves a set timer alone and
//! asks again when it fires: a busy connection touches no timer, and a quiet
//! one needs a single timer for everything.

use std::time::Duration;

use crate::close::CloseReason;
use crate::limits::{FunctionLimits, TimeUp};

/// The action that is due on the connection now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Send a ping.
    Ping,
    /// Send `time_warning_message`.
    Warning,
    /// End the connection.
    End(CloseReason),
}

/// The times of one connection, all counted from its opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// When the last byte came from the peer.
    heard: Duration,
    /// The start of the time to the next ping: the last byte from the peer, or
    /// the last ping.
    probed: Duration,
    /// When the last ping was sent, if nothing has come since.
    pinged: Option<Duration>,
    warned: bool,
}

impl Lifetime {
    /// The peer has sent something.
    pub fn hear(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
        self.probed = self.probed.max(now);
        self.pinged = None;
    }

    /// The last ping needs no answer: its peer sends nothing by itself.
    pub fn need_no_answer(&mut self) {
        self.pinged = None;
    }

    /// When to call `check` next; `None` when there is nothing to wait for.
    pub fn due(&self, limits: &FunctionLimits) -> Option<Duration> {
        let end = limit(limits.connection_time);
        let warning = warning(limits).filter(|_| !self.warned);
        let idle = limit(limits.idle_timeout).map(|time| self.heard + time);
        [end, warning, idle, self.probe(limits)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Says what is due now. While `hearing` is false the host itself does not
    /// read, so a peer's silence proves nothing and is not judged. Pings go on:
    /// they keep the connection alive in proxies, and a ping that cannot be
    /// delivered shows that the peer has gone.
    pub fn check(&mut self, now: Duration, hearing: bool, limits: &FunctionLimits) -> Due {
        if limit(limits.connection_time).is_some_and(|end| now >= end) {
            return Due::End(match limits.time_up {
                // The socket's owner knows when this peer should come back.
                TimeUp::Close => CloseReason::TimeUp { retry_after: 0 },
                TimeUp::Abort => CloseReason::TimeUpAbort,
            });
        }
        if !hearing {
            self.heard = self.heard.max(now);
            if self.probe(limits).is_some_and(|at| now >= at) {
                self.pinged = None;
            }
        }
        if limit(limits.idle_timeout).is_some_and(|time| now >= self.heard + time) {
            return Due::End(CloseReason::Idle);
        }
        if self.pinged.is_some() && self.probe(limits).is_some_and(|at| now >= at) {
            return Due::End(CloseReason::NoPong);
        }
        if !self.warned && warning(limits).is_some_and(|at| now >= at) {
            self.warned = true;
            return Due::Warning;
        }
        if self.probe(limits).is_some_and(|at| now >= at) {
            self.pinged = Some(now);
            self.probed = now;
            return Due::Ping;
        }
        Due::Nothing
    }

    /// When to ping, or when the answer to the last ping is late.
    fn probe(&self, limits: &FunctionLimits) -> Option<Duration> {
        let interval = limit(limits.ping_interval)?;
        match self.pinged {
            None => Some(self.probed + interval),
            // Without `pong_timeout`, no answer is ever late.
            Some(pinged) => Some(pinged + limit(limits.pong_timeout).unwrap_or(Duration::MAX / 4)),
        }
    }
}

fn warning(limits: &FunctionLimits) -> Option<Duration> {
    let end = limit(limits.connection_time)?;
    limit(limits.time_warning).map(|before| end.saturating_sub(before))
}

fn limit(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn limits() -> FunctionLimits {
        FunctionLimits {
            connection_time: s(100),
            time_warning: s(10),
            idle_timeout: s(0),
            ping_interval: s(30),
            pong_timeout: s(20),
            ..FunctionLimits::default()
        }
    }

    #[test]
    fn a_silent_peer_is_pinged_and_then_given_up() {
        let (mut life, limits) = (Lifetime::default(), limits());
        assert_eq!(life.due(&limits), Some(s(30)));
        assert_eq!(life.check(s(29), true, &limits), Due::Nothing);
        assert_eq!(life.check(s(30), true, &limits), Due::Ping);
        assert_eq!(life.due(&limits), Some(s(50)));
        assert_eq!(life.check(s(49), true, &limits), Due::Nothing);
        let end = life.check(s(50), true, &limits);
        assert_eq!(end, Due::End(CloseReason::NoPong));
    }

    #[test]
    fn a_peer_that_answers_lives_until_its_time_is_up() {
        let (mut life, limits) = (Lifetime::default(), limits());
        let mut seen = Vec::new();
        for second in 1..=100 {
            match life.check(s(second), true, &limits) {
                Due::Nothing => {}
                Due::Ping => {
                    seen.push((second, Due::Ping));
                    life.hear(s(second) + Duration::from_millis(50));
                }
                due => seen.push((second, due)),
            }
        }
        assert_eq!(
            seen,
            [
                (30, Due::Ping),
                (61, Due::Ping),
                (90, Due::Warning),
                (92, Due::Ping),
                (100, Due::End(CloseReason::TimeUp { retry_after: 0 })),
            ]
        );
    }

    #[test]
    fn a_ping_that_needs_no_answer_does_not_count_as_one() {
        let limits = FunctionLimits {
            idle_timeout: s(70),
            ..limits()
        };
        let mut life = Lifetime::default();
        for second in [30, 60] {
            assert_eq!(life.check(s(second), true, &limits), Due::Ping);
            life.need_no_answer();
        }
        assert_eq!(life.check(s(69), true, &limits), Due::Nothing);
        let end = life.check(s(70), true, &limits);
        assert_eq!(end, Due::End(CloseReason::Idle));
    }

    #[test]
    fn time_that_is_up_ends_as_configured() {
        let abort = FunctionLimits {
            time_up: TimeUp::Abort,
            ..limits()
        };
        let due = Lifetime::default().check(s(100), true, &abort);
        assert_eq!(due, Due::End(CloseReason::TimeUpAbort));
    }

    #[test]
    fn idleness_is_no_byte_at_all() {
        let limits = FunctionLimits {
            idle_timeout: s(5),
            ping_interval: s(0),
            ..limits()
        };
        let mut life = Lifetime::default();
        life.hear(s(3));
        assert_eq!(life.due(&limits), Some(s(8)));
        assert_eq!(life.check(s(7), true, &limits), Due::Nothing);
        assert_eq!(life.check(s(8), true, &limits), Due::End(CloseReason::Idle));
    }

    #[test]
    fn while_the_host_does_not_read_a_silence_says_nothing() {
        let limits = FunctionLimits {
            connection_time: s(0),
            idle_timeout: s(40),
            ..limits()
        };
        let mut life = Lifetime::default();
        assert_eq!(life.check(s(30), true, &limits), Due::Ping);
        assert_eq!(life.check(s(50), false, &limits), Due::Nothing);
        assert_eq!(life.due(&limits), Some(s(60)));
        // Pings go on, and idleness is counted from the last check.
        assert_eq!(life.check(s(60), false, &limits), Due::Ping);
        assert_eq!(life.check(s(80), false, &limits), Due::Nothing);
        assert_eq!(life.check(s(90), false, &limits), Due::Ping);
        // The host reads again: the answer to the last ping is still due.
        assert_eq!(life.check(s(109), true, &limits), Due::Nothing);
        assert_eq!(
            life.check(s(110), true, &limits),
            Due::End(CloseReason::NoPong)
        );
    }

    #[test]
    fn without_limits_nothing_is_ever_due() {
        let none = FunctionLimits {
            connection_time: s(0),
            time_warning: s(0),
            ping_interval: s(0),
            ..limits()
        };
        let mut life = Lifetime::default();
        assert_eq!(life.due(&none), None);
        assert_eq!(life.check(s(1 << 40), true, &none), Due::Nothing);
    }

    #[test]
    fn a_clock_that_jumps_ends_or_pings_once_and_does_no_harm() {
        let limits = FunctionLimits {
            connection_time: s(0),
            ..limits()
        };
        let mut life = Lifetime::default();
        // A machine that slept for a day: the peer gets its chance to answer.
        assert_eq!(life.check(s(86_400), true, &limits), Due::Ping);
        life.hear(s(86_401));
        assert_eq!(life.check(s(10), true, &limits), Due::Nothing);
        assert_eq!(life.due(&limits), Some(s(86_431)));
    }

    proptest! {
        /// `check` acts only when `due` says so, and afterwards the next due
        /// moment lies in the future.
        #[test]
        fn due_and_check_agree(
            steps in prop::collection::vec((0u64..40, any::<bool>(), any::<bool>()), 1..60),
            idle in 0u64..60, ping in 0u64..40, pong in 0u64..40, time in 0u64..300,
        ) {
            let limits = FunctionLimits {
                connection_time: s(time), time_warning: s(time / 10), idle_timeout: s(idle),
                ping_interval: s(ping), pong_timeout: s(pong), ..limits()
            };
            let mut life = Lifetime::default();
            let mut now = s(0);
            for (step, hears, hearing) in steps {
                now += s(step);
                let due = life.due(&limits);
                let early = due.is_none_or(|due| now < due);
                let done = life.check(now, hearing, &limits);
                prop_assert!(!early || done == Due::Nothing, "{now:?} {due:?} {done:?}");
                match done {
                    Due::End(_) => return Ok(()),
                    Due::Nothing => prop_assert!(life.due(&limits).is_none_or(|due| due > now)),
                    Due::Ping | Due::Warning => {}
                }
                if hears {
                    life.hear(now);
                }
            }
        }
    }
}
