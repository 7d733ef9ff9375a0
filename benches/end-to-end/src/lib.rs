//! The end-to-end benchmarks: the host as a program of its own, beside a native
//! echo server and the servers of others, over real connections.
//!
//! Every measurement has a fresh server process and a fresh load process. A
//! round measures every setting on every server; ratios are taken within a
//! round, so that a change of the machine's mood between rounds cancels out.
//! `edge` measures TLS and HTTP/2, `peers` compares servers, `noisy` measures how the echo fares while other
//! functions compute, `admission` what handshakes cost that are refused, `channels` what is shared,
//! `http` what answers of plain HTTP cost,
//! `idle` what connections cost on which nothing happens,
//! `goes` what it costs that code comes and goes, `starts` how soon a host is
//! there.
//!
//! Nothing here links wasmtime: the host is a program like any other.

pub mod admission;
pub mod channels;
mod criterion;
pub mod edge;
pub mod goes;
pub mod http;
pub mod idle;
mod load;
pub mod native;
pub mod noisy;
pub mod peers;
mod pinning;
pub mod starts;

use std::io::{self, Write};
use std::process::ExitCode;

/// How a program of these ends; an error is told on stderr.
#[must_use]
pub fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone, there is nowhere to report it.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
