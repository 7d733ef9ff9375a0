//! The native server of HTTP, or of gRPC, as a program. Its first line on stdout says
//! where it listens, in the words of `openline run`.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use openline_end_to_end::native::{self, grpc, http};
use tokio::net::TcpListener;

// The allocator of the host, so that allocators are not what is compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers requests of HTTP, or calls of gRPC
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 for any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Serve gRPC by tonic
    #[arg(long)]
    grpc: bool,
}

// As many threads as there are cores.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    native::raise_open_files().context("cannot raise the limit of open files")?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    // On a worker, not on the thread that waits here.
    tokio::spawn(async move {
        if arguments.grpc {
            return grpc::serve(listener).await;
        }
        match http::serve(listener).await {}
    })
    .await?
}
