//! Frames that wait to be written, for vectored writes that may take any part
//! of them.
//!
//! Bytes that the system does not take stay as references: nothing is copied.
//! The queue has no bound of its own; its caller asks [`Queue::bytes`] before
//! it pushes. An empty queue has no allocation after [`Queue::shrink`].

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::frame::Frame;

/// Frames to write, in order.
///
/// ```
/// use std::io::{IoSlice, Write};
/// use openline_websocket::{Frame, Queue};
///
/// let mut queue = Queue::new();
/// queue.push(Frame::text("Hello"));
/// queue.push(Frame::text("Bye"));
/// let mut socket = Vec::new();
/// while queue.bytes() > 0 {
///     let mut slices = [IoSlice::new(&[]); 16];
///     let filled = queue.fill(&mut slices);
///     let taken = socket.write_vectored(&slices[..filled]).unwrap();
///     queue.advance(taken);
/// }
/// assert_eq!(socket, b"\x81\x05Hello\x81\x03Bye");
/// ```
#[derive(Debug, Default)]
pub struct Queue {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that have been written.
    written: usize,
    bytes: usize,
}

impl Queue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            written: 0,
            bytes: 0,
        }
    }

    /// Appends a frame.
    #[inline]
    pub fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Bytes that wait.
    #[inline]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that wait, one that is partly written included.
    #[inline]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Whether the first frame has been written in part, and so has to be
    /// written to its end.
    #[inline]
    pub const fn is_cut(&self) -> bool {
        self.written > 0
    }

    /// Points slices at the waiting bytes, from the beginning; answers how many
    /// slices it fills. Two for each frame, one for a frame without payload.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut skip = self.written;
        for frame in &self.frames {
            for part in frame.parts() {
                let rest = &part[skip.min(part.len())..];
                skip = skip.saturating_sub(part.len());
                if rest.is_empty() {
                    continue;
                }
                let Some(slice) = slices.get_mut(filled) else {
                    return filled;
                };
                *slice = IoSlice::new(rest);
                filled += 1;
            }
        }
        filled
    }

    /// Forgets the bytes that have been written.
    ///
    /// # Panics
    ///
    /// If that is more than waits.
    pub fn advance(&mut self, mut written: usize) {
        assert!(written <= self.bytes, "more was written than waited");
        self.bytes -= written;
        written += self.written;
        while let Some(frame) = self.frames.front() {
            if written < frame.len() {
                break;
            }
            written -= frame.len();
            self.frames.pop_front();
        }
        self.written = written;
    }

    /// Gives the allocation of an empty queue back.
    pub fn shrink(&mut self) {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = Frame> {
        let payload = prop_oneof![Just(0usize), 1usize..5, 120usize..130, 65_530usize..65_540];
        payload.prop_map(|bytes| Frame::binary(vec![7; bytes]))
    }

    proptest! {
        #[test]
        fn whatever_is_taken_the_bytes_are_those_of_the_frames(
            frames in prop::collection::vec(frame(), 0..8),
            taken in prop::collection::vec(1usize..70_000, 1..6),
            slices_max in 1usize..5,
        ) {
            let mut wanted = Vec::new();
            let mut queue = Queue::new();
            for frame in frames {
                frame.append_to(&mut wanted);
                queue.push(frame);
            }
            prop_assert_eq!(queue.bytes(), wanted.len());
            let (mut written, mut taken) = (Vec::<u8>::new(), taken.iter().cycle());
            while queue.bytes() > 0 {
                let mut slices = vec![IoSlice::new(&[]); slices_max];
                let filled = queue.fill(&mut slices);
                let all: Vec<u8> = slices[..filled].iter().flat_map(|it| it.to_vec()).collect();
                prop_assert!(slices[..filled].iter().all(|it| !it.is_empty()));
                let now = (*taken.next().unwrap()).min(all.len());
                prop_assert!(now > 0);
                written.extend(&all[..now]);
                queue.advance(now);
            }
            prop_assert_eq!(written, wanted);
            prop_assert_eq!((queue.frames(), queue.is_cut()), (0, false));
        }
    }

    #[test]
    #[should_panic(expected = "more was written than waited")]
    fn more_than_waits_cannot_be_written() {
        let mut queue = Queue::new();
        queue.push(Frame::text("a"));
        queue.advance(4);
    }
}
