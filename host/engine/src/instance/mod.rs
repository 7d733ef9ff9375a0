//! One instance: its store, its mailbox, how its calls are made and bounded,
//! and how it ends.

pub(crate) mod allowance;
pub(crate) mod budget;
pub(crate) mod calls;
pub(crate) mod concurrent;
pub(crate) mod imports;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod mailbox;
pub(crate) mod plain;
pub(crate) mod poller;
pub(crate) mod store;
pub(crate) mod turns;
pub(crate) mod watch;
