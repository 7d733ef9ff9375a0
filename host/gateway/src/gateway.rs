//! What all connections of a host share: routes, functions, bounds, and
//! whether the host is ending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openline_cluster::budget::OutboxBudget;
use openline_core::close::CloseReason;
use openline_core::config::ServerConfig;
use openline_core::route::{Route, RouteError, RouteTable};
use openline_engine::function::Function;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// See the module.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) config: ServerConfig,
    pub(crate) functions: Vec<(Route, Arc<Function>)>,
    pub(crate) routes: RouteTable<Arc<Function>>,
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) outboxes: Arc<OutboxBudget>,
    permits: Arc<Semaphore>,
    draining: AtomicBool,
}

/// A TCP connection's share of `connections`; held as long as it lives.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Gateway {
    /// Puts functions onto their routes. Fails when two routes match the same
    /// paths.
    pub fn new(
        config: ServerConfig,
        functions: Vec<(Route, Arc<Function>)>,
    ) -> Result<Self, RouteError> {
        let mut routes = RouteTable::default();
        for (route, function) in &functions {
            routes.insert(route, Arc::clone(function))?;
        }
        let permits = Arc::new(Semaphore::new(config.connections as usize));
        let outboxes = Arc::new(OutboxBudget::new(config.outbox_bytes));
        let (drain, _) = watch::channel(false);
        Ok(Self {
            config,
            functions,
            routes,
            drain,
            outboxes,
            permits,
            draining: AtomicBool::new(false),
        })
    }

    /// Waits until one more TCP connection may be accepted.
    pub(crate) async fn permit(&self) -> Permit {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Permit {
            _permit: permit.expect("the semaphore is never closed"),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Closes every connection with 1001 and waits until all have ended, at
    /// most `drain_timeout`. Answers how many were still there. The accept loop
    /// must have been stopped: it holds a permit for the next connection.
    pub async fn drain(&self) -> usize {
        // Before the connections are listed: who joins a hub later looks at
        // this and ends by itself.
        self.draining.store(true, Ordering::Release);
        self.drain.send_replace(true);
        for (_, function) in &self.functions {
            for connection in function.hub().snapshot() {
                connection.end(CloseReason::ShuttingDown);
                connection.wake();
            }
        }
        let all = self.config.connections as usize;
        let ended = async {
            while self.permits.available_permits() < all {
                // A drain is rare and ends with the process; asking ten times
                // a second costs less than a notification for each connection.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let _ = tokio::time::timeout(self.config.drain_timeout, ended).await;
        all - self.permits.available_permits()
    }
}
