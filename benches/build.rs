//! Tells the counts which compiler makes them: instructions that another one
//! has made are not compared.

use std::io::{self, Write as _};
use std::process::Command;

fn main() -> io::Result<()> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stdout);
    // `rustc 1.95.0 (59807616e 2026-04-14)`
    let version = version.split(' ').nth(1).unwrap_or("unknown");
    let mut instructions = io::stdout();
    writeln!(instructions, "cargo:rustc-env=COUNTS_RUSTC={version}")?;
    writeln!(instructions, "cargo:rerun-if-changed=build.rs")
}
