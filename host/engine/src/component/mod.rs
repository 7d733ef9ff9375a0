//! Turns the bytes of a component into code for instances.
//!
//! Nothing here knows what the host does for functions: the data of the stores
//! is a type parameter, and the caller passes the imports of a component.

mod cache;
pub mod compiler;
pub(crate) mod engines;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod inspect;
#[cfg(test)]
mod inspect_tests;
pub(crate) mod load;
pub(crate) mod loaded;
pub(crate) mod places;
mod pulse;
pub(crate) mod ticker;
pub(crate) mod words;
