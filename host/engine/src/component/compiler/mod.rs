//! Compiles components, in a process of its own where there is one.
//!
//! A component is a stranger's input, and a compiler can neither be bounded
//! from within nor stopped. So the host runs its own binary again with the word
//! [`WORD`]: that child limits its own address space and CPU time before it
//! reads anything, reads the component from standard input and writes what it
//! made of it to standard output. It is killed when it takes too long and when
//! nobody wants its answer any more, and it ends when the host does.
//!
//! Bounded by `compilations`, `compile_timeout`, `compile_memory_bytes` and
//! 24 bytes of an answer for each of the component.

mod child;
mod parent;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use child::run;
pub(crate) use parent::{compile, load};

use crate::component::engines::EngineKind;
use crate::contract::handlers::CallStyle;

/// The first word of the command line of a child that compiles. Not for
/// people, so it is in no help.
pub const WORD: &str = "__compile";

/// Who compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// A thread of this process: for programs that have no such child, and
    /// only for components that they trust. Nothing but `compile_timeout`
    /// bounds what it takes, and that does not stop it.
    InProcess,
    /// A child that runs this program with the word [`WORD`].
    Child(PathBuf),
}

/// What a child is told beside the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) kind: EngineKind,
    pub(crate) source_lines: bool,
    /// Its address space.
    pub(crate) memory_bytes: usize,
    /// How long it may take; its CPU time is bounded by the same on each of
    /// its threads.
    pub(crate) timeout: Duration,
}

/// Threads of a child: Cranelift takes a function on each. More shorten little,
/// leave the host less, and each has a stack and a heap in the address space.
const THREADS_MAX: usize = 4;

/// What the compiled form of a component of this many bytes may have. Cranelift
/// makes three to eight bytes of one, and an answer past this could only be
/// meant to take the host's memory.
pub(crate) fn compiled_bytes_max(component: usize) -> usize {
    component.saturating_mul(24).saturating_add(4 * 1024 * 1024)
}

impl Compiler {
    /// A child that runs the program of this process, also after its file was
    /// replaced: what another release compiles would be of no use.
    pub fn this_program() -> std::io::Result<Self> {
        if cfg!(target_os = "linux") {
            return Ok(Self::Child("/proc/self/exe".into()));
        }
        std::env::current_exe().map(Self::Child)
    }
}

impl Task {
    /// As words of a command line, after [`WORD`].
    fn words(&self) -> [String; 6] {
        let style = match self.kind.style {
            CallStyle::Plain => "plain",
            CallStyle::Async => "async",
        };
        [
            WORD.into(),
            style.into(),
            self.kind.metered.to_string(),
            self.source_lines.to_string(),
            self.memory_bytes.to_string(),
            self.timeout.as_millis().to_string(),
        ]
    }

    /// Reads the words after [`WORD`].
    fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let words: Option<Vec<String>> = words
            .into_iter()
            .map(|word| word.into_string().ok())
            .collect();
        let words = words?;
        let [style, metered, source_lines, memory_bytes, milliseconds] = words.as_slice() else {
            return None;
        };
        let style = match style.as_str() {
            "plain" => CallStyle::Plain,
            "async" => CallStyle::Async,
            _ => return None,
        };
        Some(Self {
            kind: EngineKind {
                style,
                metered: metered.parse().ok()?,
            },
            source_lines: source_lines.parse().ok()?,
            memory_bytes: memory_bytes.parse().ok()?,
            timeout: Duration::from_millis(milliseconds.parse().ok()?),
        })
    }
}

/// How many threads a child has.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.min(THREADS_MAX)
}

/// What an answer begins with.
mod tag {
    /// The compiled component follows, after its digest.
    pub(super) const COMPILED: u8 = b'C';
    /// Why the compiler refuses it follows, after its digest.
    pub(super) const REFUSED: u8 = b'R';
    /// There was not enough address space.
    pub(super) const MEMORY: u8 = b'M';
}

/// Bytes of an answer's head: tag, length, digest.
const HEAD_BYTES: usize = 1 + 8 + 32;
/// What a refusal may say, in bytes: wasmtime's errors are a few lines, but
/// repeat names of the component.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_was_written() {
        for (style, metered) in [(CallStyle::Plain, true), (CallStyle::Async, false)] {
            let task = Task {
                kind: EngineKind { style, metered },
                source_lines: !metered,
                memory_bytes: 1 << 40,
                timeout: Duration::from_millis(1_500),
            };
            let words = task.words().into_iter().map(OsString::from);
            assert_eq!(Task::parse(words.skip(1)), Some(task));
        }
        let none: [OsString; 0] = [];
        assert_eq!(Task::parse(none), None);
        let words = ["plain", "true", "true", "1", "soon"].map(OsString::from);
        assert_eq!(Task::parse(words), None);
    }
}
