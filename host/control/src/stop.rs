//! The end of the host: connections end, then instances hibernate, all within
//! `drain_timeout`, or the longest `hibernate_timeout` where that is longer.

use std::time::Duration;

use openline_admission::services::Services;
use openline_engine::commons::Commons;
use tokio::time::Instant;

use crate::deployer::Deployer;
use crate::drain::PACE;

/// Many times what a working disk needs to write the last few states. Even a
/// host that must end at once waits this long.
const DISK_TIME: Duration = Duration::from_secs(1);

impl Deployer {
    /// Ends the host's connections with 1001 at a bounded pace, each once its
    /// messages are answered. Then every instance hibernates, so that a restart
    /// does not lose the state that a function saves only then. Returns how
    /// many connections remained. The host goes on answering requests, and
    /// refuses new connections with 503: `/.openline/ready` tells a load
    /// balancer to look elsewhere.
    ///
    /// Takes at most `drain_timeout`. The longest `hibernate_timeout` of an
    /// instance, but at most a quarter of the whole, is reserved for
    /// hibernating: a peer that does not leave must not cost others their
    /// state. Where `hibernate_timeout` is longer than `drain_timeout`, it
    /// bounds the whole instead: with a `drain_timeout` of 0 the host waits for
    /// no connection, but still saves states.
    pub async fn drain(&self) -> usize {
        let timeout = self.inner.state.read().server.drain_timeout;
        let functions = self.inner.loader.identities.all();
        let longest = functions.iter().map(|function| longest(function)).max();
        let longest = longest.unwrap_or_default();
        let kept = longest.min(timeout / 4);
        let deadline = Instant::now() + timeout.max(longest);
        let left = self.end_connections(timeout - kept).await;
        // These include functions that were deployed meanwhile.
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
        // A slow disk may take longer than `hibernate_timeout`. The guests have
        // finished by then, or were given up, but states may not be on the disk
        // yet.
        let deadline = deadline.max(Instant::now() + DISK_TIME);
        let written = tokio::time::timeout_at(deadline, self.inner.loader.store.written());
        match written.await {
            Ok(Ok(())) => {
                // One of these writes may have been too late: it is taken back,
                // or else the next process would make a change that was refused.
                let by = Instant::now() + DISK_TIME;
                let _ = tokio::time::timeout_at(by, self.inner.changes.ended()).await;
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "could not write states that instances saved")
            }
            Err(_) => {
                tracing::warn!("states that instances saved may not be on the disk: it is too slow")
            }
        }
        left
    }

    /// Prepares for the end of the process: a disk that hangs delays it by a
    /// moment at most.
    pub fn leave(&self) {
        self.inner.loader.store.close_by(Instant::now() + DISK_TIME);
    }

    /// Ends all connections, and waits for them for at most `timeout`. Returns
    /// how many remained.
    async fn end_connections(&self, timeout: Duration) -> usize {
        let services = &self.inner.services;
        // This comes before the connections are listed: a connection that joins
        // a hub later sees it and ends by itself.
        services.begin_drain();
        // Events that wait for the end of a back-off cannot wait any longer.
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
    // Half of the time is left for the last connection to end.
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

/// The `hibernate_timeout` of a function.
fn longest(function: &Commons) -> Duration {
    let versions = function.versions();
    let live = versions.iter().filter(|version| version.instances() > 0);
    let times = live.map(|version| version.policy().hibernate_timeout);
    times.max().unwrap_or_default()
}
