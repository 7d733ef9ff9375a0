//! Programs of others that tests drive: each line of their input is a command,
//! and each line of their output says what has happened.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{program, within};

/// Where Debian has packages of Node.
const NODE_PATH: &str = "/usr/share/nodejs";

/// A program in a process of its own, which ends when this is dropped.
pub struct Driven {
    _process: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Driven {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command
            .env("no_proxy", "*")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            stdin: process.stdin.take().unwrap(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    pub async fn say(&mut self, line: impl Display) {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    /// Reads on to a line in which `find` finds what is waited for.
    pub async fn until<T>(&mut self, what: &str, mut find: impl FnMut(String) -> Option<T>) -> T {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended without {what}"));
                if let Some(found) = find(line) {
                    return found;
                }
            }
        };
        within(what, reading).await
    }
}

/// Node, which finds the packages that tests have from npm, and those of Debian.
pub fn node() -> Command {
    let packages = fetched("npm/node_modules", "scripts/npm.sh");
    let node = program(&["node", "nodejs"]).expect("`scripts/edge.sh` installs Node");
    let mut command = Command::new(node);
    command.env("NODE_PATH", format!("{}:{NODE_PATH}", packages.display()));
    command
}

/// What a script has put into the target folder.
pub fn fetched(path: &str, script: &str) -> PathBuf {
    let found = openline_kit::programs::target().unwrap().join(path);
    assert!(
        found.exists(),
        "a test needs {}: `{script}` installs it; OPENLINE_SKIP_EDGE=1 leaves the test out",
        found.display()
    );
    found
}
