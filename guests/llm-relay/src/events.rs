//! Reads a stream of server-sent events, as far as language models use them: the data
//! of each event, without types and ids. What waits for its end is bounded.

/// Longer events are not of a language model.
const EVENT_BYTES_MAX: usize = 64 << 10;

/// The events of a stream, whose chunks may end anywhere.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The line that has not ended.
    line: Vec<u8>,
    /// The data of the event that has not ended.
    data: String,
}

/// An event is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Events {
    /// Takes a chunk, and answers the data of the events that it ends.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut ended = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            if piece.ends_with(b"\n") {
                ended.extend(self.end_line());
            }
        }
        Ok(ended)
    }

    /// The data of the event, if this line ends it.
    fn end_line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end_matches(['\r', '\n']);
        let mut ended = None;
        if line.is_empty() {
            ended = Some(std::mem::take(&mut self.data)).filter(|data| !data.is_empty());
        } else if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        self.line.clear();
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_the_chunks_end() {
        let stream = ": comment\r\n\r\ndata: a\r\n\r\nevent: x\ndata:b\ndata: c\u{e4}\n\n";
        for length in 1..stream.len() {
            let mut events = Events::default();
            let mut read = Vec::new();
            for chunk in stream.as_bytes().chunks(length) {
                read.extend(events.push(chunk).unwrap());
            }
            assert_eq!(read, ["a", "b\nc\u{e4}"], "{length}");
        }
    }

    #[test]
    fn an_event_is_bounded() {
        let mut events = Events::default();
        let line = b"x".repeat(EVENT_BYTES_MAX - 1);
        assert_eq!(events.push(&line), Ok(Vec::new()));
        assert_eq!(events.push(b"x"), Ok(Vec::new()));
        assert_eq!(events.push(b"x"), Err(TooLong));
        let mut events = Events::default();
        let line = ["data: ", &"x".repeat(9_000), "\n"].concat();
        assert!((0..8).any(|_| events.push(line.as_bytes()).is_err()));
    }
}
