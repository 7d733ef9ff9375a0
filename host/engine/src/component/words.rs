//! The text of wasmtime's errors, for the log and for the answer to a deploy.
//!
//! The author of a component chooses the names in it. They are escaped and cut
//! before they are joined, so that a line end in a name never becomes one in
//! the log. C++ names stay mangled, because demangling them has no bound.
//! Bounded by [`CAUSE_BYTES_MAX`], [`NAME_BYTES_MAX`] and [`LINES_MAX`].

use std::fmt::{self, Display, Write};

use openline_core::escape::Escaped;
use wasmtime::{FrameInfo, FrameSymbol, WasmBacktrace};

/// The most bytes of each error in a chain.
const CAUSE_BYTES_MAX: usize = 1024;
/// The most bytes of a function's name or a file's path.
const NAME_BYTES_MAX: usize = 256;
/// The most lines of a backtrace. wasmtime keeps twenty frames; each may stand
/// for several inlined functions.
const LINES_MAX: usize = 100;
/// How many functions a one-line description names: those of a panic, and the
/// one that panics.
const INNERMOST_MAX: usize = 6;

/// The beginning of wasmtime's backtrace, which is one of the errors in its
/// chain.
const BACKTRACE: &str = "error while executing at wasm backtrace";

/// An error and its causes, on one line and without the backtrace.
pub(crate) fn cause(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for error in error.chain() {
        let said = head_of(error);
        if said.starts_with(BACKTRACE) {
            continue;
        }
        let between = if text.is_empty() { "" } else { ": " };
        // Writing to a string does not fail.
        let _ = write!(text, "{between}{}", Escaped::new(&said, usize::MAX));
    }
    text
}

/// Where guest code was, the innermost frame first; `None` if no guest code
/// ran.
pub(crate) fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let lines = frames.iter().enumerate().flat_map(lines);
    let lines: Vec<_> = lines.take(LINES_MAX).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The functions in which guest code was, the innermost first.
pub(crate) fn innermost(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    let names = frames.iter().take(INNERMOST_MAX).map(|frame| {
        let symbol = frame.symbols().first().and_then(FrameSymbol::name);
        symbol.map_or_else(|| function(frame), demangled)
    });
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(" < "))
}

/// The text of another library's error about a component.
pub(crate) fn said(error: &impl Display) -> String {
    Escaped::new(&head_of(error), usize::MAX).to_string()
}

/// A name from a component.
pub(crate) fn name(name: &str) -> Escaped<'_> {
    Escaped::new(name, NAME_BYTES_MAX)
}

/// The lines of one frame: the function and those inlined into it, each with
/// its place if that is known.
fn lines((number, frame): (usize, &FrameInfo)) -> Vec<String> {
    let offset = frame.module_offset().unwrap_or(0);
    let start = format!("{number:>4}: {offset:#8x} - ");
    if frame.symbols().is_empty() {
        let module = frame.module().name().unwrap_or("<unknown>");
        let module = Escaped::new(module, NAME_BYTES_MAX);
        return vec![format!("{start}{module}!{}", function(frame))];
    }
    let mut lines = Vec::new();
    for (place, symbol) in frame.symbols().iter().enumerate() {
        let name = match symbol.name() {
            Some(name) => demangled(name),
            None if place == 0 => function(frame),
            None => "<inlined function>".into(),
        };
        lines.push(match place {
            0 => format!("{start}{name}"),
            _ => format!("                - {name}"),
        });
        lines.extend(source(symbol));
    }
    lines
}

fn source(symbol: &FrameSymbol) -> Option<String> {
    let file = Escaped::new(symbol.file()?, NAME_BYTES_MAX);
    let mut text = format!("                    at {file}");
    for number in [symbol.line(), symbol.column()].iter().map_while(|it| *it) {
        // Writing to a string does not fail.
        let _ = write!(text, ":{number}");
    }
    Some(text)
}

fn function(frame: &FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => demangled(name),
        None => format!("<wasm function {}>", frame.func_index()),
    }
}

fn demangled(name: &str) -> String {
    let name = head_of(rustc_demangle::demangle(name));
    Escaped::new(&name, NAME_BYTES_MAX).to_string()
}

/// The beginning of a text. The rest is never formatted, because a few bytes of
/// a component may stand for gigabytes of text.
fn head_of(text: impl Display) -> String {
    let mut head = Head(String::new());
    // The writer stops when it has enough.
    let _ = write!(head, "{text:#}");
    head.0
}

struct Head(String);

impl Write for Head {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let most = CAUSE_BYTES_MAX.saturating_sub(self.0.len());
        if text.len() <= most {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
        self.0.push_str(&text[..end.unwrap_or(0)]);
        self.0.push_str(" ...");
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line_and_each_of_its_errors_is_cut() {
        let error = wasmtime::Error::msg("inner\nforged").context("outer");
        assert_eq!(cause(&error), r"outer: inner\nforged");
        let long = "x".repeat(CAUSE_BYTES_MAX);
        let error = wasmtime::Error::msg(long.clone()).context("outer");
        assert_eq!(cause(&error), format!("outer: {long}"));
        let error = wasmtime::Error::msg(format!("{long}yz")).context("outer");
        assert!(cause(&error).starts_with(&format!("outer: {long} ")));
        assert!(cause(&error).len() < 2 * CAUSE_BYTES_MAX);
        assert_eq!(backtrace(&error), None);
    }

    #[test]
    fn names_are_demangled_escaped_and_cut() {
        let name = "_ZN5hello5inner17h0123456789abcdefE";
        assert_eq!(demangled(name), "hello::inner");
        assert_eq!(demangled("a\n\u{202e}b"), r"a\n\u{202e}b");
        let long = "n".repeat(NAME_BYTES_MAX);
        assert_eq!(demangled(&long), long);
        assert_eq!(
            demangled(&format!("{long}n")),
            format!("{long}... (1 more bytes)")
        );
    }

    /// A section of a module.
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128, "one byte of LEB128");
        [&[id, length], content].concat()
    }

    /// A module whose only function has this name and traps.
    fn module(name: &str) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        let named = [&[1, 0, length], name.as_bytes()].concat();
        [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &[1, 0x60, 0, 0]),
            section(3, &[1, 0]),
            section(7, &[1, 1, b'f', 0, 0]),
            section(10, &[1, 3, 0, 0x00, 0x0b]),
            section(0, &[b"\x04name".to_vec(), section(1, &named)].concat()),
        ]
        .concat()
    }

    #[test]
    fn a_name_in_a_component_cannot_forge_a_line_of_a_backtrace() {
        let engine = wasmtime::Engine::default();
        let forged = "x\n2026-11-26T00:00:00Z ERROR forged\x1b[2J";
        let module = wasmtime::Module::new(&engine, module(forged)).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let call = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let error = call.call(&mut store, ()).unwrap_err();
        // wasmtime's own text has the name unchanged.
        assert!(format!("{error:#}").contains(forged));
        let shown = r"x\n2026-11-26T00:00:00Z ERROR forged\u{1b}[2J";
        let lines = backtrace(&error).unwrap();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(lines.ends_with(&format!("<unknown>!{shown}")), "{lines}");
        assert_eq!(innermost(&error).unwrap(), format!("`{shown}`"));
        assert_eq!(
            cause(&error),
            "wasm trap: wasm `unreachable` instruction executed"
        );
    }

    #[test]
    fn a_text_that_grows_for_ever_is_only_begun() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again and again ")?;
                }
            }
        }
        assert!(head_of(Endless).len() <= CAUSE_BYTES_MAX + 4);
    }
}
