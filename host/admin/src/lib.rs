//! The admin interface: HTTP/1.1 on a listener of its own. Through it people
//! deploy functions, find connections, and read the configuration in force. Its
//! listener may be on a thread of its own ([`openline_gateway::front`]). The
//! host's [`Page`] is here, too; [`development`] has what the page adds under
//! `openline dev`.
//!
//! [`openapi`] describes the answers. It is made from the types of the answers,
//! and tests compare it with the server. `routes` has the routes; `access`
//! decides who may use them, before anything else looks at a request.
//! [`openline_control`] deploys.
//!
//! Bounded by [`CONNECTIONS_MAX`] TCP connections, all but [`PROBES_KEPT`] of
//! which may wait for the workers; by the host's `request_timeout` for heads
//! and for each piece of a body; and by a size for every body.
//! [`LARGE_BODIES_MAX`] components and as many messages are read at once, and
//! [`STREAMS_MAX`] channels are watched.

mod access;
mod aliases;
mod body;
mod call;
mod change;
mod channel_terms;
mod channel_views;
mod channels;
mod config;
mod connections;
mod context;
mod credentials;
pub mod development;
mod document;
mod functions;
mod host;
mod json;
mod keys;
mod page;
mod problem;
mod query;
mod responses;
mod router;
mod routes;
mod serve;
mod triggers;
mod watching;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use context::{Context, Description};
use openline_core::config::{ADMIN_TOKEN_CHARACTERS_MIN, Listener};
use openline_core::trigger::OwnPage;
use serve::Interface;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use openline_gateway::front::ReservedListener;
use openline_gateway::listen;

pub use document::{endpoints, openapi};
pub use page::Page;

/// TCP connections at once: enough for a few programs and a few people with a
/// browser, which opens six connections. There are fewer where the process may
/// open few files.
pub const CONNECTIONS_MAX: usize = 64;
/// TCP connections that requests to the workers may not hold. They are kept for
/// probes, which are answered even while the workers hang. With few TCP
/// connections, a quarter of them.
pub const PROBES_KEPT: usize = 8;
/// Components in memory at once, each up to the host's `component_bytes`, from
/// the first byte until they are deployed; and as many messages. Two, so that a
/// stalled one does not block the next.
pub const LARGE_BODIES_MAX: usize = 2;
/// Streams of channels at once: as many as a few people who watch open. Each
/// keeps its TCP connection. With few TCP connections, a quarter of them.
pub const STREAMS_MAX: usize = 16;

/// Settings of the interface.
#[derive(Clone, Debug)]
pub struct AdminOptions {
    /// The largest component that is read, in bytes.
    pub component_bytes: usize,
    /// Where the host's connections are accepted.
    pub listen: SocketAddr,
}

/// Why the interface does not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Other machines could reach it without a token.
    #[error("the admin interface at {0} can be reached by others and has no token")]
    Exposed(SocketAddr),
    /// The token is short enough to guess.
    #[error(
        "the token of the admin interface has fewer than {ADMIN_TOKEN_CHARACTERS_MIN} characters"
    )]
    Token,
    /// The address of the listener is not known.
    #[error("the listener of the admin interface: {0}")]
    Listener(#[from] io::Error),
}

/// The interface, prepared on its listener.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    context: Arc<Context>,
}

impl Admin {
    /// Prepares the interface on a listener. Fails if other machines could
    /// reach it without a token. Call it within the runtime that is to answer
    /// requests; [`serve`](Self::serve) may run elsewhere.
    pub fn new(
        listener: TcpListener,
        page: Arc<Page>,
        options: AdminOptions,
    ) -> Result<Self, AdminError> {
        let admin = listener.local_addr()?;
        let gateway = page.gateway();
        check(
            admin,
            gateway.services().table().config.admin_token.as_deref(),
        )?;
        // The page here opens connections on the other listener.
        gateway.services().take_page(OwnPage {
            is_loopback: admin.ip().to_canonical().is_loopback(),
            port: admin.port(),
        });
        let places = listen::places(CONNECTIONS_MAX);
        let context = Context {
            workers: Handle::current(),
            gateway: Arc::clone(gateway),
            description: Description {
                text: document::openapi,
                keys: document::keys,
            },
            deployer: page.deployer().clone(),
            page,
            component_bytes: options.component_bytes,
            listen: options.listen,
            admin,
            started: now(),
            working: Semaphore::new(places - PROBES_KEPT.min(places / 4)),
            components: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            messages: Semaphore::new(LARGE_BODIES_MAX),
            stream_budget: Default::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX.min(places / 4))),
        };
        Ok(Self {
            listener,
            context: Arc::new(context),
        })
    }

    /// Serves until the future is dropped; see [`ReservedListener::serve`].
    pub async fn serve(self) {
        let gateway = Arc::clone(&self.context.gateway);
        self.into_listener().serve(gateway).await;
    }

    /// The listener, for the thread that answers while the others hang.
    pub fn into_listener(self) -> ReservedListener {
        ReservedListener {
            name: "the admin interface",
            listener: self.listener,
            tls: Some(Listener::Admin),
            connections_max: listen::places(CONNECTIONS_MAX),
            reserved: Arc::new(Interface::new(self.context)),
        }
    }
}

/// Checks that an interface at an address is safe, with a token or without one.
fn check(address: SocketAddr, token: Option<&str>) -> Result<(), AdminError> {
    match token {
        None if !address.ip().to_canonical().is_loopback() => Err(AdminError::Exposed(address)),
        Some(token) if token.len() < ADMIN_TOKEN_CHARACTERS_MIN => Err(AdminError::Token),
        _ => Ok(()),
    }
}

/// Milliseconds since 1970, which people compare with their clocks.
#[expect(clippy::disallowed_methods, reason = "it is shown and not used")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_be_reached_by_others_needs_a_token() {
        let token = "t".repeat(ADMIN_TOKEN_CHARACTERS_MIN);
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let address = open.parse().unwrap();
            assert!(matches!(check(address, None), Err(AdminError::Exposed(_))));
            assert!(check(address, Some(&token)).is_ok(), "{open}");
        }
        for here in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            assert!(check(here.parse().unwrap(), None).is_ok(), "{here}");
        }
        let here = "127.0.0.1:1".parse().unwrap();
        assert!(matches!(
            check(here, Some(&token[1..])),
            Err(AdminError::Token)
        ));
    }
}
