//! TCP connections to hosts with several addresses, some of which may be dead.
//!
//! IPv6 and IPv4 race (RFC 8305): the second one begins 300 ms after the first.
//! Addresses of one sort are tried one after the other, each for its part of the
//! time. Bounded by that time, and by what the resolver returns.

use std::error::Error;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::ServiceExt;

/// Connects to the host of an absolute URL within a time, at its port or at the
/// default of its scheme, `http` or `https`.
///
/// # Errors
///
/// The reason why no address takes the connection, for people.
pub(crate) async fn connect(url: &Uri, time: Duration) -> Result<TcpStream, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    // Without it, the addresses of one sort share no time: one that is dead would
    // take as long as the system tries.
    connector.set_connect_timeout(Some(time));
    let connecting = tokio::time::timeout(time, connector.oneshot(url.clone()));
    match connecting.await {
        Ok(Ok(stream)) => Ok(TokioIo::into_inner(stream)),
        Ok(Err(error)) => Err(explained(&error)),
        Err(_) => Err(format!("no connection within {} s", time.as_secs_f32())),
    }
}

/// An error with its causes: the last one is the system's.
fn explained(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
