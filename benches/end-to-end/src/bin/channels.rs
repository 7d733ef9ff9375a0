//! Measures what channels cost, as a program; see the library for the details.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::channels::{self, Arguments};
use openline_end_to_end::ended;

// The clients' processes have one CPU.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(Box::pin(channels::run(&Arguments::parse())).await)
}
