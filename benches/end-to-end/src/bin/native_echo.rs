//! The native echo server as a program. Its first line on stdout says where it
//! listens, in the words of `openline run`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use openline_end_to_end::native::{self, EchoOptions};
use tokio::net::TcpListener;

// The allocator of the host, so that allocators are not what is compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Echoes WebSocket messages
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 for any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Threads that serve connections [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Read buffer of a connection, in bytes
    // 4 KiB holds what a typical wake brings. The end-to-end benchmark sets it
    // to what the host takes.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 10)]
    read_buffer: usize,

    /// Flush after each message instead of after all that were there
    #[arg(long)]
    flush_each: bool,

    /// A certificate for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,

    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    native::raise_open_files().context("cannot raise the limit of open files")?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = arguments.threads {
        runtime.worker_threads(usize::from(threads));
    }
    runtime.enable_all().build()?.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    let tls = arguments.certificate.zip(arguments.key);
    let tls = tls.map(|(certificate, key)| native::acceptor(&certificate, &key));
    let tls = tls.transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    writeln!(std::io::stdout(), "listening on {scheme}://{address}")?;
    let options = EchoOptions {
        read_buffer_bytes: arguments.read_buffer,
        flush_each: arguments.flush_each,
    };
    // On a worker, not on the thread that waits here.
    match tokio::spawn(native::serve(listener, options, tls)).await {
        Ok(never) => match never {},
        Err(error) => Err(error.into()),
    }
}
