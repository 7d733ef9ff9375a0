//! The end of the host: connections end, then instances hibernate, all within
//! `drain_timeout`, or the longest `hibernate_timeout` where that is longer.

use std::time::Duration;

use openline_admission::services::Services;
use openline_engine::commons::Commons;
use tokio::time::Instant;

use crate::deployer::Deployer;
use crate::drain::PACE;

/// What a disk that works needs to write the last few states, many times over.
/// A host that is to end at once waits that long for it, too.
const DISK_TIME: Duration = Duration::from_secs(1);

impl Deployer {
    /// Ends the host's connections with 1001, each once what it has sent is
    /// answered, at a bounded pace, and then has every instance hibernate: what
    /// a function saves only then would be lost by each restart. Answers how
    /// many connections were still there. Requests go on to be answered, with
    /// 503 when they ask for a connection: a load balancer learns from
    /// `/.openline/ready` that it should look elsewhere.
    ///
    /// Takes at most `drain_timeout`. Of that, the longest `hibernate_timeout`
    /// of an instance, at most a quarter, is kept for hibernating: a peer that
    /// does not leave should not cost others their state. Where
    /// `hibernate_timeout` is longer than all of `drain_timeout`, it is what
    /// bounds the whole: with a `drain_timeout` of 0 no connection is waited
    /// for, and states are saved nevertheless.
    pub async fn drain(&self) -> usize {
        let timeout = self.inner.state.read().server.drain_timeout;
        let functions = self.inner.loader.identities.all();
        let longest = functions.iter().map(|function| longest(function)).max();
        let longest = longest.unwrap_or_default();
        let kept = longest.min(timeout / 4);
        let deadline = Instant::now() + timeout.max(longest);
        let left = self.end_connections(timeout - kept).await;
        // Also those that were deployed meanwhile.
        let functions = self.inner.loader.identities.all();
        for function in &functions {
            function.stop();
        }
        let ended = async {
            for function in &functions {
                function.ended().await;
            }
        };
        if tokio::time::timeout_at(deadline, ended).await.is_err() {
            let instances: u32 = functions.iter().map(|it| it.instances()).sum();
            tracing::warn!(
                instances,
                "instances had not hibernated after drain_timeout"
            );
        }
        // A slow disk outlasts `hibernate_timeout`: the guest is not waited for
        // any more, and what it saves is not on the disk yet.
        let deadline = deadline.max(Instant::now() + DISK_TIME);
        let written = tokio::time::timeout_at(deadline, self.inner.loader.store.written());
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what instances saved is not written"),
            Err(_) => tracing::warn!("what instances saved may not be on the disk: it is too slow"),
        }
        left
    }

    /// The process is about to end: a disk that hangs does not keep it for longer
    /// than a moment.
    pub fn leave(&self) {
        self.inner.loader.store.close_by(Instant::now() + DISK_TIME);
    }

    /// Ends all connections, and waits until they have ended, at most so long.
    /// Answers how many were still there.
    async fn end_connections(&self, timeout: Duration) -> usize {
        let services = &self.inner.services;
        // Before the connections are listed: who joins a hub later looks at
        // this and ends by itself.
        services.begin_drain();
        // What waits for the end of a back-off has no later to wait for.
        for function in services.functions() {
            function.lift_backoffs();
        }
        let ended = async {
            end_all(services, timeout).await;
            services.ledger().emptied().await;
        };
        let _ = tokio::time::timeout(timeout, ended).await;
        services.ledger().connections() as usize
    }
}

async fn end_all(services: &Services, timeout: Duration) {
    let functions = services.functions();
    let connections = functions.iter().map(|commons| commons.hub().snapshot());
    let connections: Vec<_> = connections.flatten().collect();
    let config = services.table().config.clone();
    // The last one needs time to end, too: half of the time is for that.
    let half = (timeout / 2).max(PACE).as_millis();
    let needed = (connections.len() as u128 * 1000).div_ceil(half);
    let needed = u32::try_from(needed).unwrap_or(u32::MAX);
    let per_second = needed.max(config.drain_connections_per_second);
    let each = (per_second / 100).max(1);
    let mut pace = tokio::time::interval(Duration::from_secs(1) * each / per_second);
    let each = each as usize;
    for some in connections.chunks(each) {
        pace.tick().await;
        for connection in some {
            connection.drain();
            connection.wake();
        }
    }
}

/// What the instances of a function may take to hibernate.
fn longest(function: &Commons) -> Duration {
    let versions = function.versions();
    let live = versions.iter().filter(|version| version.instances() > 0);
    let times = live.map(|version| version.policy().hibernate_timeout);
    times.max().unwrap_or_default()
}
