//! Lines on their way to standard error or standard output, whose reader may
//! stop reading at any time: a full pipe, a stopped terminal.
//!
//! A thread of its own writes them, so that no thread that serves ever waits
//! for the reader. At most [`QUEUED_BYTES_MAX`] wait, including the bookkeeping
//! for each line. Past that, lines are dropped, and a note in their place says
//! how many.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// The most bytes that may wait to be written: a minute of a log of a hundred
/// lines a second.
const QUEUED_BYTES_MAX: usize = 1024 * 1024;
/// How much of it lines of functions may take, so that a function that prints a
/// lot does not displace the host's own lines.
const PRINTED_BYTES_MAX: usize = QUEUED_BYTES_MAX / 2;
/// The bookkeeping of each line, in bytes.
const LINE_BYTES: usize = 64;
/// Lines are gathered for one write up to this size, which a pipe holds.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// How long to wait before another try when another process has made the
/// descriptor non-blocking and it takes nothing.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The source of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    Host,
    /// A function printed it.
    Function,
}

/// Takes lines, and never waits for their reader.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when something enters the queue.
    filled: Condvar,
    /// Signalled when something leaves the queue.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<(Speaker, Vec<u8>)>,
    bytes: usize,
    /// The part of them that functions printed.
    printed_bytes: usize,
    /// How many lines were dropped after the last one in the queue.
    dropped: u64,
    /// Whether the thread is writing.
    writing: bool,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread that writes.
    pub(crate) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("log".into());
        thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all(to)
        })?;
        Ok(Self { shared })
    }

    /// Queues a line, or drops it if there is no room.
    pub(crate) fn line(&self, speaker: Speaker, line: &[u8]) {
        let mut state = self.shared.state.lock();
        if !state.has_room(speaker, line.len()) {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        state.note_dropped();
        state.push(speaker, line.to_vec());
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Queues bytes, and waits until there is room for them. Threads that serve
    /// must not call it.
    pub(crate) fn wait_and_write(&self, bytes: &[u8]) {
        let mut state = self.shared.state.lock();
        for part in bytes.chunks(WRITE_BYTES_MAX) {
            while !state.has_room(Speaker::Host, part.len()) {
                self.shared.written.wait(&mut state);
            }
            state.note_dropped();
            state.push(Speaker::Host, part.to_vec());
            self.shared.filled.notify_one();
        }
    }

    /// Waits until everything is written, for at most `patience`. Returns
    /// whether it is.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.shared.state.lock();
        let waiting = |state: &mut State| !state.is_empty();
        let timeout = self
            .shared
            .written
            .wait_while_for(&mut state, waiting, patience);
        !timeout.timed_out()
    }
}

// === impl State ===

impl State {
    fn has_room(&self, speaker: Speaker, bytes: usize) -> bool {
        let more = bytes + LINE_BYTES;
        let printed = speaker == Speaker::Function;
        self.bytes + more <= QUEUED_BYTES_MAX
            && !(printed && self.printed_bytes + more > PRINTED_BYTES_MAX)
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.writing && self.dropped == 0
    }

    fn push(&mut self, speaker: Speaker, line: Vec<u8>) {
        let more = line.len() + LINE_BYTES;
        self.bytes += more;
        if speaker == Speaker::Function {
            self.printed_bytes += more;
        }
        self.lines.push_back((speaker, line));
    }

    /// Queues a note about dropped lines. It may pass the bound, by at most one
    /// note after each line that had room.
    fn note_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let note = format!("{dropped} log lines were dropped: they were read too slowly\n");
            self.push(Speaker::Host, note.into_bytes());
        }
    }

    /// Takes the lines for the next write; leaves `gathered` empty if there are
    /// none.
    fn take(&mut self, gathered: &mut Vec<u8>) {
        if self.lines.is_empty() {
            self.note_dropped();
        }
        while let Some((speaker, line)) = self.lines.pop_front() {
            let less = line.len() + LINE_BYTES;
            self.bytes -= less;
            if speaker == Speaker::Function {
                self.printed_bytes -= less;
            }
            gathered.extend_from_slice(&line);
            let next = self.lines.front().map_or(0, |(_, next)| next.len());
            if gathered.len() + next > WRITE_BYTES_MAX {
                break;
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// The loop of the thread, for the life of the process.
    fn write_all(&self, mut to: impl Write) {
        let mut gathered = Vec::new();
        loop {
            let mut state = self.state.lock();
            state.writing = false;
            state.take(&mut gathered);
            self.written.notify_all();
            if gathered.is_empty() {
                self.filled.wait(&mut state);
                continue;
            }
            state.writing = true;
            drop(state);
            write(&mut to, &gathered);
            gathered.clear();
            gathered.shrink_to(WRITE_BYTES_MAX);
        }
    }
}

/// Writes all bytes, however long that takes. After an error it gives up,
/// because there is nowhere left to report it.
fn write(to: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::park_timeout(TRY_AGAIN_AFTER);
            }
            Err(_) => return,
        }
    }
    // Standard output has a buffer of its own.
    let _ = to.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes nothing until it is released.
    #[derive(Clone, Debug, Default)]
    struct Pipe(Arc<(Mutex<Piped>, Condvar)>);

    /// Whether it is being read, and what was read.
    type Piped = (bool, Vec<u8>);

    impl Pipe {
        fn read(&self) {
            self.0.0.lock().0 = true;
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().1.clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (state, read) = &*self.0;
            let mut state = state.lock();
            read.wait_while(&mut state, |(read, _)| !*read);
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    /// A writer whose thread is blocked in the write of a first line.
    fn blocked() -> (Writer, Pipe) {
        let pipe = Pipe::default();
        let writer = Writer::start(pipe.clone()).unwrap();
        writer.line(Speaker::Host, b"first\n");
        let mut state = writer.shared.state.lock();
        let waits = |state: &mut State| !(state.writing && state.lines.is_empty());
        let held = writer
            .shared
            .written
            .wait_while_for(&mut state, waits, LONG);
        assert!(!held.timed_out());
        drop(state);
        (writer, pipe)
    }

    fn fill(writer: &Writer, speaker: Speaker, most: usize) -> usize {
        let line = [b'x'; 1024 - LINE_BYTES];
        (0..most / 1024).for_each(|_| writer.line(speaker, &line));
        most / 1024
    }

    #[test]
    fn lines_at_the_bound_and_one_past_it_while_nobody_reads() {
        let (writer, pipe) = blocked();
        let lines = fill(&writer, Speaker::Host, QUEUED_BYTES_MAX);
        assert_eq!(writer.shared.state.lock().dropped, 0);
        writer.line(Speaker::Host, b"");
        writer.line(Speaker::Host, b"");
        assert_eq!(writer.shared.state.lock().lines.len(), lines);
        // The end of the process does not wait for a reader that does not read.
        assert!(!writer.flush(SHORT));
        pipe.read();
        assert!(writer.flush(LONG));
        writer.line(Speaker::Host, b"later\n");
        assert!(writer.flush(LONG));
        let text = pipe.text();
        assert!(text.starts_with("first\nxxx"), "{text}");
        let end = "x2 log lines were dropped: they were read too slowly\nlater\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn what_functions_print_leaves_room_for_the_host() {
        let (writer, pipe) = blocked();
        let lines = fill(&writer, Speaker::Function, PRINTED_BYTES_MAX);
        writer.line(Speaker::Function, b"one past it\n");
        writer.line(Speaker::Host, b"a word of the host\n");
        // The host's line, and before it the note about the dropped one.
        assert_eq!(writer.shared.state.lock().lines.len(), lines + 2);
        pipe.read();
        assert!(writer.flush(LONG));
        let end = "x1 log lines were dropped: they were read too slowly\na word of the host\n";
        assert!(pipe.text().ends_with(end));
        assert_eq!(writer.shared.state.lock().printed_bytes, 0);
    }

    #[test]
    fn what_may_wait_is_written_whole() {
        let (writer, pipe) = blocked();
        let much = vec![b'y'; 3 * QUEUED_BYTES_MAX];
        std::thread::scope(|scope| {
            scope.spawn(|| writer.wait_and_write(&much));
            pipe.read();
        });
        assert!(writer.flush(LONG));
        assert_eq!(pipe.text().len(), "first\n".len() + much.len());
    }

    #[test]
    fn a_reader_that_has_gone_holds_nobody_up() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let writer = Writer::start(Closed).unwrap();
        fill(&writer, Speaker::Host, 4 * QUEUED_BYTES_MAX);
        writer.wait_and_write(b"more");
        assert!(writer.flush(LONG));
    }
}
