//! One message to many: a window of messages is on its way, and the next is
//! published when all subscribers have the oldest. With a window of one, every
//! delivery is a frame and a write of its own; with more, a server may gather.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

use super::wire::{Wire, from_server, payload, to_server};
use super::{Figures, Moment, Order, PATIENCE, open};
use crate::peers::measurement::{CPU_PER_DELIVERY, DELIVERIES_PER_SECOND};

/// Where a message is published, on every server here.
const PUBLISH: &str = "/fan-out/publish";

/// The messages on their way.
#[derive(Default)]
struct Window {
    messages: RefCell<VecDeque<Published>>,
    /// The number of the first of these.
    first: Cell<u64>,
    first_has_arrived: Notify,
    /// How a subscriber ended, if one did.
    failure: RefCell<Option<String>>,
}

struct Published {
    /// The frame that each subscriber must get.
    frame: Vec<u8>,
    /// Subscribers that do not have it yet.
    missing: usize,
}

pub(super) async fn measure(order: &Order, depth: u32) -> anyhow::Result<Figures> {
    let place = order.place()?;
    let subscribers = open(&place, order.connections).await?;
    let wire = Wire::open(&place.at(PUBLISH)).await?;
    let mut publisher = Publisher {
        wire,
        is_text: order.is_text,
        subscribers: subscribers.len(),
        depth: depth as usize,
        window: Rc::default(),
        next: 0,
    };
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for wire in subscribers {
        tasks.spawn_local_on(receive(wire, Rc::clone(&publisher.window)), &local);
    }
    let measuring = async {
        publisher.publish_for(order.warm_up_seconds).await?;
        let first = Moment::now(order)?;
        let messages = publisher.publish_for(order.seconds).await?;
        let last = Moment::now(order)?;
        let deliveries = messages * u64::from(order.connections);
        let used = first.until(&last);
        Ok(used.of(deliveries, CPU_PER_DELIVERY, DELIVERIES_PER_SECOND))
    };
    local.run_until(measuring).await
}

struct Publisher {
    wire: Wire,
    is_text: bool,
    subscribers: usize,
    depth: usize,
    window: Rc<Window>,
    /// The number of the next message.
    next: u64,
}

impl Publisher {
    /// Publishes for so long; all that was published has then arrived. Returns
    /// how many messages these were.
    async fn publish_for(&mut self, seconds: f64) -> anyhow::Result<u64> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let before = self.next;
        loop {
            let window = Rc::clone(&self.window);
            let on_their_way = || window.messages.borrow().len();
            if Instant::now() < end {
                let mut frames = Vec::new();
                while on_their_way() < self.depth {
                    let payload = payload(self.next);
                    self.next += 1;
                    frames.extend(to_server(self.is_text, &payload));
                    window.messages.borrow_mut().push_back(Published {
                        frame: from_server(self.is_text, &payload),
                        missing: self.subscribers,
                    });
                }
                self.wire.send(&frames).await?;
            } else if on_their_way() == 0 {
                return Ok(self.next - before);
            }
            let arrived = timeout(PATIENCE, window.first_has_arrived.notified()).await;
            arrived.with_context(|| {
                let first = window.messages.borrow();
                let missing = first.front().map_or(0, |first| first.missing);
                let failure = window.failure.take().unwrap_or_default();
                format!("{missing} subscribers did not get a message {failure}")
            })?;
        }
    }
}

/// Checks every frame, until one is wrong or the connection has ended.
async fn receive(mut wire: Wire, window: Rc<Window>) {
    let mut number = 0;
    let mut read = Vec::new();
    loop {
        let outcome = wire.read_frames(&mut read, |frame| {
            let outcome = window.receive(number, frame);
            number += 1;
            outcome
        });
        if let Err(error) = outcome.await {
            *window.failure.borrow_mut() = Some(error.to_string());
            return;
        }
    }
}

impl Window {
    /// A subscriber has got the message of this number.
    fn receive(&self, number: u64, frame: &[u8]) -> anyhow::Result<()> {
        let mut messages = self.messages.borrow_mut();
        let place = number.checked_sub(self.first.get());
        let place = place.and_then(|place| usize::try_from(place).ok());
        let published = place.and_then(|place| messages.get_mut(place));
        let published = published.filter(|published| published.frame == frame);
        let published = published.context("got what was not published")?;
        published.missing -= 1;
        if place == Some(0) && published.missing == 0 {
            while messages.pop_front_if(|first| first.missing == 0).is_some() {
                self.first.set(self.first.get() + 1);
            }
            self.first_has_arrived.notify_one();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Published, Window};

    #[test]
    fn a_message_has_arrived_when_all_have_it() {
        let window = Window::default();
        for frame in [b"a", b"b"] {
            let frame = frame.to_vec();
            let published = Published { frame, missing: 2 };
            window.messages.borrow_mut().push_back(published);
        }
        window.receive(0, b"a").unwrap();
        window.receive(1, b"b").unwrap();
        window.receive(1, b"b").unwrap();
        assert_eq!(window.messages.borrow().len(), 2, "the first is missing");
        window.receive(0, b"b").unwrap_err();
        window.receive(0, b"a").unwrap();
        assert_eq!((window.messages.borrow().len(), window.first.get()), (0, 2));
        window.receive(2, b"c").unwrap_err();
    }
}
