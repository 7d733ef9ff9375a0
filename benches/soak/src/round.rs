//! One round: about so many connections at once, for so long; each that ends
//! is followed by another that behaves otherwise.
//!
//! Bounded: a task for each connection, a number of new ones a second, and an
//! end that every peer knows from its start.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::peer::{self, Site};
use crate::table::{Choice, Row};

/// A peer that would end sooner than this is not begun.
const SHORTEST: Duration = Duration::from_secs(1);

/// Peers of each row that warm the host up, and for how long.
const WARM_UP_PEERS: usize = 4;
const WARM_UP: Duration = Duration::from_secs(20);

/// How a round is made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) connections: u32,
    pub(crate) connections_per_second: u32,
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    pub(crate) choice: Choice,
}

/// Gives every new connection its moment.
#[derive(Debug)]
struct Pacer {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    /// Waits for the next moment.
    async fn turn(&self) {
        let moment = {
            let mut next = self.next.lock();
            let moment = (*next).max(Instant::now());
            *next = moment + self.interval;
            moment
        };
        tokio::time::sleep_until(moment).await;
    }
}

/// Runs a round to its end: every peer is through. With the same seed the
/// peers draw the same.
pub(crate) async fn run(site: &Arc<Site>, plan: &Plan) {
    let begun = Instant::now();
    let end = begun + plan.length;
    let pacer = Arc::new(Pacer {
        interval: Duration::from_secs(1) / plan.connections_per_second,
        next: Mutex::new(begun),
    });
    let choice = Arc::new(plan.choice.clone());
    let mut seeds = Rng::with_seed(plan.seed);
    let mut places = JoinSet::new();
    for _ in 0..plan.connections {
        let (site, pacer) = (Arc::clone(site), Arc::clone(&pacer));
        let choice = Arc::clone(&choice);
        places.spawn(fill(site, pacer, choice, seeds.fork(), end));
    }
    through(site, places).await;
}

/// One peer after the other, until the end of the round.
async fn fill(
    site: Arc<Site>,
    pacer: Arc<Pacer>,
    choice: Arc<Choice>,
    mut random: Rng,
    end: Instant,
) {
    while let Some(row) = choice.draw(&mut random) {
        pacer.turn().await;
        let now = Instant::now();
        if now + SHORTEST > end {
            return;
        }
        let until = end.min(now + row.lifetime(&mut random));
        peer::behave(&site, row, random.fork(), until).await;
    }
}

/// Has peers of every row call on the host, so that what it makes once is made.
pub(crate) async fn warm_up(site: &Arc<Site>, plan: &Plan) {
    let until = Instant::now() + WARM_UP;
    let mut seeds = Rng::with_seed(plan.seed);
    let mut peers = JoinSet::new();
    for row in plan
        .choice
        .rows()
        .iter()
        .flat_map(|row| [*row; WARM_UP_PEERS])
    {
        peers.spawn(once(Arc::clone(site), row, seeds.fork(), until));
    }
    through(site, peers).await;
}

async fn once(site: Arc<Site>, row: &'static Row, random: Rng, until: Instant) {
    peer::behave(&site, row, random, until).await;
}

/// Waits for all of them. A peer that panics is wrong and no reason to end.
async fn through(site: &Site, mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            site.tally.wrongs.count(format!("a peer panicked: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;
    use tokio::time::Instant;

    use super::Pacer;

    #[tokio::test]
    async fn turns_keep_their_distance_and_are_not_saved_up() {
        let begun = Instant::now();
        let pacer = Pacer {
            interval: Duration::from_millis(10),
            next: Mutex::new(begun),
        };
        for _ in 0..3 {
            pacer.turn().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let later = Instant::now();
        for _ in 0..3 {
            pacer.turn().await;
        }
        assert!(later.elapsed() >= Duration::from_millis(20));
    }
}
