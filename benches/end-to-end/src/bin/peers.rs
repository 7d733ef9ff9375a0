//! The host beside JavaScript runtimes and a process for each connection, as a
//! program; see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::peers::{self, Arguments};

// It waits for the processes it starts; as their client it is one thread on
// purpose.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(peers::run(&Arguments::parse()).await)
}
