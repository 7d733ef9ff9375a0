//! Compiles components, in a child process where there is one.
//!
//! A component is untrusted input, and a compiler can neither be bounded from
//! within nor stopped. So the host runs its own binary again with the word
//! [`WORD`]: that child limits its own address space and CPU time before it
//! reads anything, reads the component from standard input, and writes the
//! result to standard output. It is killed when it takes too long or no caller
//! still waits for its answer, and it ends when the host does.
//!
//! Bounded by `compilations`, `compile_timeout`, `compile_memory_bytes`, and 24
//! bytes of answer for each byte of the component.

mod child;
mod parent;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use child::run;
pub(crate) use parent::{compile, load};

use crate::component::engines::EngineKind;
use crate::contract::handlers::CallStyle;

/// The first word of the command line of a child that compiles. It is not for
/// people, so the help does not show it.
pub const WORD: &str = "__compile";

/// Where components are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// On a thread of this process: for programs without such a child, and only
    /// for trusted components. Only `compile_timeout` bounds it, and does not
    /// stop it.
    InProcess,
    /// In a child that runs this program with the word [`WORD`].
    Child(PathBuf),
}

/// The settings that a child gets in addition to the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) kind: EngineKind,
    pub(crate) source_lines: bool,
    /// Its address space.
    pub(crate) memory_bytes: usize,
    /// How long it may take; the same time bounds its CPU time on each of its
    /// threads.
    pub(crate) timeout: Duration,
}

/// The most threads of a child; Cranelift compiles one function on each. More
/// would save little time and leave less CPU to the host, and each needs a
/// stack and a heap in the address space.
const THREADS_MAX: usize = 4;

/// The largest compiled form of a component of this many bytes. Cranelift makes
/// three to eight bytes of one; a larger answer could only be meant to use up
/// the host's memory.
pub(crate) fn compiled_bytes_max(component: usize) -> usize {
    component.saturating_mul(24).saturating_add(4 * 1024 * 1024)
}

impl Compiler {
    /// A child that runs the program of this process, even after its file was
    /// replaced: another release would compile code that this one cannot use.
    pub fn this_program() -> std::io::Result<Self> {
        if cfg!(target_os = "linux") {
            return Ok(Self::Child("/proc/self/exe".into()));
        }
        std::env::current_exe().map(Self::Child)
    }
}

impl Task {
    /// The words of the command line after [`WORD`].
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

    /// Parses the words after [`WORD`].
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

/// The first byte of an answer.
mod tag {
    /// The compiled component follows, after its digest.
    pub(super) const COMPILED: u8 = b'C';
    /// The compiler's reason to refuse it follows, after its digest.
    pub(super) const REFUSED: u8 = b'R';
    /// There was not enough address space.
    pub(super) const MEMORY: u8 = b'M';
}

/// Bytes of an answer's head: tag, length, digest.
const HEAD_BYTES: usize = 1 + 8 + 32;
/// The longest refusal, in bytes: wasmtime's errors are a few lines, but repeat
/// names of the component.
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
