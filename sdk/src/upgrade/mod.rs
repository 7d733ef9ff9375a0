//! How a connection begins: the request that asks for one and the two answers
//! to it. All of this is data; nothing here asks the host.

mod answer;
mod request;

pub use answer::{Acceptance, Rejection};
pub use request::{PeerCertificate, TlsFacts, UpgradeRequest};
