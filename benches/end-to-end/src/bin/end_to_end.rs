//! The host beside native servers alone, with the medians of criterion: the
//! comparison of `peers`, with other defaults.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::peers::{self, Arguments};

// It waits for the processes it starts; as their client it is one thread on
// purpose.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(peers::run(&Arguments::parse().beside_native()).await)
}
