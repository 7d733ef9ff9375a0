//! Configurations of the host, as text and in files.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;
use tokio::process::Command;

/// A configuration in the making: a host on a free port of this machine.
#[derive(Debug, Clone)]
pub struct Configuration(String);

impl Configuration {
    /// A host; `server` are more lines of its table.
    #[must_use]
    pub fn new(server: &str) -> Self {
        Self(format!("[server]\nlisten = \"127.0.0.1:0\"\n{server}\n\n"))
    }

    /// One more function: its name, its component, its route, and more lines of
    /// its table, or of those below.
    #[must_use]
    pub fn function(mut self, name: &str, component: &Path, route: &str, more: &str) -> Self {
        // Writing to a string does not fail.
        let _ = write!(
            self.0,
            "[[function]]\nname = {name:?}\ncomponent = {component:?}\nroute = {route:?}\n{more}\n\n"
        );
        self
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Writes it to a file, and has a command that is the host's program serve it.
    /// The file must be there until the host listens. The host logs errors
    /// only: benchmarks have functions fail on purpose.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn serve(&self, mut host: Command) -> io::Result<(Command, NamedTempFile)> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        fs::write(file.path(), &self.0)?;
        host.args(["serve", "--log", "error", "--config"]);
        host.arg(file.path());
        Ok((host, file))
    }
}
