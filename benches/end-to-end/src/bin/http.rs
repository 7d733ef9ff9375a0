//! Measures what an answer of HTTP costs, as a program; see the library for the
//! details.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::http::{self, Arguments};

// The clients' processes have one CPU.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(Box::pin(http::run(&Arguments::parse())).await)
}
