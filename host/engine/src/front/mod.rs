//! The way in: loading versions, leading connections to them, and giving them
//! events.

mod accepted;
pub mod alias;
pub mod binding;
mod options;
mod ring;
pub mod runtime;
mod split;
#[cfg(test)]
mod tests;
