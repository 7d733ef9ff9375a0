//! From the bytes of a component to something that instances can be made of.

pub(crate) mod cache;
pub mod compiler;
pub(crate) mod engines;
pub(crate) mod inspect;
#[cfg(test)]
mod inspect_tests;
pub(crate) mod loaded;
pub(crate) mod ticker;
pub(crate) mod words;
