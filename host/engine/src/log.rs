//! What a function prints: its standard output and error become lines in the
//! host's log, with the function's name.
//!
//! Bounded: a line is cut at [`LINE_BYTES_MAX`], and an instance may write
//! [`LINES_MAX`] lines to each of its two streams; what comes after is not kept.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use openline_core::name::FunctionName;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The longest line, in bytes; a stack trace's lines are shorter.
const LINE_BYTES_MAX: usize = 1024;
/// Lines of one stream of an instance; who needs more needs a logging service.
const LINES_MAX: usize = 10_000;

/// One of the two streams of an instance. Clones share the line.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    function: FunctionName,
    stream: &'static str,
    line: Vec<u8>,
    lines: usize,
}

impl Log {
    pub(crate) fn new(function: FunctionName, stream: &'static str) -> Self {
        let state = State {
            function,
            stream,
            line: Vec::new(),
            lines: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(state.line.len());
            state.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                state.emit();
            }
        }
    }
}

impl State {
    fn emit(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.lines += 1;
        if self.lines > LINES_MAX {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        tracing::info!(function = %self.function, stream = self.stream, "{}", text.escape_debug());
        if self.lines == LINES_MAX {
            tracing::warn!(function = %self.function, "the instance printed {LINES_MAX} lines; no more are shown");
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.emit();
        }
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Log {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

impl OutputStream for Log {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES_MAX)
    }
}
