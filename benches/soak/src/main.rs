//! The soak benchmark: thousands of connections whose peers and functions
//! behave at random, mostly badly, for minutes; then a search for what the host
//! has kept of them. See `soak` for the order of things, `table` for what the
//! peers do, `check` for what must be so at the end.
//!
//! Bounded by its arguments: connections, connections begun in a second,
//! minutes; every wait has an end.

mod arguments;
mod check;
mod configuration;
mod drain;
mod peer;
mod permits;
mod progress;
mod report;
mod round;
mod settle;
mod soak;
mod state;
mod table;
mod tally;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(soak::run(&Arguments::parse())).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where stderr is gone, there is nowhere to report it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
