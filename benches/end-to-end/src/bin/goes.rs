//! Measures the cost of code that comes and goes under open connections, as a
//! program; see the library for the details.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::goes::{self, Arguments};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ended(goes::run(&Arguments::parse()).await)
}
