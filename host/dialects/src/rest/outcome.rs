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
    /// How far it went.
    pub scope: Scope,
    /// Why it was not published, although nothing is wrong.
    pub suppressed: Option<Suppressed>,
}

/// How far a publication went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To all nodes. A host by itself is all nodes.
    Everywhere,
    /// To the subscribers of this node; others could not be reached and will not
    /// be.
    Local,
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
    answer.text_if_some("position", outcome.position);
    answer.number("delivered", outcome.delivered);
    let scope = match outcome.scope {
        Scope::Everywhere => "everywhere",
        Scope::Local => "local",
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
