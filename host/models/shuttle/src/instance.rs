//! One instance, without wasmtime and the guest in it.

#[path = "../../../engine/src/instance/live.rs"]
pub(crate) mod live;
#[path = "../../../engine/src/instance/mailbox.rs"]
pub(crate) mod mailbox;
#[path = "../../../engine/src/instance/poller.rs"]
pub(crate) mod poller;

pub(crate) use crate::stand_ins::{concurrent, plain, store};
