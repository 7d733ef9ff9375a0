//! The real binary, in a process of its own, for tests: commands that end and
//! hosts that serve. Waits are bounded, and panic.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::process::{self, Ready, Running};
use crate::programs::{kept, openline as program};
use crate::{PATIENCE, within};

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its output for programs.
    pub stdout: String,
    /// Its messages to people.
    pub stderr: String,
}

/// A host that serves in a process of its own; dropping it kills it.
#[derive(Debug)]
pub struct Serving {
    /// The process.
    pub process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    /// Where it listens.
    pub address: SocketAddr,
}

fn command(arguments: &[&str]) -> Command {
    prepared(Command::new(program()), arguments)
}

/// A command that runs the binary under limits of the shell, or with its output
/// elsewhere.
fn shelled(before: &str, after: &str, arguments: &[&str]) -> Command {
    let script = format!("{before}exec \"$0\" \"$@\"{after}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(program());
    prepared(command, arguments)
}

fn prepared(mut command: Command, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .env_remove("OPENLINE_LOG")
        .env_remove("OPENLINE_ADMIN")
        .env_remove("OPENLINE_ADMIN_CA")
        .env_remove("OPENLINE_ADMIN_TOKEN")
        .env_remove("OPENLINE_URL")
        .env_remove("OPENLINE_KEY")
        // Not the user's: compiled components are kept with the tests.
        .env("XDG_CACHE_HOME", kept())
        // Nor is the certificate of `openline run --tls`.
        .env("XDG_DATA_HOME", kept())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A command that has begun, with another standard output.
pub fn spawned(arguments: &[&str], stdout: Stdio) -> Child {
    command(arguments).stdout(stdout).spawn().unwrap()
}

/// Sends a signal by its name.
pub async fn signal(process: &Child, name: &str) {
    let id = process.id().expect("it is running");
    process::signal(id, name).unwrap();
}

/// Runs a command to its end.
pub async fn openline(arguments: &[&str]) -> Ended {
    openline_with(&[], arguments).await
}

/// The same, with variables of the environment.
pub async fn openline_with(variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    ended(command, arguments).await
}

/// The same in a folder.
pub async fn openline_in(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = command(arguments);
    command.current_dir(folder);
    ended(command, arguments).await
}

/// Runs what a person types into a shell, with `openline` on the path and a
/// host to ask. Code that all crates of tests share is compiled once.
pub async fn shell(folder: &Path, admin: &str, line: &str, patience: Duration) -> Ended {
    let program = program();
    let programs = program.parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = prepared(Command::new("sh"), &["-c", line]);
    command
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("OPENLINE_ADMIN", format!("http://{admin}"))
        // Where these tests were built is not where a new crate is.
        .env_remove("CARGO_TARGET_DIR");
    let output = tokio::time::timeout(patience, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("`{line}` takes too long"));
    Ended::from(output.unwrap())
}

/// The same, under limits of the shell.
pub async fn openline_under(limits: &str, arguments: &[&str]) -> Ended {
    ended(shelled(&format!("{limits}; "), "", arguments), arguments).await
}

/// The same in a process that may not make memory executable; none where the
/// system cannot forbid that.
#[cfg(target_os = "linux")]
pub async fn openline_that_may_not_execute(arguments: &[&str]) -> Option<Ended> {
    let mut command = command(arguments);
    #[expect(unsafe_code, reason = "the setting is of a process, and stays with it")]
    // SAFETY: between fork and exec it makes one system call, which touches no
    // memory.
    unsafe {
        command.pre_exec(|| {
            let flags = libc::PR_MDWE_REFUSE_EXEC_GAIN;
            match libc::prctl(libc::PR_SET_MDWE, flags, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    match within("a command to end", command.output()).await {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => None,
        output => Some(Ended::from(output.unwrap())),
    }
}

async fn ended(mut command: Command, arguments: &[&str]) -> Ended {
    let what = format!("`openline {}` to end", arguments.join(" "));
    Ended::from(within(&what, command.output()).await.unwrap())
}

impl From<std::process::Output> for Ended {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// It failed with a code and words, and printed no data.
    pub fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` in:\n{}", self.stderr);
        }
        // Colours are for terminals.
        assert!(!self.stderr.contains('\x1b'), "{}", self.stderr);
    }
}

impl Serving {
    /// Starts a host and waits until it listens.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::from_command(command(arguments), PATIENCE).await
    }

    /// The same, with a crate that is built first. Code that all crates of
    /// tests share is compiled once.
    pub async fn slowly(arguments: &[&str], patience: Duration) -> Self {
        Self::developing(command(arguments), patience).await
    }

    /// The same, and what is told to people goes to a file.
    pub async fn slowly_into(file: &Path, arguments: &[&str], patience: Duration) -> Self {
        let into = format!(" 2> '{}'", file.display());
        Self::developing(shelled("", &into, arguments), patience).await
    }

    async fn developing(mut command: Command, patience: Duration) -> Self {
        command.env("CARGO_TARGET_DIR", kept().join("development"));
        Self::from_command(command, patience).await
    }

    /// The same, under limits of the shell.
    pub async fn under(limits: &str, arguments: &[&str]) -> Self {
        let command = shelled(&format!("{limits}; "), "", arguments);
        Self::from_command(command, PATIENCE).await
    }

    async fn from_command(command: Command, patience: Duration) -> Self {
        let started = Running::start_until(Ready::Says, command, patience).await;
        let Running {
            child: mut process,
            stdout,
            address,
            ..
        } = started.unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        Self {
            process,
            stdout,
            stderr,
            address,
        }
    }

    /// Sends a signal by its name.
    pub async fn signal(&self, name: &str) {
        signal(&self.process, name).await;
    }

    /// The next line that is told to people.
    pub async fn line(&mut self) -> String {
        let line = within("a line", self.stderr.next_line()).await.unwrap();
        line.expect("the host has not ended")
    }

    /// The same; none when it has closed its standard error.
    pub async fn told_next(&mut self) -> Option<String> {
        within("a line", self.stderr.next_line()).await.unwrap()
    }

    /// Reads on to where the admin interface is said to be: its address.
    pub async fn admin(&mut self) -> String {
        loop {
            let line = self.line().await;
            if let Some(url) = line.strip_prefix("admin ") {
                let address = url.trim().strip_prefix("http://").unwrap();
                return address.trim_end_matches('/').to_owned();
            }
        }
    }

    /// Reads what is told to people up to a line with a word.
    pub async fn told(&mut self, word: &str) {
        self.told_within(word, PATIENCE).await;
    }

    /// The same about something that takes longer.
    pub async fn told_within(&mut self, word: &str, patience: Duration) {
        let telling = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                if line.contains(word) {
                    return;
                }
            }
            panic!("it ended without `{word}`");
        };
        let told = tokio::time::timeout(patience, telling).await;
        told.unwrap_or_else(|_| panic!("waited in vain for `{word}` to be told"));
    }

    /// All that is told to people from now to the end.
    pub async fn rest(&mut self) -> Vec<String> {
        let telling = async {
            let mut lines = Vec::new();
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                lines.push(line);
            }
            lines
        };
        within("the host to end", telling).await
    }

    /// Waits for the end; whatever is left on standard output comes with it.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = within("the host to end", self.process.wait()).await;
        let mut rest = String::new();
        let mut stdout = self.stdout.into_inner();
        within("its output", stdout.read_to_string(&mut rest))
            .await
            .unwrap();
        (status.unwrap(), rest)
    }
}
