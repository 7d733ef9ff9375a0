//! Connections that wait for a place: none is overtaken for good.

use std::sync::Arc;
use std::time::Duration;

use openline_core::config::FunctionConfig;
use openline_core::deployment::Migration;
use openline_core::event::UpgradeRequest;

use super::rooms::{leads, next_version};
use super::{Line, config, runtime_of};
use crate::front::alias::Alias;
use crate::front::binding::Outcome;
use crate::front::runtime::Runtime;
use crate::pool::version::UpgradeError;

/// Nothing ends during a test unless something has it end.
const LONG: Duration = Duration::from_secs(600);

/// A function whose messages come back after the time that they name, with
/// instances that do not end by themselves.
async fn sleeper(runtime: &Arc<Runtime>, change: impl FnOnce(&mut FunctionConfig)) -> Arc<Alias> {
    let mut config = config();
    config.instance.idle_timeout = LONG;
    config.instance.concurrency = 1;
    config.limit.handler_timeout = LONG;
    change(&mut config);
    let bytes = std::fs::read(openline_guests::FAULT_SLEEP).unwrap();
    Alias::to(runtime.load_alone(&config, bytes).await.unwrap())
}

fn into(room: &str) -> UpgradeRequest {
    UpgradeRequest {
        route_params: vec![("room".into(), room.into())],
        ..UpgradeRequest::default()
    }
}

#[tokio::test]
async fn a_room_that_waits_for_its_last_version_keeps_its_place_in_the_new_one() {
    let runtime = runtime_of(100);
    let function = sleeper(&runtime, |config| {
        config.instance.affinity = Some("room".into());
        config.instance.concurrency = 2;
        config.instance.instances = 2;
    })
    .await;
    let first = Arc::clone(&function.split().shares[0].0);
    let second = next_version(&runtime, &first, 2).await;
    let mut busy = Line::open_in(&function, "one").await;
    let mut waiting = Line::open_in(&function, "one").await;
    busy.text("500");
    function.replace(leads(Migration::Migrate, &[(&second, 100)]));
    waiting.text("queued behind the call of the last version");
    // Two rooms would fill the new version, and nothing would have them end.
    let _other = Line::open_in(&function, "two").await;
    let third = function.upgrade(into("three")).await;
    assert_eq!(busy.outcome().await, Outcome::Done);
    assert_eq!(waiting.outcome().await, Outcome::Done);
    assert_eq!(third.err(), Some(UpgradeError::Full), "it has none before");
}
