//! Whether every permit came back: as many connections as the host allows are
//! opened at once, and as many TCP connections without a request.

use std::sync::Arc;

use fastrand::Rng;
use tokio::task::JoinSet;

use crate::check::Check;
use crate::configuration::REQUESTS;
use crate::peer::{Client, NotOpened, Site};
use crate::state::State;

/// Handshakes that are under way at once: a fraction of `REQUESTS`.
const AT_ONCE: u32 = 64;

/// Opens `limit` connections, and one more that must be refused.
pub(crate) async fn connections(site: &Arc<Site>, limit: u32) -> Vec<Check> {
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let share = limit / AT_ONCE + u32::from(worker < limit % AT_ONCE);
        workers.spawn(open(Arc::clone(site), share));
    }
    let mut clients = Vec::new();
    while let Some(opened) = workers.join_next().await {
        clients.extend(opened.unwrap_or_default());
    }
    let opened = u64::try_from(clients.len()).unwrap_or(u64::MAX);
    let more = match connect(site).await {
        Err(NotOpened::Refused(status)) => format!("refused with {status}"),
        Err(NotOpened::Failed(what)) => what,
        Ok(_) => "accepted".to_owned(),
    };
    vec![
        Check::equal(
            "permits of connections: opened at once",
            u64::from(limit),
            opened,
        ),
        Check::same("and one more", "refused with 503", &more),
    ]
}

/// Opens `count` connections, one after the other, and returns the accepted
/// ones.
async fn open(site: Arc<Site>, count: u32) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.extend(connect(&site).await.ok());
    }
    clients
}

async fn connect(site: &Arc<Site>) -> Result<Client, NotOpened> {
    let socket = crate::peer::connect(site.host, &mut Rng::new()).await?;
    Client::upgrade(site, socket, "/echo").await
}

/// Takes all permits of requests but one, with which the host must still
/// answer. They come from many addresses: one alone has a share of them.
pub(crate) async fn requests(site: &Site) -> anyhow::Result<Check> {
    let mut random = Rng::new();
    let mut held = Vec::new();
    for _ in 1..REQUESTS {
        held.push(crate::peer::connect(site.host, &mut random).await?);
    }
    let state = State::ask(site.host).await?;
    Ok(Check::equal(
        "permits of requests: TCP connections at once",
        u64::from(REQUESTS),
        state.sockets,
    ))
}
