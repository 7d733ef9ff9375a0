//! Runs an external program, for a limited time.
//!
//! Standard input is closed, so that a program that asks a question gets no
//! answer and cannot wait for one. All output is kept in memory: only programs
//! that print little are run here.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) output: String,
    /// Its standard error.
    pub(crate) error: String,
}

/// Why a program has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It is not installed, or may not be run.
    #[error("`{program}` could not be run: {source}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    /// It took too long and was ended.
    #[error("`{program}` was still running after {} s and was ended", limit.as_secs())]
    TimedOut { program: String, limit: Duration },
}

/// Runs a program to its end, or for `limit`, and collects its output.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Finished, RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| RunError::Start {
        program: program.clone(),
        source,
    };
    let mut child = command
        // Its last lines are for people.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let output = collect(child.stdout.take());
    let error = collect(child.stderr.take());
    // The pipes close when the program and all its children have ended, so
    // waiting for the pipes is waiting for the program; unlike `wait`, this can
    // be bounded. The second pipe gets what the first has left of the limit.
    let texts = output
        .recv_timeout(limit)
        .and_then(|output| Ok((output, error.recv_timeout(limit)?)));
    match texts {
        Ok((output, error)) => Ok(Finished {
            status: child.wait().map_err(failed)?,
            output,
            error,
        }),
        Err(_) => {
            // Either call may fail because the program has just ended by
            // itself.
            let _ = child.kill();
            let _ = child.wait();
            Err(RunError::TimedOut { program, limit })
        }
    }
}

/// Reads a pipe to its end on a thread of its own.
fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // The bytes before an error are still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // The receiver has gone if the time is up.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

// === impl Finished ===

impl Finished {
    /// The last lines of the program's output, for an error message.
    pub(crate) fn last_words(&self) -> String {
        const LINES: usize = 4; // Enough for a package manager's own summary.
        let lines: Vec<&str> = self
            .error
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_collected() {
        let finished = run(
            &mut shell("echo one; echo two >&2; exit 3"),
            Duration::from_secs(60),
        )
        .unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.output, "one\n");
        assert_eq!(finished.last_words(), "two");
    }

    #[test]
    fn a_program_that_asks_gets_no_answer() {
        let finished = run(
            &mut shell("read answer || echo none"),
            Duration::from_secs(60),
        );
        assert_eq!(finished.unwrap().output, "none\n");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let error = run(&mut shell("exec sleep 600"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = run(
            &mut Command::new("openline-no-such-program"),
            Duration::from_secs(60),
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("`openline-no-such-program`"),
            "{error}"
        );
    }
}
