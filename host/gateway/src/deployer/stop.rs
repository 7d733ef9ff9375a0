//! The end of the host: connections end, then instances hibernate, all within
//! `drain_timeout`, or the longest `hibernate_timeout` where that is longer.

use std::time::Duration;

use openline_engine::commons::Commons;
use tokio::time::Instant;

use super::Deployer;

/// What a disk that works needs to write the last few states, many times over.
/// A host that is to end at once waits that long for it, too.
const DISK_TIME: Duration = Duration::from_secs(1);

impl Deployer {
    /// Ends all connections as [`Gateway::drain`] does, and then has every
    /// instance hibernate: what a function saves only then would be lost by
    /// each restart. Answers how many connections were still there.
    ///
    /// Takes at most `drain_timeout`. Of that, the longest `hibernate_timeout`
    /// of an instance, at most a quarter, is kept for hibernating: a peer that
    /// does not leave should not cost others their state. Where
    /// `hibernate_timeout` is longer than all of `drain_timeout`, it is what
    /// bounds the whole: with a `drain_timeout` of 0 no connection is waited
    /// for, and states are saved nevertheless.
    ///
    /// [`Gateway::drain`]: crate::gateway::Gateway::drain
    pub async fn drain(&self) -> usize {
        let timeout = self.inner.state.read().server.drain_timeout;
        let functions = self.inner.identities.all();
        let longest = functions.iter().map(|function| longest(function)).max();
        let longest = longest.unwrap_or_default();
        let kept = longest.min(timeout / 4);
        let deadline = Instant::now() + timeout.max(longest);
        let left = self.inner.gateway.drain(timeout - kept).await;
        // Also those that were deployed meanwhile.
        let functions = self.inner.identities.all();
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
        let written = tokio::time::timeout_at(deadline, self.inner.store.written());
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
        self.inner.store.close_by(Instant::now() + DISK_TIME);
    }
}

/// What the instances of a function may take to hibernate.
fn longest(function: &Commons) -> Duration {
    let versions = function.versions();
    let live = versions.iter().filter(|version| version.instances() > 0);
    let times = live.map(|version| version.policy().hibernate_timeout);
    times.max().unwrap_or_default()
}
