//! The child's side: limits itself, reads a component, compiles it, writes the
//! answer.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit};
use sha2::{Digest, Sha256};

use super::{REFUSAL_BYTES_MAX, Task, tag, threads};
use crate::component::{engines, words};

/// The compiler's niceness, because the host's connections come first.
const NICENESS: i32 = 10;
/// The exit code for a wrong command line, as in BSD's sysexits.
const EXIT_USAGE: u8 = 64;
/// The stack of the thread that notices the end of the host.
const WATCH_STACK_BYTES: usize = 64 * 1024;

/// Compiles the component on standard input. The program calls this when its
/// command line begins with [`super::WORD`], and passes the words after it.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(task) = Task::parse(words) else {
        return ExitCode::from(EXIT_USAGE);
    };
    let done = limit(&task).and_then(|()| serve(&task));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host reads this; if it has gone, no reader is left.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Sets the limits, before anything of the component is read.
fn limit(task: &Task) -> io::Result<()> {
    // When the system has no memory left, it should end the compiler before the
    // host. Not every system has this file.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = rustix::process::nice(NICENESS);
    let set = |resource, soft: u64, hard: u64| {
        // A lower limit of the host itself stays.
        let most = rustix::process::getrlimit(resource).maximum;
        let hard = hard.min(most.unwrap_or(u64::MAX));
        let limit = Rlimit {
            current: Some(soft.min(hard)),
            maximum: Some(hard),
        };
        rustix::process::setrlimit(resource, limit)
    };
    let memory = u64::try_from(task.memory_bytes).unwrap_or(u64::MAX);
    let seconds = task.timeout.as_secs().saturating_add(1);
    let computed = seconds.saturating_mul(u64::try_from(threads()).unwrap_or(1));
    if cfg!(target_os = "linux") {
        // On other systems a program has more than that before it begins.
        set(Resource::As, memory, memory)?;
    }
    // The first signal already ends the process.
    set(Resource::Cpu, computed, computed.saturating_add(1))?;
    // The compiler needs to write no file, and no core dump.
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Core, 0, 0)?;
    Ok(())
}

fn serve(task: &Task) -> io::Result<()> {
    let component = read(io::stdin().lock())?;
    watch()?;
    let engine = engines::for_compiling(task.kind, task.source_lines);
    let compiled = engine.and_then(|engine| engine.precompile_component(&component));
    let mut out = io::stdout().lock();
    match compiled {
        Ok(artifact) => write(&mut out, tag::COMPILED, &artifact),
        Err(error) if engines::lacks_memory(&error) => write(&mut out, tag::MEMORY, b""),
        Err(error) => {
            let mut text = words::cause(&error);
            text.truncate(text.floor_char_boundary(REFUSAL_BYTES_MAX));
            write(&mut out, tag::REFUSED, text.as_bytes())
        }
    }
}

/// Reads the component's length, and then the component.
fn read(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut component = Vec::new();
    component
        .try_reserve_exact(length)
        .map_err(io::Error::other)?;
    component.resize(length, 0);
    from.read_exact(&mut component)?;
    Ok(component)
}

/// Ends this process when the host has ended: standard input stays open as long
/// as the host waits for the answer.
fn watch() -> io::Result<()> {
    let watching = thread::Builder::new().stack_size(WATCH_STACK_BYTES);
    watching.spawn(|| {
        let _ = io::stdin().lock().read(&mut [0]);
        #[expect(clippy::exit, reason = "the compiler cannot be asked to stop")]
        std::process::exit(1);
    })?;
    Ok(())
}

/// Writes an answer: its tag, length and digest, and then its content.
fn write(out: &mut impl Write, tag: u8, content: &[u8]) -> io::Result<()> {
    out.write_all(&[tag])?;
    out.write_all(
        &u64::try_from(content.len())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    )?;
    out.write_all(&Sha256::digest(content))?;
    out.write_all(content)?;
    out.flush()
}
