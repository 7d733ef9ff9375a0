//! One instance, without wasmtime and the guest in it.

#[path = "../../../engine/src/instance/asker.rs"]
pub(crate) mod asker;
#[path = "../../../engine/src/instance/end.rs"]
pub(crate) mod end;
#[path = "../../../engine/src/instance/exchange/mod.rs"]
#[expect(unreachable_pub, reason = "the engine shows it to the gateway")]
pub(crate) mod exchange;
#[path = "../../../engine/src/instance/faults.rs"]
pub(crate) mod faults;
#[path = "../../../engine/src/instance/idleness.rs"]
pub(crate) mod idleness;
#[path = "../../../engine/src/instance/live.rs"]
pub(crate) mod live;
#[path = "../../../engine/src/instance/mailbox.rs"]
pub(crate) mod mailbox;
#[path = "../../../engine/src/instance/poller.rs"]
pub(crate) mod poller;
#[path = "../../../engine/src/instance/seat.rs"]
pub(crate) mod seat;
#[path = "../../../engine/src/instance/streaming.rs"]
pub(crate) mod streaming;
#[path = "../../../engine/src/instance/task.rs"]
pub(crate) mod task;

pub(crate) use crate::stand_ins::{concurrent, plain, program, run};
