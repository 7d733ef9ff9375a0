//! The host's side: starts the child, gives it a component, and reads its
//! answer or finds out why there is none.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{HEAD_BYTES, REFUSAL_BYTES_MAX, Task, compiled_bytes_max, tag, threads};
use crate::component::error::LoadError;

/// How much is kept of the error output of a child that fails.
const WORDS_BYTES_MAX: u64 = 4 * 1024;
/// How much of it is reported.
const WORDS_TOLD_MAX: usize = 300;

/// Compiles a component in a child. Dropping the future kills the child.
pub(crate) async fn compile(
    program: &Path,
    task: &Task,
    component: Bytes,
) -> Result<Vec<u8>, LoadError> {
    let command = command(program, task);
    // Starting a program waits for the disk.
    let started = tokio::task::spawn_blocking(move || start(command)).await;
    let started = started.map_err(|panic| LoadError::Host(panic.to_string()))?;
    let mut child = started.map_err(|error| {
        LoadError::Host(format!("the compiler's process does not start: {error}"))
    })?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(LoadError::Host(
            "the compiler's process has no pipes".into(),
        ));
    };
    let most = compiled_bytes_max(component.len());
    let give = async {
        let length = u64::try_from(component.len()).unwrap_or(u64::MAX);
        // A child that has ended takes no input; its answer has the reason.
        let _ = stdin.write_all(&length.to_le_bytes()).await;
        let _ = stdin.write_all(&component).await;
        let _ = stdin.flush().await;
        Ok(())
    };
    let mut words = Vec::new();
    let mut stderr = stderr.take(WORDS_BYTES_MAX);
    let listen = stderr.read_to_end(&mut words);
    let talk = async { tokio::try_join!(give, read(stdout, most), listen) };
    let (_, answer, _) = talk
        .await
        .map_err(|error| LoadError::CompilerEnded(error.to_string()))?;
    let status = child.wait().await;
    // Closing it any earlier would have ended the child.
    drop(stdin);
    match answer {
        Some((tag::COMPILED, content)) => Ok(content),
        Some((tag::REFUSED, content)) => {
            Err(LoadError::Compile(String::from_utf8_lossy(&content).into()))
        }
        Some(_) => Err(LoadError::CompileMemory(task.memory_bytes)),
        None => Err(failed(status, &words, task)),
    }
}

/// Loads the code that a child has compiled.
pub(crate) fn load(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
    #[expect(
        unsafe_code,
        reason = "compiled code from a child; the argument is below"
    )]
    // SAFETY: `deserialize` needs bytes that `Engine::precompile_component`
    // made. The child is this very program and got them from that function, and
    // the digest shows that none is missing. Its input was untrusted, but so is
    // the input of any compiler: if a component could take over the compiler,
    // it could do the same in this process, with more rights. The engine checks
    // its version and settings by itself.
    let loaded = unsafe { Component::deserialize(engine, artifact) };
    loaded
}

fn command(program: &Path, task: &Task) -> Command {
    let mut command = Command::new(program);
    command
        .arg0("openline")
        .args(task.words())
        // The child gets neither the host's secrets nor variables that change
        // the compiler.
        .env_clear()
        .env("RAYON_NUM_THREADS", threads().to_string())
        // Otherwise the allocator would reserve half of the address space
        // before the child limits it.
        .env("MIMALLOC_ARENA_RESERVE", "0")
        .current_dir("/")
        // Signals from the host's terminal must not reach it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn start(mut command: Command) -> io::Result<Child> {
    command.spawn()
}

/// Reads a child's answer; `None` if it is incomplete.
async fn read(mut from: impl AsyncRead + Unpin, most: usize) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; HEAD_BYTES];
    match from.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (tag, rest) = (head[0], &head[1..]);
    let (length, digest) = rest.split_at(8);
    let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let most = match tag {
        tag::COMPILED => most,
        tag::REFUSED => REFUSAL_BYTES_MAX,
        tag::MEMORY => 0,
        _ => return Err(io::Error::other("it answers something else")),
    };
    if length > most {
        return Err(io::Error::other(format!(
            "its answer has {length} bytes, more than {most}"
        )));
    }
    let mut content = vec![0; length];
    match from.read_exact(&mut content).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    if Sha256::digest(&content).as_slice() != digest {
        return Err(io::Error::other("its answer is damaged"));
    }
    Ok(Some((tag, content)))
}

/// Why there is no answer, from the child's exit status and its error output.
fn failed(status: io::Result<ExitStatus>, words: &[u8], task: &Task) -> LoadError {
    let words = String::from_utf8_lossy(words);
    let status = match status {
        Ok(status) => status,
        Err(error) => return LoadError::Host(format!("the compiler's process is lost: {error}")),
    };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let signal = signal.and_then(rustix::process::Signal::from_named_raw);
    let lacks = [
        "memory allocation of",
        "Cannot allocate memory",
        "out of memory",
        "Resource temporarily unavailable",
    ];
    match signal {
        Some(rustix::process::Signal::XCPU) => LoadError::CompileTimeout(task.timeout),
        // The system had no memory left.
        Some(rustix::process::Signal::KILL) => LoadError::CompileMemory(task.memory_bytes),
        _ if lacks.iter().any(|sign| words.contains(sign)) => {
            LoadError::CompileMemory(task.memory_bytes)
        }
        _ => {
            let said: String = words.trim().chars().take(WORDS_TOLD_MAX).collect();
            LoadError::CompilerEnded(format!("{status}; it said {said:?}"))
        }
    }
}
