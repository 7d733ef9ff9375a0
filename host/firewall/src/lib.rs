//! The firewall: which requests may pass, before a function is asked.
//!
//! Rules in order, each with criteria and behaviours, in the terms of Azion's
//! firewall. [`rules::Rules`] are read from a configuration, and become
//! [`rules::Firewalls`] with their lists; an [`evaluation::Evaluation`] decides
//! about a [`request::Request`]. Nothing here does I/O or knows a clock: files
//! and the time are passed in. Bounded by the numbers in [`limits`].

pub mod azion;
mod behavior;
mod config;
mod criteria;
pub mod describe;
pub mod evaluation;
mod limiter;
pub mod limits;
pub mod list;
mod operator;
mod pattern;
pub mod request;
pub mod rules;
pub mod trace;
mod variable;

pub use behavior::Answer;
pub use config::Others;
pub use criteria::Criterion;
