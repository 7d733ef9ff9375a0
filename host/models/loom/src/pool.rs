//! The back-off of a version; a seat is stood in for.

#[path = "../../../engine/src/pool/backoff.rs"]
pub(crate) mod backoff;

/// The mailbox asks a seat one question.
pub(crate) mod seating {
    #[derive(Debug)]
    pub(crate) struct Seat {
        pub(crate) first: bool,
    }

    impl Seat {
        pub(crate) fn is_first(&self) -> bool {
            self.first
        }
    }
}
