//! The times of a connection, and the one timer for all of them.
//!
//! What need not be exact is late by up to [`SLACK_PART`] of the time to it, so
//! that what is due on several connections at nearly the same time is done in
//! one go: the wake of a thread costs more than a ping. With 8,000 connections
//! and pings every 30 s, seventeen of them share one. At most [`SLACK_MAX`], so
//! that pings stay spread.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::Context;
use std::time::Duration;

use openline_admission::sessions::Session;
use openline_core::lifetime::Lifetime;
use openline_core::limits::FunctionLimits;
use tokio::time::{Instant, Sleep};

use super::pace::Pace;

/// How late a timer may fire, as a part of its time: less than half a percent.
const SLACK_PART: u32 = 256;

/// The most by which any timer is late on purpose.
const SLACK_MAX: Duration = Duration::from_millis(64);

/// All connections round to multiples of their slack from here.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The next thing that is due, and the timer for it.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) opened_at: Instant,
    pub(crate) lifetime: Lifetime,
    pub(super) pace: Option<Box<Pace>>,
    /// As whom the peer is authenticated, if it is.
    pub(crate) session: Option<Arc<Session>>,
    /// When the connection's next alarm is due.
    pub(crate) alarm: Option<Instant>,
    /// Polled only to see whether it has fired.
    pub(crate) timer: Option<Pin<Box<Sleep>>>,
}

/// The means of noticing that a peer has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// Pings, whose answers the host reads.
    Host,
    /// The system, because the host reads nothing.
    System,
}

impl Clock {
    /// The clock of a connection that opens now.
    pub(crate) fn new(limits: &FunctionLimits) -> Self {
        Self {
            pace: Pace::new(limits),
            ..Self::without_pace()
        }
    }

    /// The clock of one whose peer sends nothing.
    pub(crate) fn without_pace() -> Self {
        Self {
            opened_at: Instant::now(),
            lifetime: Lifetime::default(),
            pace: None,
            session: None,
            alarm: None,
            timer: None,
        }
    }

    /// The time since the connection was opened.
    pub(crate) fn now(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Whether the peer has another token, or its API key other terms, since this was
    /// last asked: it may end earlier than the timer knows, and may do less.
    pub(crate) fn has_new_terms(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.has_new_terms())
    }

    /// Whether the timer has fired.
    pub(crate) fn has_fired(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.is_elapsed())
    }

    /// Sets the timer to the next moment at which something is due; at `look`
    /// the connection checks whether it should sleep.
    pub(crate) fn arm(
        &mut self,
        cx: &mut Context<'_>,
        limits: &FunctionLimits,
        look: Option<Duration>,
    ) {
        let now = self.now();
        let resume = self.pace.as_mut().and_then(|pace| pace.resume(now));
        let due = self.lifetime.due(limits);
        // An alarm that is overdue waits for an event in flight, whose end wakes
        // this task. All else that is overdue, as it can be by its slack, is due
        // at once.
        let later = |due: &Duration| *due > now;
        let alarm = self.alarm.map(|due| due - self.opened_at).filter(later);
        let roughly = [due, look].into_iter().flatten().min();
        let roughly = roughly.map(|due| {
            let left = due.saturating_sub(now);
            rounded(*ORIGIN, self.opened_at + due, left)
        });
        let expiry = self.session.as_ref().and_then(|session| session.left());
        let expiry = expiry.map(|left| now + left);
        let exactly = [resume, alarm, expiry].into_iter().flatten().min();
        let exactly = exactly.map(|due| self.opened_at + due);
        let Some(at) = [roughly, exactly].into_iter().flatten().min() else {
            return;
        };
        let timer = match &mut self.timer {
            Some(timer) => {
                timer.as_mut().reset(at);
                timer
            }
            None => self.timer.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        // Polling registers this task with the timer. A timer that has already
        // fired registers nothing, so wake the task by hand.
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// The moment to which `at` is put off, when this much time is left until then.
/// Slacks are powers of two of a millisecond, which is the precision of timers,
/// so that connections with different times meet as well.
fn rounded(origin: Instant, at: Instant, left: Duration) -> Instant {
    let slack = (left / SLACK_PART).min(SLACK_MAX).as_millis();
    let (Some(power), Some(since)) = (slack.checked_ilog2(), at.checked_duration_since(origin))
    else {
        return at;
    };
    let slack = Duration::from_millis(1 << power).as_nanos();
    let over = since.as_nanos() % slack;
    let more = if over == 0 { 0 } else { slack - over };
    at + Duration::from_nanos(u64::try_from(more).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use openline_admission::keys::{ConfiguredKey, Keys};
    use openline_channels::budget::HostBudget;
    use openline_channels::connection::{Facts, SocketOwner};
    use openline_core::authentication::UnixTime;
    use openline_core::key::{KeyCredential, KeyTerms, Scope, Scopes};
    use openline_core::name::KeyName;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_is_due_at_nearly_the_same_time_is_done_in_one_go() {
        let origin = Instant::now();
        let after = |at: u64, left| rounded(origin, origin + ms(at), ms(left)) - origin;
        // A thirty-second interval has a slack of 64 ms, one second of 2 ms.
        assert_eq!(after(64_000, 30_000), ms(64_000));
        assert_eq!(after(64_001, 30_000), ms(64_064));
        assert_eq!(after(64_064, 30_000), ms(64_064));
        assert_eq!(after(10_001, 1_000), ms(10_002));
        // An hour has no more, and less than half a second has none.
        assert_eq!(after(64_001, 3_600_000), ms(64_064));
        assert_eq!(after(10_001, 511), ms(10_001));
        assert_eq!(after(10_001, 512), ms(10_002));
        assert_eq!(after(10_001, 0), ms(10_001));
        // Before the origin, as clocks of tests may be.
        assert_eq!(rounded(origin + ms(9), origin, ms(30_000)), origin);
    }

    #[test]
    fn nothing_is_early_and_nothing_later_than_its_slack() {
        let origin = Instant::now();
        for left in (0..120_000).step_by(37).map(ms) {
            let at = origin + ms(123_456) + left;
            let late = rounded(origin, at, left) - at;
            assert!(late <= SLACK_MAX && late <= left / SLACK_PART, "{left:?}");
        }
    }

    /// A connection whose timer is set by the end of its key looks again when a
    /// reload has changed the key.
    #[tokio::test]
    async fn an_earlier_end_of_a_key_is_noticed() {
        let key = |expires: Option<u64>| ConfiguredKey {
            terms: KeyTerms {
                name: KeyName::new("k").unwrap(),
                scopes: Scopes::new([Scope::Subscribe]).unwrap(),
                channels: KeyTerms::all_channels(),
                functions: None,
                expires: expires.map(UnixTime),
            },
            credential: KeyCredential::of("pub_0123456789abcdef"),
            secret: None,
        };
        let keys = Keys::default();
        let put = |key| keys.put(keys.prepare(vec![key]).unwrap());
        put(key(None));
        let budget = HostBudget::new(1 << 20, 1 << 20).function();
        let limits = Arc::new(FunctionLimits {
            ping_interval: Duration::ZERO,
            connection_time: Duration::ZERO,
            ..FunctionLimits::default()
        });
        let owner = SocketOwner::new(Facts::default(), Arc::clone(&limits), budget);
        let mut clock = Clock::new(&limits);
        let own = keys.authenticate("pub_0123456789abcdef", UnixTime(0));
        clock.session = Some(Session::begin_by_key(&own.unwrap(), owner.connection()));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        clock.arm(&mut cx, &limits, None);
        assert!(clock.timer.is_none() && !clock.has_new_terms());
        put(key(Some(1)));
        assert!(clock.has_new_terms() && !clock.has_new_terms());
        clock.arm(&mut cx, &limits, None);
        // The key ended in 1970.
        assert!(clock.timer.unwrap().deadline() <= Instant::now());
    }

    #[tokio::test]
    async fn a_look_that_is_overdue_by_its_slack_is_not_put_off() {
        let limits = FunctionLimits {
            ping_interval: ms(30_000),
            ..FunctionLimits::default()
        };
        let mut clock = Clock::new(&limits);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // A pong comes when the look is due and the timer has not fired.
        clock.opened_at -= ms(1_001);
        clock.arm(&mut cx, &limits, Some(ms(1_000)));
        let deadline = clock.timer.unwrap().deadline() - clock.opened_at;
        assert_eq!(deadline, ms(1_000));
    }
}
