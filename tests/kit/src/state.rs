//! A host's report on itself: `/.openline/state`, as any peer on its machine
//! may read it.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::exchange;

/// Asks a host for its state, on a TCP connection of its own.
///
/// # Errors
///
/// Where the connection fails, or the host does not say its state.
pub async fn state(address: SocketAddr) -> io::Result<Value> {
    let answer = exchange::ask(address, "GET", "/.openline/state", None).await?;
    if answer.status != 200 {
        let head = answer.head;
        return Err(io::Error::other(format!("not the host's state: {head}")));
    }
    Ok(serde_json::from_slice(&answer.body)?)
}
