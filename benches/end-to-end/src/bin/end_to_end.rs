//! The end-to-end benchmark as a program; see the library for what it does.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::arguments::Arguments;
use openline_end_to_end::measure;

// It only waits for the processes it starts: one thread is enough.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match measure::run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
