//! Reads event streams (Server-Sent Events):
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
//!
//! Bounded by [`EVENT_BYTES_MAX`].

/// The longest line and the longest data of an event, in bytes: twice the
/// largest event that a host sends.
pub(super) const EVENT_BYTES_MAX: usize = 32 << 20;

/// An event, or only a new position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The last `id` of the stream.
    pub(super) id: Option<String>,
    /// Its name; empty without one.
    pub(super) name: String,
    /// Its data; none if there is only an `id`.
    pub(super) data: Option<String>,
}

/// An event is larger than any that a host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {} MiB", EVENT_BYTES_MAX >> 20)]
pub(super) struct TooLarge;

/// Makes events of pieces of a stream, wherever it is cut.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// A line without its end.
    line: Vec<u8>,
    /// Whether a line end that begins the next piece is the rest of one.
    after_return: bool,
    id: Option<String>,
    has_new_id: bool,
    name: String,
    data: Option<String>,
}

impl Events {
    /// Takes a piece: the events that it ends.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &rest[..end.unwrap_or(rest.len())];
            if self.line.len() + part.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            events.extend(self.line(&String::from_utf8_lossy(&line))?);
        }
        Ok(events)
    }

    /// Takes a line; an empty one ends an event.
    fn line(&mut self, line: &str) -> Result<Option<Event>, TooLarge> {
        if line.is_empty() {
            return Ok(self.end());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => {
                self.id = Some(value.to_owned()).filter(|id| !id.is_empty());
                self.has_new_id = true;
            }
            "event" => value.clone_into(&mut self.name),
            "data" => {
                let data = self.data.get_or_insert_default();
                if data.len() + value.len() >= EVENT_BYTES_MAX {
                    return Err(TooLarge);
                }
                data.push_str(value);
                data.push('\n');
            }
            // `retry` is for browsers, and a line without field a ping.
            _ => {}
        }
        Ok(None)
    }

    fn end(&mut self) -> Option<Event> {
        let has_new_id = std::mem::take(&mut self.has_new_id);
        let name = std::mem::take(&mut self.name);
        let mut data = self.data.take();
        if let Some(data) = &mut data {
            data.pop();
        }
        let id = self.id.clone();
        (data.is_some() || has_new_id).then_some(Event { id, name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, name: &str, data: Option<&str>) -> Event {
        Event {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data: data.map(str::to_owned),
        }
    }

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let stream = "retry: 3000\n\nid: p1\n\n:\n\nid: p2\ndata: {\"a\":\r\ndata:1}\r\n\r\n\
                      event: openline-lost\nid: p3\ndata:\n\ndata: é\r\rother: x\n\n";
        let expected = [
            event(Some("p1"), "", None),
            event(Some("p2"), "", Some("{\"a\":\n1}")),
            event(Some("p3"), "openline-lost", Some("")),
            event(Some("p3"), "", Some("é")),
        ];
        for length in 1..=stream.len() {
            let mut events = Events::default();
            let pieces = stream.as_bytes().chunks(length);
            let read: Vec<_> = pieces
                .flat_map(|piece| events.take(piece).unwrap())
                .collect();
            assert_eq!(read, expected, "in pieces of {length}");
        }
    }

    #[test]
    fn an_event_at_its_bytes_and_past_them() {
        let of = |bytes: usize| {
            let mut events = Events::default();
            let data = [b"data:".to_vec(), vec![b'a'; bytes], b"\n\n".to_vec()].concat();
            data.chunks(1 << 20)
                .try_for_each(|piece| events.take(piece).map(drop))
        };
        // A line has its field as well.
        assert_eq!(of(EVENT_BYTES_MAX - 5), Ok(()));
        assert_eq!(of(EVENT_BYTES_MAX - 4), Err(TooLarge));
        // Two lines of one event.
        for (bytes, last) in [
            (EVENT_BYTES_MAX / 2 - 1, Ok(vec![])),
            (EVENT_BYTES_MAX / 2, Err(TooLarge)),
        ] {
            let mut events = Events::default();
            let half = [b"data:".to_vec(), vec![b'a'; bytes], b"\n".to_vec()].concat();
            assert_eq!(events.take(&half), Ok(vec![]));
            assert_eq!(events.take(&half), last, "{bytes}");
        }
    }
}
