//! Tests of the firewall through its public interface: texts of
//! configurations, requests, decisions.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should fail"
)]

mod azion;
mod bad_input;
mod behaviors;
mod bounds;
mod describe;
mod lists;
mod operators;
mod plain_rules;
mod property;
mod support;
mod work;
