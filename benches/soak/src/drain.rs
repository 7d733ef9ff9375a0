//! The end of the host: SIGTERM while connections are open.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use fastrand::Rng;
use openline_kit::process::{Running, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::Check;
use crate::configuration::DRAIN_TIMEOUT;
use crate::peer::{self, Client, Site};

/// Connections that are open when the host is asked to end, where it allows so
/// many.
const CONNECTIONS: u32 = 200;
/// How long is waited for a host that is too late, to say by how much.
const GRACE: Duration = Duration::from_secs(10);

/// Asks the host to end, and sees how it does. `limit` is its bound of connections.
pub(crate) async fn drain(
    site: &Arc<Site>,
    host: &mut Running,
    limit: u32,
) -> anyhow::Result<Vec<Check>> {
    let connections = u64::from(CONNECTIONS.min(limit));
    let mut clients = Vec::new();
    for _ in 0..connections {
        let socket = peer::connect(site.host, &mut Rng::new()).await;
        if let Ok(socket) = socket {
            clients.extend(Client::upgrade(site, socket, "/echo").await.ok());
        }
    }
    let begun = Instant::now();
    signal(host.process, "TERM").context("the host had ended before it was asked to")?;
    let mut endings = JoinSet::new();
    for mut client in clients {
        endings.spawn(async move { client.expect_end(&[1001]).await.is_ok() });
    }
    let status = host.ended(DRAIN_TIMEOUT + GRACE).await?;
    let took = begun.elapsed();
    let mut closed = 0;
    while let Some(ending) = endings.join_next().await {
        closed += u64::from(ending.unwrap_or(false));
    }
    let status = match status {
        Some(status) => status.to_string(),
        None => "it has not ended".to_owned(),
    };
    Ok(vec![
        Check::equal("drain: connections closed with 1001", connections, closed),
        Check::same("drain: the host ends", "exit status: 0", &status),
        Check::at_most(
            "drain: milliseconds until then",
            milliseconds(DRAIN_TIMEOUT),
            milliseconds(took),
        ),
    ])
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
