//! Runs functions: the only package that knows wasmtime.
//!
//! A [`runtime::Runtime`] compiles components; a [`function::Function`] owns
//! the instances of one and is the front door: it decides about upgrades and
//! gives each connection a [`function::Binding`], through which events go in.
//! What a function sends comes out in the connection's outbox.
//!
//! No wasmtime type is public.

mod bindings;
mod budget;
mod cache;
mod capacity;
mod component;
mod concurrent;
pub mod function;
#[cfg(test)]
mod function_tests;
mod host;
mod instance;
mod log;
mod mailbox;
mod plain;
mod pool;
pub mod runtime;
mod store;
mod ticker;
mod turns;

pub use component::{Contract, HandlerKind, LoadError, inspect};
