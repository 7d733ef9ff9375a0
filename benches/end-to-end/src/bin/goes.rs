//! What it costs that code comes and goes under open connections, as a
//! program; see the library for what it does.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::goes::{self, Arguments};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match goes::run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
