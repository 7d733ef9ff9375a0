//! The way in: loading versions, leading connections to them, and giving them
//! events.

pub mod alias;
pub mod binding;
pub mod runtime;
#[cfg(test)]
pub(crate) mod tests;
