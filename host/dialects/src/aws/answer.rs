//! Answers as SDKs read them: errors by the header `x-amzn-ErrorType`.

use crate::http::Answer;
use crate::json;
use crate::time::iso8601;

/// What an SDK is told of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionView<'a> {
    /// When it was opened, in milliseconds since 1970.
    pub connected_ms: u64,
    /// When it last sent or was sent something.
    pub active_ms: u64,
    /// The address of its peer.
    pub address: &'a str,
    /// The peer's `User-Agent`; may be empty.
    pub user_agent: &'a str,
}

impl ConnectionView<'_> {
    /// The answer to GET.
    pub fn answer(&self) -> Answer {
        let body = json::document(|connection| {
            connection.text("connectedAt", &iso8601(self.connected_ms));
            connection.object("identity", |identity| {
                identity.text("sourceIp", self.address);
                identity.text("userAgent", self.user_agent);
            });
            connection.text("lastActiveAt", &iso8601(self.active_ms));
        });
        Answer::json(200, body)
    }
}

/// The answer to POST, when the message is on its way.
pub fn posted() -> Answer {
    Answer::empty(200)
}

/// The answer to DELETE.
pub fn deleted() -> Answer {
    Answer::empty(204)
}

/// Why a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such connection any more, or there never was.
    #[error("the connection is gone")]
    Gone,
    /// Too many requests, or the peer does not read.
    #[error("the rate is exceeded, or the peer reads too slowly")]
    Limit,
    /// The message is larger than the host allows.
    #[error("the message is too large")]
    Large,
    /// The key may not do this.
    #[error("the key may not do this")]
    Forbidden,
    /// The request has no signature, and no other credential.
    #[error("the request has no signature")]
    Unsigned,
    /// The signature is wrong.
    #[error("the signature does not match the request")]
    Signature,
    /// It is not of this moment.
    #[error("the signature has expired, or the clocks differ")]
    Expired,
    /// There is no such key.
    #[error("the access key is not known")]
    UnknownKey,
    /// The request is something else.
    #[error("the request is not one of `@connections`")]
    BadRequest,
    /// The host has failed.
    #[error("the host has failed")]
    Internal,
}

impl Failure {
    /// The status and the name that SDKs make exceptions of.
    pub const fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Gone => (410, "GoneException"),
            Self::Limit => (429, "LimitExceededException"),
            Self::Large => (413, "PayloadTooLargeException"),
            Self::Forbidden => (403, "ForbiddenException"),
            Self::Unsigned => (403, "MissingAuthenticationTokenException"),
            Self::Signature => (403, "InvalidSignatureException"),
            Self::Expired => (403, "RequestExpiredException"),
            Self::UnknownKey => (403, "UnrecognizedClientException"),
            Self::BadRequest => (400, "BadRequestException"),
            Self::Internal => (500, "InternalServerErrorException"),
        }
    }

    /// The answer.
    pub fn answer(self) -> Answer {
        let (status, name) = self.parts();
        let body = json::document(|error| error.text("message", &self.to_string()));
        Answer {
            header: Some(("x-amzn-errortype", name)),
            ..Answer::json(status, body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdks_find_what_they_read() {
        let view = ConnectionView {
            connected_ms: 0,
            active_ms: 1_440_938_160_007,
            address: "192.0.2.1",
            user_agent: "a \"b\"",
        };
        let expected = concat!(
            r#"{"connectedAt":"1970-01-01T00:00:00.000Z","identity":{"sourceIp":"192.0.2.1","#,
            r#""userAgent":"a \"b\""},"lastActiveAt":"2015-08-30T12:36:00.007Z"}"#
        );
        assert_eq!(view.answer().body, expected);
        let gone = Failure::Gone.answer();
        assert_eq!(gone.status, 410);
        assert_eq!(gone.header, Some(("x-amzn-errortype", "GoneException")));
        assert_eq!(gone.body, r#"{"message":"the connection is gone"}"#);
        assert_eq!((posted().status, deleted().status), (200, 204));
    }
}
