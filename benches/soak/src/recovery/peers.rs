//! Publishers that number what they publish, and peers that count it. Both come
//! back whenever their connection ends.
//!
//! A publisher repeats a publish that was not answered, with the same idempotency
//! key, until it is; so each number is published once. A peer knows where it is by
//! the position that its subscription answered and by counting what comes after.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use fastrand::Rng;
use openline_kit::socket::{Event, Socket};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::tally::Kinds;

/// Those that publish at the same time.
pub(super) const PUBLISHERS: usize = 4;

const ROUTE: &str = "/broker";
/// Between two publishes of one publisher: about eighty a second of all.
const BETWEEN: Duration = Duration::from_millis(50);
/// Before a peer comes back, in milliseconds.
const BACK_MS: std::ops::Range<u64> = 20..300;
/// How long an answer may take before its asker comes back and asks again: a host
/// that is killed does not always end its connections at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a peer that hears nothing looks whether it has everything.
const LOOK: Duration = Duration::from_millis(200);

/// What all share.
#[derive(Debug)]
pub(super) struct Scene {
    host: SocketAddr,
    stops: AtomicBool,
    /// The last number of each publisher that was acknowledged, and whether it was
    /// the last one of all.
    done: [(AtomicU64, AtomicBool); PUBLISHERS],
    pub(super) counts: Counts,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) unanswered: AtomicU64,
    /// Peers with a first position.
    pub(super) subscribed: AtomicU64,
    pub(super) live: AtomicU64,
    pub(super) recovered: AtomicU64,
    pub(super) recoveries: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Peers that have everything.
    pub(super) complete: AtomicU64,
    pub(super) wrongs: Kinds,
    pub(super) endings: Kinds,
}

impl Scene {
    pub(super) fn new(host: SocketAddr) -> Self {
        Self {
            host,
            stops: AtomicBool::new(false),
            done: Default::default(),
            counts: Counts::default(),
        }
    }

    /// Has the publishers end after what they have begun.
    pub(super) fn stop(&self) {
        self.stops.store(true, SeqCst);
    }

    /// Whether these are all numbers that were published.
    fn is_all(&self, seen: &[u64; PUBLISHERS]) -> bool {
        let mut all = self.done.iter().zip(seen);
        all.all(|((last, is_over), seen)| is_over.load(SeqCst) && last.load(SeqCst) == *seen)
    }
}

async fn back(random: &mut Rng) {
    sleep(Duration::from_millis(random.u64(BACK_MS))).await;
}

async fn open(scene: &Scene) -> Option<Socket> {
    let opening = Socket::open(scene.host, ROUTE, &[]);
    timeout(PATIENCE, opening).await.ok()?.ok()
}

// === publishers ===

/// Publishes numbers until it is to stop, and each until it is acknowledged.
pub(super) async fn publish(scene: std::sync::Arc<Scene>, publisher: usize, mut random: Rng) {
    let counts = &scene.counts;
    let (last, is_over) = &scene.done[publisher];
    let mut socket = None;
    let mut number = 1;
    while !scene.stops.load(SeqCst) {
        let answer = match &mut socket {
            Some(socket) => ask(socket, publisher, number).await,
            None => {
                back(&mut random).await;
                socket = open(&scene).await;
                continue;
            }
        };
        match answer.as_deref() {
            Some(answer) if is_done(answer) => {
                counts.acknowledged.fetch_add(1, Relaxed);
                counts
                    .repeated
                    .fetch_add(u64::from(answer.ends_with("Repeated")), Relaxed);
                last.store(number, SeqCst);
                number += 1;
                sleep(BETWEEN).await;
            }
            // The host is about to end.
            Some("unavailable") => back(&mut random).await,
            Some(other) => {
                counts
                    .wrongs
                    .count(format!("a publish was answered {other}"));
                back(&mut random).await;
            }
            None => {
                counts.unanswered.fetch_add(1, Relaxed);
                socket = None;
            }
        }
    }
    // What was not answered may have been done: it is the last one.
    while !finish(&scene, &mut socket, publisher, number).await {
        back(&mut random).await;
        socket = open(&scene).await;
    }
    last.store(number, SeqCst);
    is_over.store(true, SeqCst);
}

/// Publishes the last number; whether it was acknowledged.
async fn finish(scene: &Scene, socket: &mut Option<Socket>, publisher: usize, number: u64) -> bool {
    let Some(socket) = socket else { return false };
    let answer = ask(socket, publisher, number).await;
    let is_done = answer.is_some_and(|answer| is_done(&answer));
    let acknowledged = &scene.counts.acknowledged;
    acknowledged.fetch_add(u64::from(is_done), Relaxed);
    is_done
}

async fn ask(socket: &mut Socket, publisher: usize, number: u64) -> Option<String> {
    let text = format!("{publisher}.{number}");
    let publish = format!("publish room:1 idem={text} -- {text}");
    let asking = async {
        socket.send(Message::text(publish)).await.ok()?;
        match socket.event().await {
            Event::Message(Message::Text(answer)) => Some(answer.as_str().to_owned()),
            Event::Message(_) | Event::Closed(_) => None,
        }
    };
    timeout(PATIENCE, asking).await.ok().flatten()
}

/// Whether an answer has a position.
fn is_done(answer: &str) -> bool {
    let position = answer.split(' ').next().and_then(parse);
    position.is_some()
}

/// Epoch and offset.
fn parse(position: &str) -> Option<(String, u64)> {
    let (epoch, offset) = position.split_once('-')?;
    Some((epoch.to_owned(), offset.parse().ok()?))
}

// === peers ===

/// A peer of the channel.
#[derive(Debug, Default)]
struct Peer {
    /// Where it is: epoch and offset.
    position: Option<(String, u64)>,
    /// The last number of each publisher.
    seen: [u64; PUBLISHERS],
    /// What came since it has subscribed and before that was answered.
    missed: u64,
    is_subscribed: bool,
}

/// Subscribes, counts, and comes back, until it has everything that was published.
pub(super) async fn listen(scene: std::sync::Arc<Scene>, mut random: Rng) {
    let mut peer = Peer::default();
    loop {
        if let Some(mut socket) = open(&scene).await
            && peer.visit(&scene, &mut socket).await
        {
            scene.counts.complete.fetch_add(1, Relaxed);
            return;
        }
        back(&mut random).await;
    }
}

impl Peer {
    /// Subscribes and counts until the connection ends; whether it has everything.
    async fn visit(&mut self, scene: &Scene, socket: &mut Socket) -> bool {
        (self.is_subscribed, self.missed) = (false, 0);
        let wish = match &self.position {
            Some((epoch, offset)) => format!("subscribe room:1 since={epoch}-{offset}"),
            None => "subscribe room:1".to_owned(),
        };
        if socket.send(Message::text(wish)).await.is_err() {
            return false;
        }
        loop {
            if self.is_subscribed && scene.is_all(&self.seen) {
                return true;
            }
            let patience = if self.is_subscribed { LOOK } else { PATIENCE };
            match timeout(patience, socket.event()).await {
                Ok(Event::Message(Message::Text(text))) => self.hear(scene, text.as_str()),
                Ok(Event::Message(other)) => {
                    scene.counts.wrongs.count(format!("{other:?}"));
                }
                Ok(Event::Closed(closed)) => {
                    scene.counts.endings.count(closed.code.to_string());
                    return false;
                }
                Err(_) if self.is_subscribed => {}
                Err(_) => return false,
            }
        }
    }

    fn hear(&mut self, scene: &Scene, text: &str) {
        match text.split_once('.') {
            Some((publisher, number)) => self.count(scene, publisher, number),
            None => self.answered(scene, text),
        }
    }

    /// A publication: the next number of its publisher.
    fn count(&mut self, scene: &Scene, publisher: &str, number: &str) {
        let counts = &scene.counts;
        let seen = publisher
            .parse()
            .ok()
            .and_then(|it: usize| self.seen.get_mut(it));
        let (Some(seen), Ok(number)) = (seen, number.parse::<u64>()) else {
            counts.wrongs.count(format!("{publisher}.{number}"));
            return;
        };
        match number {
            _ if number == *seen + 1 => {}
            _ if number <= *seen => counts.wrongs.count("twice, or out of order".to_owned()),
            _ => counts.wrongs.count("lost".to_owned()),
        }
        *seen = number.max(*seen);
        if let Some((_, offset)) = &mut self.position {
            *offset += 1;
        }
        if self.is_subscribed {
            counts.live.fetch_add(1, Relaxed);
        } else {
            self.missed += 1;
            counts.recovered.fetch_add(1, Relaxed);
        }
    }

    /// The answer to the subscription: `EPOCH-OFFSET recovered COUNT`.
    fn answered(&mut self, scene: &Scene, answer: &str) {
        let counts = &scene.counts;
        let words: Vec<_> = answer.split(' ').collect();
        let [position, recovered, sent] = words[..] else {
            counts.wrongs.count(format!("answered {answer}"));
            return;
        };
        let position = parse(position);
        match (recovered, &self.position) {
            ("-", None) => {
                counts.subscribed.fetch_add(1, Relaxed);
                self.position = position;
            }
            ("recovered", Some(_)) => {
                counts.recoveries.fetch_add(1, Relaxed);
                let is_all = position == self.position && sent == self.missed.to_string();
                if !is_all {
                    counts
                        .wrongs
                        .count("not where it should be after a recovery".to_owned());
                }
            }
            _ => {
                counts.lost.fetch_add(1, Relaxed);
                self.position = position;
            }
        }
        self.is_subscribed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(scene: &Scene) -> Peer {
        let mut peer = Peer::default();
        peer.hear(scene, "ab-5 - 0");
        peer
    }

    #[test]
    fn what_is_lost_twice_or_out_of_order_is_noticed() {
        for (heard, wrongs) in [
            (["0.1", "1.1", "0.2"], 0),
            (["0.1", "0.3", "1.1"], 1),
            (["0.1", "0.1", "1.1"], 1),
            (["0.1", "0.2", "0.1"], 1),
            (["9.1", "0.1", "0.2"], 1),
        ] {
            let scene = Scene::new(([127, 0, 0, 1], 1).into());
            let mut peer = peer(&scene);
            heard.iter().for_each(|text| peer.hear(&scene, text));
            assert_eq!(scene.counts.wrongs.sum(), wrongs, "{heard:?}");
        }
    }

    #[test]
    fn a_recovery_that_is_not_exact_is_noticed() {
        for (answer, wrongs, lost) in [
            ("ab-7 recovered 2", 0, 0),
            ("ab-8 recovered 2", 1, 0),
            ("ac-7 recovered 2", 1, 0),
            ("ab-7 recovered 1", 1, 0),
            ("ab-7 lost 0", 0, 1),
            ("full", 1, 0),
        ] {
            let scene = Scene::new(([127, 0, 0, 1], 1).into());
            let mut peer = peer(&scene);
            peer.is_subscribed = false;
            peer.hear(&scene, "0.1");
            peer.hear(&scene, "0.2");
            peer.hear(&scene, answer);
            let counts = &scene.counts;
            assert_eq!(counts.wrongs.sum(), wrongs, "{answer}");
            assert_eq!(counts.lost.load(Relaxed), lost, "{answer}");
        }
    }

    #[test]
    fn a_peer_has_everything_when_the_publishers_have_ended() {
        let scene = Scene::new(([127, 0, 0, 1], 1).into());
        scene.done[0].0.store(2, SeqCst);
        let seen = [2, 0, 0, 0];
        assert!(!scene.is_all(&seen), "they may publish more");
        scene
            .done
            .iter()
            .for_each(|(_, over)| over.store(true, SeqCst));
        assert!(scene.is_all(&seen) && !scene.is_all(&[1, 0, 0, 0]));
    }
}
