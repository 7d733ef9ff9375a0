//! Decisions about a request before a function is asked: where it leads, what
//! it may ask for, and how many connections its peer may have.
//!
//! [`normalise`] gives a request one spelling. [`services`] holds the functions
//! by their triggers with their counts, and [`admit`] uses it to decide about a
//! [`peer::Peer`]. [`firewall`] is the step that runs the operator's rules, with the
//! functions that some of them ask ([`inspectors`]), [`cors`]
//! tells browsers who may read an answer, [`authenticate`] verifies credentials, and
//! [`keys`] has the API keys of callers from outside, and [`sessions`] the
//! identities of open connections. Nothing else here
//! runs guest code, and nothing knows a socket. Memory is
//! bounded by the triggers of functions and by the entries of a [`ledger`].

pub mod admit;
pub mod authenticate;
mod clock;
pub mod cors;
pub mod firewall;
pub mod hops;
pub mod inspectors;
pub mod keys;
pub mod ledger;
pub mod normalise;
pub mod peer;
pub mod refusal;
pub mod services;
pub mod sessions;
