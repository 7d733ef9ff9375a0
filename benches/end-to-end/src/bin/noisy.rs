//! How an echo fares while other functions compute without end, as a program;
//! see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::noisy::{self, Arguments};

// It waits for processes, and for connections that are hardly ever ready.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(noisy::run(&Arguments::parse()).await)
}
