//! The outbox at its bounds, and under random operations.

use proptest::prelude::*;

use super::*;

fn message(bytes: usize) -> Item {
    Item::Message(Message::Binary(Bytes::from(vec![0; bytes])))
}

fn limits(message_bytes: usize, outbox_bytes: usize) -> FunctionLimits {
    FunctionLimits {
        message_bytes,
        outbox_bytes,
        ..FunctionLimits::default()
    }
}

/// An outbox with its limits and a host that has room.
struct Fixture {
    outbox: Outbox,
    limits: FunctionLimits,
    budget: Budget,
}

impl Fixture {
    fn new(message_bytes: usize, outbox_bytes: usize) -> Self {
        Self {
            outbox: Outbox::default(),
            limits: limits(message_bytes, outbox_bytes),
            budget: Budget::new(usize::MAX),
        }
    }

    fn push(&mut self, bytes: usize) -> SendOutcome {
        self.outbox.push(message(bytes), &self.limits, &self.budget)
    }

    fn next(&mut self) -> Next {
        self.outbox.next(&self.budget)
    }
}

#[test]
fn takes_up_to_its_bytes_and_ends_past_them() {
    let mut outbox = Fixture::new(100, 2 * (100 + MESSAGE_OVERHEAD_BYTES));
    assert_eq!(outbox.push(100), SendOutcome::Sent);
    assert_eq!(outbox.push(100), SendOutcome::Sent);
    assert_eq!(outbox.push(0), SendOutcome::Dropped);
    assert_eq!(outbox.next(), Next::End(CloseReason::OutboxOverflow));
    assert_eq!(outbox.push(0), SendOutcome::Gone);
}

#[test]
fn one_of_a_dialect_drops_nothing_and_its_first_frame_leaves_first() {
    let mut outbox = Fixture {
        outbox: Outbox::whole(),
        ..Fixture::new(100, 2 * (100 + MESSAGE_OVERHEAD_BYTES))
    };
    outbox.limits.outbox_overflow = OutboxOverflow::DropOldest;
    // Larger than a message may be, because of its frame.
    assert_eq!(outbox.push(101), SendOutcome::Sent);
    outbox.outbox.push_first(message(1_000), &outbox.budget);
    assert_eq!(outbox.next(), Next::Item(message(1_000)));
    assert_eq!(outbox.push(99), SendOutcome::Sent);
    assert_eq!(outbox.push(0), SendOutcome::Dropped);
    assert_eq!(outbox.next(), Next::End(CloseReason::OutboxOverflow));
    outbox.outbox.push_first(message(1), &outbox.budget);
    assert_eq!(outbox.next(), Next::End(CloseReason::OutboxOverflow));
}

#[test]
fn past_its_bytes_the_newest_or_the_oldest_is_dropped() {
    for (overflow, left) in [
        (OutboxOverflow::DropNewest, [1, 2]),
        (OutboxOverflow::DropOldest, [2, 3]),
    ] {
        let mut outbox = Fixture::new(100, 2 * MESSAGE_OVERHEAD_BYTES + 5);
        outbox.limits.outbox_overflow = overflow;
        assert_eq!(outbox.push(1), SendOutcome::Sent);
        assert_eq!(outbox.push(2), SendOutcome::Sent);
        let expected = match overflow {
            OutboxOverflow::DropOldest => SendOutcome::Sent,
            _ => SendOutcome::Dropped,
        };
        assert_eq!(outbox.push(3), expected);
        for bytes in left {
            assert_eq!(outbox.next(), Next::Item(message(bytes)));
        }
        assert_eq!(outbox.next(), Next::Idle);
        assert!(outbox.outbox.is_open());
    }
}

fn counted(bytes: usize) -> Item {
    let message = Message::Binary(Bytes::from(vec![0; bytes]));
    Item::Published(SharedMessage::counted(message, Default::default()))
}

/// What a peer counts on is never dropped, neither for itself nor for others:
/// there is room, or the connection ends.
#[test]
fn a_publication_that_counts_is_taken_or_the_connection_ends() {
    for overflow in [OutboxOverflow::DropNewest, OutboxOverflow::DropOldest] {
        let mut outbox = Fixture::new(100, 2 * MESSAGE_OVERHEAD_BYTES + 5);
        outbox.limits.outbox_overflow = overflow;
        let push = |outbox: &mut Fixture, item| {
            let Fixture {
                outbox,
                limits,
                budget,
            } = outbox;
            outbox.push(item, limits, budget)
        };
        assert_eq!(push(&mut outbox, counted(1)), SendOutcome::Sent);
        assert_eq!(outbox.push(4), SendOutcome::Sent);
        // Others neither take its place nor end the connection.
        assert_eq!(outbox.push(1), SendOutcome::Dropped);
        assert_eq!(outbox.next(), Next::Item(counted(1)));
        if overflow == OutboxOverflow::DropOldest {
            // It takes the place of one that does not count.
            assert_eq!(push(&mut outbox, counted(2)), SendOutcome::Sent);
            assert_eq!(push(&mut outbox, counted(3)), SendOutcome::Sent);
            assert!(outbox.outbox.is_open());
        }
        assert_eq!(push(&mut outbox, counted(2)), SendOutcome::Dropped);
        assert_eq!(outbox.next(), Next::End(CloseReason::OutboxOverflow));
    }
}

#[test]
fn several_are_put_in_together_or_none_of_them() {
    let cost = MESSAGE_OVERHEAD_BYTES + 10;
    let shared = || SharedMessage::new(Message::Binary(Bytes::from(vec![0; 10])));
    for (bytes, is_taken) in [(2 * cost, true), (2 * cost - 1, false)] {
        let mut outbox = Fixture::new(100, bytes);
        outbox.limits.outbox_overflow = OutboxOverflow::DropOldest;
        let Fixture {
            outbox,
            limits,
            budget,
        } = &mut outbox;
        assert_eq!(
            outbox.push_all(vec![shared(), shared()], limits, budget),
            is_taken
        );
        assert_eq!(matches!(outbox.next(budget), Next::Item(_)), is_taken);
        assert!(outbox.is_open());
    }
    // As everywhere, one alone fits; and nothing fits into one that has ended.
    let mut outbox = Fixture::new(100, 1);
    let Fixture {
        outbox,
        limits,
        budget,
    } = &mut outbox;
    assert!(outbox.push_all(vec![shared()], limits, budget));
    outbox.end(CloseReason::Lost);
    assert!(!outbox.push_all(Vec::new(), limits, budget));
}

#[test]
fn a_message_at_its_size_and_past_it() {
    let mut outbox = Fixture::new(100, 100);
    assert_eq!(outbox.push(101), SendOutcome::Dropped);
    assert!(outbox.outbox.is_open());
    // Larger than the outbox with its bookkeeping, but it is empty.
    assert_eq!(outbox.push(100), SendOutcome::Sent);
}

#[test]
fn says_when_the_peer_is_slow() {
    let mut outbox = Fixture::new(usize::MAX, usize::MAX);
    let most = OUTBOX_LOW_BYTES - MESSAGE_OVERHEAD_BYTES;
    assert_eq!(outbox.push(most), SendOutcome::Sent);
    let waiting = u64::try_from(OUTBOX_LOW_BYTES + MESSAGE_OVERHEAD_BYTES).unwrap();
    assert_eq!(outbox.push(0), SendOutcome::Queued(waiting));
    assert_eq!(outbox.outbox.bytes(), waiting);
}

#[test]
fn what_was_sent_before_the_end_is_written_before_it() {
    let mut outbox = Fixture::new(10, 1000);
    outbox.push(1);
    assert!(
        outbox
            .outbox
            .end(CloseReason::ShuttingDown { retry_after: 0 })
    );
    assert!(!outbox.outbox.end(CloseReason::Lost));
    assert_eq!(outbox.next(), Next::Item(message(1)));
    assert_eq!(
        outbox.next(),
        Next::End(CloseReason::ShuttingDown { retry_after: 0 })
    );
}

#[test]
fn one_that_is_terminated_writes_nothing_more() {
    let mut outbox = Fixture::new(100_000, 1_000_000);
    outbox.push(100_000);
    assert!(
        outbox
            .outbox
            .end(CloseReason::ShuttingDown { retry_after: 0 })
    );
    assert!(outbox.outbox.terminate(&outbox.budget));
    assert!(!outbox.outbox.terminate(&outbox.budget));
    assert_eq!(outbox.next(), Next::End(CloseReason::Terminated));
    assert_eq!(outbox.budget.used(), 0);
    outbox.outbox.finish(&outbox.budget);
    assert!(!outbox.outbox.terminate(&outbox.budget));
}

#[test]
fn the_host_s_budget_at_its_limit_and_past_it() {
    let budget = Budget::new(OUTBOX_SHARE_BYTES);
    let limits = limits(usize::MAX, usize::MAX);
    let (mut first, mut second) = (Outbox::default(), Outbox::default());
    // A few small messages take no share.
    let free = message(OUTBOX_FREE_BYTES - MESSAGE_OVERHEAD_BYTES);
    assert_eq!(
        first.push(free.clone(), &limits, &budget),
        SendOutcome::Sent
    );
    assert_eq!(budget.used(), 0);
    // One byte more takes a whole piece, and none is left for the other.
    first.push(message(0), &limits, &budget);
    assert_eq!(budget.used(), OUTBOX_SHARE_BYTES);
    assert_eq!(second.push(free, &limits, &budget), SendOutcome::Sent);
    assert_eq!(
        second.push(message(0), &limits, &budget),
        SendOutcome::Dropped
    );
    assert_eq!(
        second.next(&budget),
        Next::End(CloseReason::HostOutboxOverflow)
    );
    first.finish(&budget);
    assert_eq!(budget.used(), 0);
}

struct Nobody;

impl std::task::Wake for Nobody {
    fn wake(self: std::sync::Arc<Self>) {}
}

#[test]
fn a_writer_waits_for_room_or_the_end() {
    let mut outbox = Fixture::new(usize::MAX, usize::MAX);
    assert_eq!(outbox.outbox.writable(), Some(Ok(())));
    outbox.push(OUTBOX_LOW_BYTES);
    assert_eq!(outbox.outbox.writable(), None);
    let waker = Waker::from(std::sync::Arc::new(Nobody));
    let first = outbox.outbox.await_room(None, &waker);
    assert_eq!(outbox.outbox.await_room(Some(first), &waker), first);
    let second = outbox.outbox.await_room(None, &waker);
    assert_eq!(outbox.outbox.writers.waiting.len(), 2, "each once");
    outbox.outbox.forget_wait(second);
    assert_eq!(outbox.outbox.writers.waiting.len(), 1);
    outbox.next();
    assert!(outbox.outbox.writers.waiting.is_empty(), "it is told");
    assert_eq!(outbox.outbox.writable(), Some(Ok(())));
    outbox.outbox.end(CloseReason::Lost);
    assert_eq!(outbox.outbox.writable(), Some(Err(Gone)));
}

proptest! {
    /// Under any policy and any operations, the outbox never holds more than
    /// its limit or one message, hands out what it accepted in order, counts
    /// zero bytes when it is empty, and holds a share of the host's budget that
    /// covers its content and is given back.
    #[test]
    fn holds_its_bound_and_its_order(
        steps in prop::collection::vec(prop_oneof![(0usize..30_000).prop_map(Some), Just(None)], 1..200),
        limit in 25_000usize..200_000,
        host in 0usize..400_000,
        overflow in prop::sample::select(vec![
            OutboxOverflow::Close, OutboxOverflow::DropNewest, OutboxOverflow::DropOldest,
        ]),
    ) {
        let budget = Budget::new(host);
        let limits = FunctionLimits { outbox_overflow: overflow, ..limits(25_000, limit) };
        let mut outbox = Outbox::default();
        let mut model: VecDeque<usize> = VecDeque::new();
        for step in steps {
            match step {
                Some(bytes) => {
                    let outcome = outbox.push(message(bytes), &limits, &budget);
                    match outcome {
                        SendOutcome::Sent | SendOutcome::Queued(_) => model.push_back(bytes),
                        SendOutcome::Gone => prop_assert!(!outbox.is_open()),
                        SendOutcome::Dropped if bytes > 25_000 => {}
                        SendOutcome::Dropped if overflow == OutboxOverflow::DropNewest => {}
                        SendOutcome::Dropped => model.clear(),
                    }
                    if overflow == OutboxOverflow::DropOldest {
                        while model.len() > outbox.items.len() {
                            model.pop_front();
                        }
                    }
                }
                None => match outbox.next(&budget) {
                    Next::Item(taken) => {
                        let expected = model.pop_front().map(message);
                        prop_assert_eq!(Some(taken), expected);
                    }
                    _ => prop_assert!(model.is_empty()),
                },
            }
            let sum: usize = model.iter().map(|bytes| bytes + MESSAGE_OVERHEAD_BYTES).sum();
            prop_assert_eq!(outbox.bytes, sum);
            prop_assert!(sum <= limits.outbox_bytes || model.len() == 1);
            prop_assert_eq!(budget.used(), outbox.share);
            prop_assert!(outbox.share + OUTBOX_FREE_BYTES >= sum && outbox.share <= host);
            prop_assert!(outbox.share == 0 || !model.is_empty());
        }
        outbox.finish(&budget);
        prop_assert_eq!(budget.used(), 0);
    }
}
