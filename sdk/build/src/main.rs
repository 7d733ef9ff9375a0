//! `openline-build setup`: ensures that there is a compiler for WebAssembly
//! before anything that needs one is built.
//!
//! Prints the compiler on standard output, and announces slow steps on standard
//! error. Asks nothing, and always ends: see
//! [`openline_build::Toolchain::find_or_install`].

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use openline_build::{TARGET_VARIABLE, Toolchain};
use openline_hint::Hint;

/// The exit status for an invalid command line, as in `sysexits.h`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (text, status) = match arguments[..] {
        ["setup"] => return setup(),
        ["help" | "--help" | "-h"] => (usage(), ExitCode::SUCCESS),
        _ => (usage(), ExitCode::from(USAGE)),
    };
    // There is nothing else to do if the pipe is closed.
    let _ = write!(io::stderr(), "{text}");
    status
}

fn setup() -> ExitCode {
    let mut report = |progress: &str| {
        let _ = writeln!(io::stderr(), "{progress} ...");
    };
    match Toolchain::find_or_install(Path::new("."), &mut report) {
        Ok(toolchain) => match writeln!(io::stdout(), "{toolchain}") {
            // A reader that has closed the pipe has seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(
                    io::stderr(),
                    "error: cannot write to standard output: {error}"
                );
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        },
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", error.explained());
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    format!(
        "usage: openline-build setup\n\n\
         Finds a Rust toolchain that compiles to WebAssembly, or installs one.\n\
         The environment variable {TARGET_VARIABLE} forces a target:\n\
         wasm32-wasip2 or wasm32-wasip1.\n"
    )
}
