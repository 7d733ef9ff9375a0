//! The answer to HTTP without TLS where the host speaks TLS.
//!
//! The request is not parsed. Bounded: what the peer goes on to send is discarded,
//! up to [`DISCARDED_BYTES_MAX`] and for [`DISCARDED_TIME`], because a socket that
//! is closed with unread bytes takes the answer with it.

use std::io;
use std::time::Duration;

use http_body_util::BodyExt;
use openline_admission::peer::Peer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::rescue::Refusal;

/// As much as a head may have.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024;
/// A round trip of a slow network.
const DISCARDED_TIME: Duration = Duration::from_secs(1);

/// Refuses a request that has begun.
pub(super) async fn refuse(
    stream: &mut TcpStream,
    peer: &Peer,
    gateway: &Gateway,
) -> io::Result<()> {
    let refusal = Refusal::PlainHttp;
    let id = gateway.request_id();
    gateway.tally().refuse(refusal.label());
    tracing::debug!(request = %id, %peer, refusal = refusal.label(), "refused");
    let (parts, body) = refusal.answer_to(id).into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let status = parts.status;
    let mut answer = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &parts.headers {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    let rest = format!(
        "openline-request-id: {id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    answer.extend_from_slice(rest.as_bytes());
    answer.extend_from_slice(&body);
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(DISCARDED_BYTES_MAX);
    let mut sink = tokio::io::sink();
    let discarding = tokio::io::copy(&mut rest, &mut sink);
    // However it ends: the answer has been given.
    let _ = tokio::time::timeout(DISCARDED_TIME, discarding).await;
    Ok(())
}
