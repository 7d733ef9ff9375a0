//! What a function may call, and within which limits: what its configuration says,
//! ready for use.

use std::time::Duration;

use openline_core::limits::FunctionLimits;
use openline_core::outbound::{OutboundConfig, OutboundRules};

use crate::pool::Pool;
use crate::tls::Tls;
use crate::trust::{RootsError, SystemRoots};

/// What a function may call, and within which limits.
#[derive(Clone, Debug)]
pub struct Terms {
    rules: OutboundRules,
    limits: CallLimits,
    /// None where nothing may be called.
    tls: Option<Tls>,
}

/// The limits of a function's calls: the rows of `[function.limit]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallLimits {
    pub(crate) calls: u32,
    pub(crate) idle_connections: u32,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) header_bytes: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) silence_timeout: Duration,
    /// Zero for none.
    pub(crate) time: Duration,
    pub(crate) idle_timeout: Duration,
}

/// The terms that are in force, with the connections that were made under them.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) rules: OutboundRules,
    pub(crate) limits: CallLimits,
    pub(crate) tls: Option<Tls>,
    pub(crate) pool: Pool,
}

impl Terms {
    /// Nothing may be called.
    pub fn off() -> Self {
        let limits = FunctionLimits::default();
        Self {
            rules: OutboundRules::default(),
            limits: CallLimits::of(&limits),
            tls: None,
        }
    }

    /// Reads the files that a configuration names: on a thread that serves nobody.
    ///
    /// # Errors
    ///
    /// When a file cannot be used.
    pub fn read(
        config: &OutboundConfig,
        limits: &FunctionLimits,
        system: &SystemRoots,
    ) -> Result<Self, RootsError> {
        // What is wrong with a file is told even if nothing uses it yet.
        let roots = system.with(&config.roots)?;
        let tls = (!config.rules.is_empty()).then(|| Tls::new(roots));
        Ok(Self {
            rules: config.rules.clone(),
            limits: CallLimits::of(limits),
            tls,
        })
    }
}

impl CallLimits {
    fn of(limits: &FunctionLimits) -> Self {
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            calls: limits.outbound_calls,
            idle_connections: limits.outbound_idle_connections,
            request_bytes: bytes(limits.outbound_request_bytes),
            response_bytes: bytes(limits.outbound_response_bytes),
            header_bytes: limits.outbound_header_bytes,
            connect_timeout: limits.outbound_connect_timeout,
            head_timeout: limits.outbound_head_timeout,
            silence_timeout: limits.outbound_silence_timeout,
            time: limits.outbound_time,
            idle_timeout: limits.outbound_idle_timeout,
        }
    }
}

impl InForce {
    pub(crate) fn new(terms: Terms) -> Self {
        let Terms { rules, limits, tls } = terms;
        Self {
            pool: Pool::new(limits.idle_connections, limits.idle_timeout),
            rules,
            limits,
            tls,
        }
    }
}
