//! How fast a host starts, and what warm instances cost, as a program; see the
//! library for what it does.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use openline_end_to_end::starts::{self, Arguments};

// It waits for one thing at a time, and a runtime of its own would only wake
// threads.
fn main() -> ExitCode {
    match starts::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
