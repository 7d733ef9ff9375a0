//! The way into the engine: loads versions, leads connections to them, and
//! gives them events.

mod accepted;
pub mod alias;
pub mod binding;
mod inspect;
mod options;
pub mod request;
mod ring;
pub mod runtime;
mod split;
#[cfg(test)]
mod tests;
