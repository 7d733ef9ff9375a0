//! What an answer that a function holds costs in memory when it sleeps: an event
//! stream over HTTP/1.1, whose instance is gone.

use std::net::SocketAddr;

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_kit::configuration::Configuration;
use openline_kit::process::Running;
use openline_kit::programs::Programs;
use openline_load::process::resident_bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{WAVE, quiet};

/// What the host writes behind the first bytes of the function, as it is here.
const BEGUN: &[u8] = b"data: held\n\n";

/// Bytes for each of so many.
///
/// # Errors
///
/// Where the host does not start or does not become quiet.
pub(super) async fn measure(programs: &Programs, count: u32) -> anyhow::Result<f64> {
    // As with WebSockets: nothing but idleness.
    let idleness = "[function.instance]\nidle_timeout = \"1 s\"\n\
                    [function.limit]\nconnection_time = \"1 d\"\nping_interval = \"0 s\"";
    let (command, _file) = Configuration::new("")
        .function(
            "web",
            &programs.function("fault-web"),
            "/web/{*path}",
            idleness,
        )
        .serve(Command::new(&programs.host))?;
    let running = Running::start(command).await?;
    let address = running.address;
    // The first costs more than the others: it is not counted.
    let first = open(address).await?;
    quiet(address, 1, true).await?;
    let before = resident_bytes(running.process)?;
    let peers: Vec<TcpStream> = stream::iter(0..count)
        .map(|_| open(address))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    quiet(address, count + 1, true).await?;
    let after = resident_bytes(running.process)?;
    drop((first, peers));
    running.kill().await?;
    Ok((after as f64 - before as f64) / f64::from(count))
}

/// Asks for an answer that is held, and reads its beginning.
async fn open(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut peer = TcpStream::connect(address).await?;
    let request =
        format!("GET /web/hold/events?first=data:%20held HTTP/1.1\r\nhost: {address}\r\n\r\n");
    peer.write_all(request.as_bytes()).await?;
    let mut got = Vec::new();
    while !got.windows(BEGUN.len()).any(|part| part == BEGUN) {
        let count = peer.read_buf(&mut got).await?;
        ensure!(count > 0, "refused: {}", String::from_utf8_lossy(&got));
    }
    Ok(peer)
}
