//! Measures the memory of idle connections, as a program; see the library for
//! the details.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::idle::{self, Arguments};

// It waits for connections that are hardly ever ready.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(idle::run(&Arguments::parse()).await)
}
