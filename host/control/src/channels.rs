//! Gives functions the terms of their channels: those of their own
//! configuration, and those of the host's that they share.

use std::sync::Arc;

use openline_admission::services::Services;
use openline_broker::terms::TermsTable;
use openline_channels::channel_queue::Most;
use openline_channels::hub::Hub;
use openline_core::channel::ChannelTable;
use openline_core::limits::FunctionLimits;
use openline_engine::listening;
use openline_store::{Store, StoreError};

use crate::deployer::State;
use crate::managed::{Functions, Managed};

/// Reads the durable channels that functions share, once. Their terms are in force
/// before that: a channel that is not durable any more is forgotten.
pub(crate) async fn restore(
    services: &Services,
    store: &Store,
    shared: &[ChannelTable],
) -> Result<(), StoreError> {
    let space = services.shared();
    if space.is_restored() {
        return Ok(());
    }
    space.set_table(TermsTable::of_shared(shared));
    let rows = store.shared_channels();
    space.restore(rows, services.settling()).await
}

/// Reads a function's own durable channels, once.
pub(crate) async fn restore_own(
    services: &Services,
    managed: &Managed,
    shared: &[ChannelTable],
) -> Result<(), StoreError> {
    let hub = managed.commons.hub();
    if hub.own().is_restored() {
        return Ok(());
    }
    // Under other terms its durable channels would be forgotten. Until it has its
    // own, they are as they are, and a publish on one is refused.
    let Some(table) = table(managed, shared) else {
        return Ok(());
    };
    hub.set_table(table);
    let rows = managed.commons.store().channels();
    hub.own().restore(rows, services.settling()).await
}

/// The terms of a function's channels. A configuration with two such patterns was
/// refused; one that is not configured any more has none of its own.
fn table(managed: &Managed, shared: &[ChannelTable]) -> Option<TermsTable> {
    let (name, own) = (&managed.config.name, &managed.config.channels);
    let table = TermsTable::new(name, own, shared);
    let table = table.inspect_err(|error| {
        tracing::error!(function = name.as_str(), %error, "its channels keep the terms they had");
    });
    table.ok()
}

/// Has a function woken by the channels that it subscribes to.
fn subscribe(managed: &Managed) {
    let (hub, config) = (managed.commons.hub(), &managed.config);
    hub.queue().set_most(most(&config.limit));
    hub.listen(&config.subscriptions);
    if !config.subscriptions.is_empty() && hub.queue().begin() {
        tokio::spawn(listening::serve(Arc::downgrade(&managed.commons)));
    }
}

/// How much of what its channels publish may wait for a function.
fn most(limits: &FunctionLimits) -> Most {
    Most {
        publications: usize::try_from(limits.channel_queue).unwrap_or(usize::MAX),
        bytes: limits.channel_queue_bytes,
        calls_per_second: limits.channel_calls_per_second,
    }
}

/// Puts the terms of these functions, and of the channels that they share, into
/// force. Channels get them when they are used next; a task gives them to the
/// others, so that what is not kept any more is forgotten.
pub(crate) fn apply(
    services: &Arc<Services>,
    functions: &Functions,
    before: &State,
    shared: &[ChannelTable],
) {
    let is_other = *before.channels != *shared;
    if is_other {
        services.shared().set_table(TermsTable::of_shared(shared));
    }
    let mut changed: Vec<Arc<Hub>> = Vec::new();
    for managed in functions.values() {
        let known = before.functions.get(&managed.config.name);
        let known = known.filter(|it| !is_other && Arc::ptr_eq(&it.commons, &managed.commons));
        let known = known.map(|it| &it.config);
        let config = &managed.config;
        // To look at each channel and connection is dear: only other terms need it.
        if known.is_none_or(|it| it.channels != config.channels) {
            let Some(table) = table(managed, shared) else {
                continue;
            };
            let hub = managed.commons.hub();
            hub.set_table(table);
            changed.push(Arc::clone(hub));
        } else if known.is_some_and(|it| {
            it.subscriptions == config.subscriptions && most(&it.limit) == most(&config.limit)
        }) {
            continue;
        }
        subscribe(managed);
    }
    for (name, managed) in &before.functions {
        let is_same = |now: &Arc<Managed>| Arc::ptr_eq(&now.commons, &managed.commons);
        if !functions.get(name).is_some_and(is_same) {
            managed.commons.hub().listen(&[]);
        }
    }
    if changed.is_empty() && !is_other {
        return;
    }
    let shared = is_other.then(|| Arc::clone(services.shared()));
    tokio::task::spawn_blocking(move || {
        for hub in changed {
            hub.refresh();
        }
        if let Some(shared) = shared {
            shared.refresh(|name| shared.find(name).is_shared);
        }
    });
}
