//! The host's side: starts the child, lets it trace this process, and logs its
//! output.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{SEPARATOR, STACKS_BYTES_MAX, TIMEOUT, WORD};
use crate::telemetry;

/// How long to wait for the child. It ends by itself after [`TIMEOUT`], unless
/// something has stopped it.
const ANSWER_TIMEOUT: Duration = TIMEOUT.saturating_add(Duration::from_secs(1));
/// How long a killed child may take to end, and how often to check. A child
/// that waits for a disk does not end, and is left behind.
const END_TIMEOUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(5));

/// Logs the stacks of all threads, each as one text.
pub(in crate::watchdog) fn tell() {
    match read() {
        Ok(stacks) => {
            for stack in stacks.split(SEPARATOR) {
                telemetry::tell(stack.trim_end());
            }
        }
        Err(error) => tracing::warn!(%error, "the stacks of the host's threads cannot be read"),
    }
}

fn read() -> io::Result<String> {
    if cfg!(not(target_os = "linux")) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut command = Command::new("/proc/self/exe");
    command
        .args([WORD, &std::process::id().to_string()])
        .env_clear()
        .current_dir("/");
    let answer = read_from(&mut command, ANSWER_TIMEOUT);
    // The system will give the child's number to another process one day.
    #[cfg(target_os = "linux")]
    allow(None);
    answer
}

/// The output of a child that may trace this process, within a time.
fn read_from(command: &mut Command, timeout: Duration) -> io::Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = talk(&mut child, timeout);
    // The child has closed its output and ends, or has written more than the
    // limit, or is stopped.
    child.kill()?;
    let (patience, step) = END_TIMEOUT;
    let killed = Instant::now();
    while child.try_wait()?.is_none() && killed.elapsed() < patience {
        thread::park_timeout(step);
    }
    answer
}

fn talk(child: &mut Child, timeout: Duration) -> io::Result<String> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the process that reads them has no pipes"));
    };
    #[cfg(target_os = "linux")]
    allow(Some(child));
    // Reading has no timeout, so it needs a thread of its own, which ends with
    // the child.
    let (answer, answered) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("stacks".into())
        .spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(STACKS_BYTES_MAX).read_to_end(&mut bytes);
            // If this is too late, the receiver has gone.
            let _ = answer.send(read.map(|_| bytes));
        })?;
    // The child waits for this byte.
    stdin.write_all(b"\n")?;
    let bytes = answered.recv_timeout(timeout).map_err(|_| {
        let text = format!("the process that reads them has not answered for {timeout:?}");
        io::Error::new(io::ErrorKind::TimedOut, text)
    })??;
    drop(stdin);
    if bytes.is_empty() {
        return Err(io::Error::other("the process that reads them says nothing"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lets a child trace this process, or with `None` only its ancestors, where
/// the system restricts tracing (Yama, scope 1).
#[cfg(target_os = "linux")]
fn allow(child: Option<&Child>) {
    use rustix::process::{PTracer, Pid, set_ptracer};

    let id = child.and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
    // The call fails where there is no such restriction.
    let _ = set_ptracer(id.map_or(PTracer::None, PTracer::ProcessID));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than anything here takes, on a busy machine, too.
    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_that_answers_is_heard_and_one_that_is_stopped_is_given_up() {
        let heard = read_from(&mut shell("read _; echo stacks"), LONG);
        assert_eq!(heard.unwrap(), "stacks\n");
        let silent = read_from(&mut shell("read _"), LONG).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::Other);
        let begun = Instant::now();
        let stopped = read_from(&mut shell("kill -STOP $$"), Duration::from_millis(200));
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < LONG);
    }
}
