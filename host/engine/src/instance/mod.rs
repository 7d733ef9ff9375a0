//! One instance: its store and its imports, its mailbox, how its calls are made
//! and bounded, and how it ends.
//!
//! An instance knows its version only as a [`program::Program`], which has its
//! code and terms, and as a [`seat::Keeper`], which forgets it at its end.

mod allowance;
mod asker;
mod budget;
mod concurrent;
mod end;
mod enforce;
mod environment;
pub(crate) mod exchange;
pub(crate) mod faults;
mod http;
mod idleness;
pub(crate) mod imports;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod mailbox;
pub(crate) mod outbound;
mod plain;
pub(crate) mod poller;
pub(crate) mod program;
mod run;
pub(crate) mod seat;
mod served;
pub(crate) mod store;
mod streaming;
pub(crate) mod task;
#[cfg(test)]
mod tests;
pub(crate) mod trial;
pub(crate) mod turns;
mod watch;
