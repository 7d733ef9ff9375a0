//! The codec from outside: what the RFCs show, what they forbid, any cuts, and
//! other implementations beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod bad_input;
mod compressed;
mod cuts;
mod negotiation;
mod oracle;
mod rfc;
mod streams;
mod tungstenite;
