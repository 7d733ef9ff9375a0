//! What idle connections cost in memory, as a program; see the library for
//! what it does.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::idle::{self, Arguments};

// It waits for connections that are hardly ever ready.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match idle::run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
