//! A version as its instances know it: its code, the terms that it runs under,
//! and the parts of its function that guests can reach.

use std::sync::Arc;

use openline_channels::hub::Hub;
use openline_core::config::FunctionConfig;
use openline_core::digest::Digest;
use openline_core::environment::Environment;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use openline_outbound::FunctionOutbound;

use super::environment::GuestConfig;
use super::faults::FaultsInARow;
use super::log::LogRate;
use super::store::StoreData;
use super::turns::LongRuns;
use crate::alarms::clock::AlarmClock;
use crate::alarms::owner::Owner;
use crate::component::loaded::Loaded;

/// The code of one version and the terms that it runs under.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: FunctionName,
    pub(crate) digest: Digest,
    pub(crate) loaded: Loaded<StoreData>,
    pub(crate) policy: InstancePolicy,
    pub(crate) limits: Arc<FunctionLimits>,
    /// What its instances read as their environment, secrets among it.
    pub(crate) environment: Environment,
    /// The same for `wasi:config`.
    pub(crate) config: GuestConfig,
    pub(crate) reach: Reach,
    /// What it may call; none where it may call nobody.
    pub(crate) calls: Option<Arc<FunctionOutbound>>,
    /// The turns of long runs, which all functions of the host share.
    pub(crate) long_runs: LongRuns,
    pub(crate) log_rate: Arc<LogRate>,
    pub(crate) faults: FaultsInARow,
}

/// The parts of its function that a guest can reach, the same in all versions.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// The function's connections.
    pub(crate) hub: Arc<Hub>,
    /// The clock on which it sets alarms.
    pub(crate) clock: Arc<AlarmClock>,
    /// The owner of its alarms and states.
    pub(crate) owner: Arc<dyn Owner>,
}

impl Program {
    pub(crate) fn new(
        config: &FunctionConfig,
        digest: Digest,
        loaded: Loaded<StoreData>,
        (reach, calls): (Reach, Option<Arc<FunctionOutbound>>),
        long_runs: LongRuns,
    ) -> Self {
        let environment = config.environment.in_force();
        let lines = config.limit.log_lines_per_second;
        Self {
            name: config.name.clone(),
            digest,
            loaded,
            policy: config.instance.clone(),
            limits: Arc::new(config.limit.clone()),
            environment: environment.clone(),
            config: environment.into(),
            reach,
            calls,
            long_runs,
            log_rate: Arc::new(LogRate::new(config.name.clone(), lines)),
            faults: FaultsInARow::default(),
        }
    }

    /// Notes that a request was inspected. That resets the faults in a row of a
    /// function that only inspects; one that handles messages could fail at each
    /// of them and inspect well.
    pub(crate) fn note_inspection(&self) {
        if !self.loaded.takes_connections() {
            self.faults.succeed();
        }
    }
}
