//! Standard output and error of a function, and what it says by `wasi:logging`,
//! which become lines in the host's log with the function's name.
//!
//! A line is cut at [`LINE_BYTES_MAX`], and all instances of a function share
//! `log_lines_per_second`. Lines past that are counted but not shown; before
//! the next line that is shown, the log says how many were left out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use openline_core::name::FunctionName;
use openline_core::rate::TokenBucket;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The longest line, in bytes; a stack trace's lines are shorter.
const LINE_BYTES_MAX: usize = 1024;

/// The rate at which all instances of a function may print.
#[derive(Debug)]
pub(crate) struct LogRate {
    function: FunctionName,
    began: Instant,
    state: Mutex<Allowance>,
}

#[derive(Debug)]
struct Allowance {
    /// `None` means no limit.
    bucket: Option<TokenBucket>,
    left_out: u64,
}

/// One of the two streams of an instance. Clones share the line.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rate: Arc<LogRate>,
    stream: &'static str,
    line: Vec<u8>,
}

// === impl LogRate ===

impl LogRate {
    pub(crate) fn new(function: FunctionName, lines_per_second: u32) -> Self {
        let bucket = TokenBucket::new(lines_per_second.into(), Duration::ZERO);
        Self {
            function,
            began: Instant::now(),
            state: Mutex::new(Allowance {
                bucket,
                left_out: 0,
            }),
        }
    }

    /// Whether one more line is shown. First logs how many were not.
    pub(crate) fn begin_line(&self) -> bool {
        let function = &self.function;
        let allowed = self.state.lock().allow(self.began.elapsed());
        if let Some(left_out @ 1..) = allowed {
            tracing::warn!(%function, "the function printed {left_out} more lines than are shown (log_lines_per_second)");
        }
        allowed.is_some()
    }

    /// Logs one line that a function has judged and given a context.
    pub(crate) fn say(&self, level: &str, context: &str, message: &str) {
        if !self.begin_line() {
            return;
        }
        let function = &self.function;
        let (context, message) = (cut(context), cut(message));
        let context = context.escape_debug();
        tracing::info!(%function, level, %context, "{}", message.escape_debug());
    }
}

/// As much of a text as a line may have.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}

impl Allowance {
    fn allow(&mut self, now: Duration) -> Option<u64> {
        if self
            .bucket
            .as_mut()
            .is_none_or(|bucket| bucket.try_take(now))
        {
            return Some(std::mem::take(&mut self.left_out));
        }
        self.left_out = self.left_out.saturating_add(1);
        None
    }
}

// === impl Log ===

impl Log {
    pub(crate) fn new(rate: Arc<LogRate>, stream: &'static str) -> Self {
        let state = State {
            rate,
            stream,
            line: Vec::new(),
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
        if !self.rate.begin_line() {
            return;
        }
        let function = &self.rate.function;
        let text = String::from_utf8_lossy(&line);
        tracing::info!(%function, stream = self.stream, "{}", text.escape_debug());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(lines_per_second: u32) -> LogRate {
        LogRate::new(FunctionName::new("function").unwrap(), lines_per_second)
    }

    #[test]
    fn at_its_limit_and_one_past_it() {
        let ms = Duration::from_millis;
        let rate = rate(3);
        let mut allowance = rate.state.lock();
        assert!((0..3).all(|_| allowance.allow(ms(0)) == Some(0)));
        assert_eq!(allowance.allow(ms(0)), None);
        assert_eq!(allowance.allow(ms(333)), None);
        // Shown again, with a note about the two before.
        assert_eq!(allowance.allow(ms(334)), Some(2));
        assert_eq!(allowance.allow(ms(334)), None);
        assert_eq!(allowance.allow(ms(2000)), Some(1));
        assert_eq!(allowance.allow(ms(2000)), Some(0));
    }

    #[test]
    fn the_streams_of_all_instances_share_what_the_function_has() {
        let rate = Arc::new(rate(2));
        for stream in ["stdout", "stderr"] {
            Log::new(Arc::clone(&rate), stream).take(b"line\nhalf a");
        }
        // An unfinished line counts when the instance ends.
        assert_eq!(rate.state.lock().left_out, 2);
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let most = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(cut(&most), most);
        assert_eq!(cut(&format!("{most}y")), most);
        // The last character would end one byte past the limit.
        let text = format!("{}é", &most[1..]);
        assert_eq!(cut(&text), &most[1..]);
    }

    #[test]
    fn what_is_said_counts_like_lines() {
        let rate = rate(2);
        for _ in 0..3 {
            rate.say("info", "context", "message");
        }
        assert_eq!(rate.state.lock().left_out, 1);
    }

    #[test]
    fn a_line_is_cut_and_costs_no_more_memory_than_that() {
        let log = Log::new(Arc::new(rate(1000)), "stdout");
        for _ in 0..100 {
            log.take(&[b'x'; LINE_BYTES_MAX]);
        }
        assert_eq!(log.state.lock().line.len(), LINE_BYTES_MAX);
    }
}
