//! Answers to `POST /v1/publish`.

use super::error::ApiError;
use crate::http::Answer;
use crate::json::{self, Object};

/// What became of a publication in one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The publication's identity.
    pub id: &'a str,
    /// Where the channel is with it, if it keeps history.
    pub position: Option<&'a str>,
    /// How many subscribers of this node take it.
    pub delivered: u64,
    /// Which nodes have it.
    pub reached: Reached,
    /// Why it was not published, although nothing is wrong.
    pub suppressed: Option<Suppressed>,
}

/// Which nodes have a publication when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// This one; others may be cut off, and get it when they are back.
    Local,
    /// All.
    All,
}

/// Why a publication was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppressed {
    /// It was published before: the answer is that of the first time.
    Repeated,
    /// There is a newer version.
    Stale,
}

/// The answer to one publication.
pub fn published(outcome: Result<Published<'_>, &ApiError>) -> Answer {
    match outcome {
        Ok(outcome) => Answer::json(200, json::document(|answer| write(answer, &outcome))),
        Err(error) => error.answer(),
    }
}

/// The answer to a batch or a broadcast: for each publication and channel its
/// outcome, in the order of the request. The status is 200: some may have been
/// published.
pub fn batch<'a>(
    outcomes: impl IntoIterator<Item = (&'a str, Result<Published<'a>, &'a ApiError>)>,
) -> Answer {
    let body = json::document(|answer| {
        answer.array("results", outcomes, |out, (channel, outcome)| {
            json::object(out, |result| match outcome {
                Ok(outcome) => write(result, &outcome),
                Err(error) => {
                    result.text("channel", channel);
                    error.write(result);
                }
            });
        });
    });
    Answer::json(200, body)
}

fn write(answer: &mut Object<'_>, outcome: &Published<'_>) {
    answer.text("channel", outcome.channel);
    answer.text("id", outcome.id);
    if let Some(position) = outcome.position {
        answer.text("position", position);
    }
    answer.number("delivered", outcome.delivered);
    let scope = match outcome.reached {
        Reached::Local => "local",
        Reached::All => "all",
    };
    answer.text("scope", scope);
    if let Some(suppressed) = outcome.suppressed {
        let why = match suppressed {
            Suppressed::Repeated => "repeated",
            Suppressed::Stale => "stale",
        };
        answer.text("suppressed", why);
    }
}
