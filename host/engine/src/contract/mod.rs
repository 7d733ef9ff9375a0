//! The contract as the host's Rust code has it: what a component may import and
//! what it exports, and conversions between its types and ours.

pub(crate) mod bindings;
pub(crate) mod convert;
pub(crate) mod exports;
pub(crate) mod handlers;
pub(crate) mod handles;
