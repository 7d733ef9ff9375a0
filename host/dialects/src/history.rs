//! How much of a history is asked for.

/// How many publications of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryLimit {
    /// None: only the position of its end.
    Position,
    /// At most so many.
    AtMost(u32),
    /// As many as the host allows.
    All,
}

impl HistoryLimit {
    /// The limit of a number of Centrifugo's, in which -1 stands for all.
    pub fn of_number(number: i32) -> Self {
        match u32::try_from(number) {
            Ok(0) => Self::Position,
            Ok(most) => Self::AtMost(most),
            Err(_) => Self::All,
        }
    }
}
