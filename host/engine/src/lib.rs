//! Runs functions: the only package that knows wasmtime.
//!
//! A [`runtime::Runtime`] compiles components, in a process of their own where
//! there is a [`compiler::Compiler`] for it; a [`version::Version`] owns the
//! instances of one. An [`alias::Alias`] is the front door: it leads to one
//! version or to several, decides about upgrades and gives each connection a
//! [`binding::Binding`], through which events go in. What a function sends
//! comes out in the connection's outbox. [`commons::Commons`] is what all
//! versions of a function share.
//!
//! No wasmtime type is public.

mod alarms;
pub mod alias;
mod allowance;
mod backoff;
pub mod binding;
mod bindings;
mod budget;
mod cache;
mod calls;
mod capacity;
pub mod commons;
pub mod compiler;
mod component;
mod concurrent;
#[cfg(test)]
#[path = "../../../tests/harness/deadlocks.rs"]
mod deadlocks;
mod driver;
mod engines;
mod host;
mod inspect;
#[cfg(test)]
mod inspect_tests;
mod instance;
mod log;
mod mailbox;
mod plain;
mod pool;
#[cfg(test)]
mod pool_tests;
pub mod runtime;
mod store;
mod sync;
mod ticker;
mod turns;
pub mod version;
#[cfg(test)]
mod version_tests;
mod watch;
mod words;

pub use component::LoadError;
pub use inspect::{Contract, HandlerKind, inspect};
