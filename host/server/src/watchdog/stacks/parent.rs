//! The host's side: starts the child, lets it trace this process, and tells what
//! it says.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::{SEPARATOR, STACKS_BYTES_MAX, WORD};
use crate::telemetry;

/// Says the stacks of all threads, each as one text.
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
    let mut child = Command::new("/proc/self/exe")
        .args([WORD, &std::process::id().to_string()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = talk(&mut child);
    // It has closed its output and ends, or has said more than is told.
    child.kill()?;
    child.wait()?;
    // Its number will be that of another process one day.
    #[cfg(target_os = "linux")]
    allow(None);
    answer
}

fn talk(child: &mut Child) -> io::Result<String> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the process that reads them has no pipes"));
    };
    #[cfg(target_os = "linux")]
    allow(Some(child));
    // It waits for this.
    stdin.write_all(b"\n")?;
    let mut bytes = Vec::new();
    stdout.take(STACKS_BYTES_MAX).read_to_end(&mut bytes)?;
    drop(stdin);
    if bytes.is_empty() {
        return Err(io::Error::other("the process that reads them says nothing"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lets a process trace this one, or none but its ancestors, where the system is
/// strict about it (Yama, scope 1).
#[cfg(target_os = "linux")]
fn allow(child: Option<&Child>) {
    use rustix::process::{PTracer, Pid, set_ptracer};

    let id = child.and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
    // Refused where there is no such restriction.
    let _ = set_ptracer(id.map_or(PTracer::None, PTracer::ProcessID));
}
