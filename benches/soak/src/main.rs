//! The soak benchmark: thousands of connections whose peers and functions
//! behave at random, mostly badly, for minutes; then a search for what the host
//! has kept of them. See `soak` for the order of things, `table` for what the
//! peers do, `check` for what must be so at the end. `recovery` is another soak,
//! of peers that behave and a host that does not.
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
mod recovery;
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
    let arguments = Arguments::parse();
    let run = async {
        match arguments.recovery {
            true => recovery::run(&arguments).await,
            false => soak::run(&arguments).await,
        }
    };
    match Box::pin(run).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where stderr is gone, there is nowhere to report it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
