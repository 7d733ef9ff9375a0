//! Runs functions: the only package that knows wasmtime.
//!
//! A [`runtime::Runtime`] compiles components, in a child process if its
//! [`compiler::Compiler`] has one; a [`version::Version`] owns the instances of
//! one. An [`alias::Alias`] is the front door: it leads to one version or to
//! several, decides about upgrades, and gives each connection a
//! [`binding::Binding`], through which events go in. Messages of a function
//! come out in the connection's outbox. [`commons::Commons`] is what all
//! versions of a function share.
//!
//! No wasmtime type is public.

mod alarms;
mod component;
mod contract;
#[cfg(test)]
#[path = "../../../tests/kit/src/deadlocks.rs"]
mod deadlocks;
mod front;
mod instance;
mod pool;
mod sync;

pub use component::compiler;
pub use component::error::LoadError;
pub use component::inspect::{Contract, inspect};
pub use contract::handlers::{CallStyle, Handler, Handlers};
pub use front::{alias, binding, request, runtime};
pub use instance::exchange::{RequestBody, RequestBodyError, ResponseBody, Unfinished};
pub use pool::{commons, listening, version};
