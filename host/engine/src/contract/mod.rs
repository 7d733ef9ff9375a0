//! The contract as the host's Rust code has it.

pub(crate) mod bindings;
