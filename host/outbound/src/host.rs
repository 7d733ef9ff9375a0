//! The host's side: makes the calls of each function possible, and ends what is
//! overdue.
//!
//! Bounded: `outbound_calls` and `outbound_lookups` of `[server]`; the sweep comes
//! once a second.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openline_core::config::ServerConfig;
use openline_core::name::FunctionName;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

use crate::dial::Dialer;
use crate::function::FunctionOutbound;
use crate::hops::HopName;
use crate::own::OwnListeners;
use crate::places::Places;
use crate::resolve::{Lookups, Resolve, SystemResolver};
use crate::shared::Shared;
use crate::terms::Terms;

/// How often overdue answers and connections are looked for: their times are
/// seconds or more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The calls of all functions.
#[derive(Debug)]
pub struct Outbound {
    shared: Arc<Shared>,
    functions: Mutex<Vec<Weak<FunctionOutbound>>>,
}

impl Outbound {
    /// With the limits of the host. Sockets live on `runtime`, which has to run as
    /// long as functions call.
    pub fn new(config: &ServerConfig, runtime: Handle) -> Arc<Self> {
        Self::with_resolver(config, Arc::new(SystemResolver), runtime)
    }

    /// The same, with another way to look names up.
    pub fn with_resolver(
        config: &ServerConfig,
        resolver: Arc<dyn Resolve>,
        runtime: Handle,
    ) -> Arc<Self> {
        let lookups = Lookups::new(resolver, config.outbound_lookups, runtime.clone());
        let outbound = Arc::new(Self {
            shared: Arc::new(Shared {
                dialer: Dialer {
                    lookups,
                    own: OwnListeners::default(),
                },
                runtime: runtime.clone(),
                places: Arc::new(Places::new(config.outbound_calls)),
                hop_name: HopName::random(),
            }),
            functions: Mutex::default(),
        });
        runtime.spawn(sweep(Arc::downgrade(&outbound)));
        outbound
    }

    /// The calls of a function. Each call makes another one, so the caller must see
    /// that a function has only one.
    pub fn function(&self, name: &FunctionName, terms: Terms) -> Arc<FunctionOutbound> {
        let shared = Arc::clone(&self.shared);
        let function = Arc::new(FunctionOutbound::new(name.clone(), shared, terms));
        let mut functions = self.functions.lock();
        functions.retain(|it| it.strong_count() > 0);
        functions.push(Arc::downgrade(&function));
        function
    }

    /// The listeners that no function may call: those by which the host is
    /// operated.
    pub fn set_own_listeners(&self, listeners: impl IntoIterator<Item = SocketAddr>) {
        self.shared.dialer.own.replace(listeners);
    }

    /// Calls of all functions that are in flight.
    pub fn in_flight(&self) -> u32 {
        self.shared.places.taken()
    }
}

/// Looks for what is overdue, as long as there is a host.
async fn sweep(outbound: Weak<Outbound>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(outbound) = outbound.upgrade() else {
            return;
        };
        let functions: Vec<_> = outbound
            .functions
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for function in functions {
            function.sweep();
        }
    }
}
