//! The words and rules of Openline, shared by every other package.
//!
//! Plain data and pure functions: no I/O, no asynchronous code, no clock. A
//! type that two packages exchange lives here; a type that only one package
//! uses does not.

pub mod affinity;
pub mod alias;
pub mod authentication;
pub mod auto_response;
pub mod call;
pub mod channel;
pub mod close;
pub mod component;
pub mod config;
pub mod deployment;
pub mod dialect;
pub mod digest;
pub mod environment;
pub mod escape;
pub mod event;
pub mod fault;
pub mod headers;
pub mod inspection;
pub mod key;
pub mod kind;
pub mod lifetime;
pub mod limits;
pub mod message;
pub mod name;
pub mod outbound;
pub mod path;
pub mod rate;
pub mod route;
pub mod table_error;
pub mod tls;
pub mod trigger;
pub mod units;
