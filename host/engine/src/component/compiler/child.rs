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

/// Beside what serves: the host's connections come first.
const NICENESS: i32 = 10;
/// A wrong command line, as in BSD's sysexits.
const EXIT_USAGE: u8 = 64;
/// What the thread that looks after the host needs.
const WATCH_STACK_BYTES: usize = 64 * 1024;

/// Compiles what comes by standard input; for the program that is called with
/// [`super::WORD`] and these words after it.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(task) = Task::parse(words) else {
        return ExitCode::from(EXIT_USAGE);
    };
    let done = limit(&task).and_then(|()| serve(&task));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host reads it; if it has gone, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Before anything is read of the component.
fn limit(task: &Task) -> io::Result<()> {
    // What the system ends first when it has no memory left: the compiler, not
    // the host. Not on every system.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = rustix::process::nice(NICENESS);
    let set = |resource, soft: u64, hard: u64| {
        // What the host itself may have less of stays as it is.
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
        // Elsewhere a program has more than that before it begins.
        set(Resource::As, memory, memory)?;
    }
    // The first signal already ends it.
    set(Resource::Cpu, computed, computed.saturating_add(1))?;
    // No file of the host's is any business of it, nor is a core dump.
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

/// A component, after its length.
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

/// Ends this process when the host has ended: standard input stays open for as
/// long as somebody waits for the answer.
fn watch() -> io::Result<()> {
    let watching = thread::Builder::new().stack_size(WATCH_STACK_BYTES);
    watching.spawn(|| {
        let _ = io::stdin().lock().read(&mut [0]);
        #[expect(clippy::exit, reason = "the compiler cannot be asked to stop")]
        std::process::exit(1);
    })?;
    Ok(())
}

/// An answer: what it is, how long, its digest, and then itself.
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
