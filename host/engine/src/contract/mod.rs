//! The contract in Rust: what a component may import and export, and
//! conversions between its types and the host's.

pub(crate) mod bindings;
pub(crate) mod convert;
pub(crate) mod exports;
pub(crate) mod handlers;
pub(crate) mod handles;
