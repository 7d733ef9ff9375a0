//! Looks names up.
//!
//! The system's resolver does it, so that a name means here what it means to every
//! other program of the machine: the file of hosts, search domains, the networks
//! of containers, caches. It blocks a thread for as long as it tries, and cannot be
//! interrupted. So few run at once, each keeps its permit until it has really
//! ended, and callers that have given up do not make room for more.
//!
//! Bounded: `outbound_lookups` of the host, a fourth of them for each function, and
//! [`ADDRESSES_MAX`] of an answer.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::error::OutboundError;

/// Addresses that are taken of an answer: large services have a dozen.
pub(crate) const ADDRESSES_MAX: usize = 32;

/// What a look-up returns.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of names.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name, the best first. It runs within a tokio runtime.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The look-ups of the host.
#[derive(Debug)]
pub(crate) struct Lookups {
    resolver: Arc<dyn Resolve>,
    runtime: Handle,
    permits: Arc<Semaphore>,
    most: u32,
}

/// A function's part of them.
#[derive(Clone, Debug)]
pub(crate) struct LookupPart(Arc<Semaphore>);

impl Lookups {
    pub(crate) fn new(resolver: Arc<dyn Resolve>, most: u32, runtime: Handle) -> Self {
        Self {
            resolver,
            runtime,
            permits: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// The part of a function.
    pub(crate) fn part(&self) -> LookupPart {
        let most = (self.most / 4).max(1);
        LookupPart(Arc::new(Semaphore::new(most as usize)))
    }

    /// Looks a name up. A caller that stops waiting leaves the look-up to end by
    /// itself, with its permits.
    pub(crate) async fn find(
        &self,
        part: &LookupPart,
        name: &str,
    ) -> Result<Vec<IpAddr>, OutboundError> {
        const OPEN: &str = "the semaphore is never closed";
        let own = Arc::clone(&part.0).acquire_owned().await.expect(OPEN);
        let permits = Arc::clone(&self.permits).acquire_owned();
        let permit = permits.await.expect(OPEN);
        let resolving = self.resolver.resolve(name);
        let found = self.runtime.spawn(async move {
            let found = resolving.await;
            drop((own, permit));
            found
        });
        match found.await {
            Ok(Ok(mut addresses)) if !addresses.is_empty() => {
                addresses.truncate(ADDRESSES_MAX);
                Ok(addresses)
            }
            Ok(Ok(_)) => Err(OutboundError::Lookup),
            Ok(Err(error)) => {
                tracing::debug!(name, %error, "a name is not found");
                Err(OutboundError::Lookup)
            }
            // The runtime ends, or the resolver has panicked.
            Err(_) => Err(OutboundError::Lookup),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    /// Answers when it is told to.
    #[derive(Debug, Default)]
    struct Slow(Mutex<Vec<oneshot::Sender<()>>>);

    impl Resolve for Slow {
        fn resolve(&self, _: &str) -> Resolving {
            let (done, wait) = oneshot::channel();
            self.0.lock().push(done);
            Box::pin(async move {
                let _ = wait.await;
                Ok(vec![IpAddr::from([1, 1, 1, 1]); ADDRESSES_MAX + 1])
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn look_ups_that_nobody_waits_for_keep_their_permits() {
        let slow = Arc::new(Slow::default());
        let lookups = Lookups::new(Arc::clone(&slow) as _, 8, Handle::current());
        let (part, other) = (lookups.part(), lookups.part());
        let find = async |part| timeout(Duration::from_secs(1), lookups.find(part, "a")).await;
        // A fourth of eight.
        for _ in 0..4 {
            assert!(find(&part).await.is_err());
        }
        assert_eq!(slow.0.lock().len(), 2);
        for _ in 0..4 {
            assert!(find(&other).await.is_err());
        }
        assert_eq!(slow.0.lock().len(), 4);
        // One ends, and another function's stays.
        let done = slow.0.lock().remove(0);
        done.send(()).unwrap();
        assert!(find(&part).await.is_err());
        assert_eq!(slow.0.lock().len(), 4);
    }

    #[tokio::test]
    async fn no_more_addresses_are_taken_than_may() {
        let slow = Arc::new(Slow::default());
        let lookups = Lookups::new(Arc::clone(&slow) as _, 1, Handle::current());
        let part = lookups.part();
        let answer = async {
            loop {
                let asked = slow.0.lock().pop();
                if let Some(done) = asked {
                    done.send(()).unwrap();
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let (found, ()) = tokio::join!(lookups.find(&part, "a"), answer);
        assert_eq!(found.unwrap().len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn the_system_knows_itself() {
        let lookups = Lookups::new(Arc::new(SystemResolver), 1, Handle::current());
        let part = lookups.part();
        let found = lookups.find(&part, "localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        // A name that cannot be (RFC 6761).
        let error = lookups.find(&part, "nobody.invalid").await.unwrap_err();
        assert_eq!(error, OutboundError::Lookup);
    }
}
