//! From the bytes of a component to code that instances can be made of.
//!
//! Nothing here knows what the host does for functions: what the stores of
//! instances hold is a type parameter, and who loads a component hands in what
//! it may import.

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
pub(crate) mod ticker;
pub(crate) mod words;
