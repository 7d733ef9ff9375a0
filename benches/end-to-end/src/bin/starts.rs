//! How fast a host starts, and what warm instances cost, as a program; see the
//! library for what it does.

use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::ended;
use openline_end_to_end::starts::{self, Arguments};

// It waits for one thing at a time, and a runtime of its own would only wake
// threads.
fn main() -> ExitCode {
    ended(starts::run(&Arguments::parse()))
}
