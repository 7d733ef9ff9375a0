//! Why a request is not let in: a stable word, a sentence for the peer, a text
//! for the log, and the challenge of the answer.

use openline_core::escape::Escaped;

/// How much of a detail the log shows, in bytes: all of what the host itself
/// writes, and the beginning of what a peer has chosen.
const DETAIL_BYTES_MAX: usize = 256;

/// Why a request is denied, as far as its peer may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// There is no token where one is looked for.
    #[error("this needs a token")]
    TokenMissing,
    /// The token is not good. The peer does not learn which rule it breaks.
    #[error("the token is not valid")]
    TokenInvalid,
    /// The token was good.
    #[error("the token has expired")]
    TokenExpired,
    /// The token was revoked.
    #[error("the token has been revoked")]
    TokenRevoked,
    /// The keys that would verify it are not known, or not any more.
    #[error("tokens cannot be checked at the moment: try again later")]
    KeysUnavailable,
    /// There is no signature.
    #[error("this needs a signature")]
    SignatureMissing,
    /// The signature is not good.
    #[error("the signature is not valid")]
    SignatureInvalid,
    /// The date of the signature, or its end, is too far from now.
    #[error(
        "the date of the signature is too far from now, or the signature or its key has expired"
    )]
    SignatureExpired,
    /// The nonce was used before.
    #[error("the signature has been used before")]
    SignatureReplayed,
    /// No more nonces can be remembered.
    #[error("signatures cannot be checked at the moment: try again later")]
    SignatureNonces,
    /// There is no ticket.
    #[error("this needs a ticket")]
    TicketMissing,
    /// There is no such ticket, or not any more: used, expired or invented.
    #[error("the ticket is not valid: it is good once, for a short time")]
    TicketInvalid,
}

/// A request that is not let in. `Display` is the sentence for the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{denial}")]
pub struct Denied {
    /// The reason, as the peer gets it.
    pub denial: Denial,
    /// The whole reason, with parts of the request that the peer chose. The log
    /// shows it as [`logged`](Self::logged).
    pub detail: String,
}

impl Denied {
    /// The detail for the log: on one line, and of bounded length.
    pub fn logged(&self) -> Escaped<'_> {
        Escaped::new(&self.detail, DETAIL_BYTES_MAX)
    }
}

impl Denial {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::TokenRevoked,
        Self::KeysUnavailable,
        Self::SignatureMissing,
        Self::SignatureInvalid,
        Self::SignatureExpired,
        Self::SignatureReplayed,
        Self::SignatureNonces,
        Self::TicketMissing,
        Self::TicketInvalid,
    ];

    /// The stable word, for `openline-error-type` and for counting.
    pub fn label(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::KeysUnavailable => "token_keys_unavailable",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureInvalid => "signature_invalid",
            Self::SignatureExpired => "signature_expired",
            Self::SignatureReplayed => "signature_replayed",
            Self::SignatureNonces => "signature_nonces",
            Self::TicketMissing => "ticket_missing",
            Self::TicketInvalid => "ticket_invalid",
        }
    }

    /// The status of the answer: 401 where other credentials would help, 403
    /// where a signature is refused, as Function Compute does, and 503 where the
    /// host is to blame.
    pub fn status(self) -> u16 {
        match self {
            Self::KeysUnavailable | Self::SignatureNonces => 503,
            Self::SignatureInvalid | Self::SignatureExpired | Self::SignatureReplayed => 403,
            _ => 401,
        }
    }

    /// The value of `WWW-Authenticate`, which every 401 has (RFC 9110 section
    /// 11.6.1, RFC 6750 section 3).
    pub fn challenge(self) -> Option<&'static str> {
        match self {
            Self::TokenMissing => Some("Bearer realm=\"openline\""),
            Self::TokenInvalid => Some(
                "Bearer realm=\"openline\", error=\"invalid_token\", error_description=\"the token is not valid\"",
            ),
            Self::TokenExpired => Some(
                "Bearer realm=\"openline\", error=\"invalid_token\", error_description=\"the token has expired\"",
            ),
            Self::TokenRevoked => Some(
                "Bearer realm=\"openline\", error=\"invalid_token\", error_description=\"the token has been revoked\"",
            ),
            Self::SignatureMissing => Some("OPENLINE-HMAC-SHA256 realm=\"openline\""),
            Self::TicketMissing | Self::TicketInvalid => Some("Ticket realm=\"openline\""),
            _ => None,
        }
    }

    /// This denial with a text for the log.
    pub(crate) fn because(self, detail: impl ToString) -> Denied {
        Denied {
            denial: self,
            detail: detail.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_logged_on_one_line_and_up_to_its_bound() {
        let logged = |detail: &str| {
            let denied = Denial::TokenInvalid.because(detail);
            denied.logged().to_string()
        };
        assert_eq!(logged("no key `a\nb`"), "no key `a\\nb`");
        let most = "a".repeat(DETAIL_BYTES_MAX);
        assert_eq!(logged(&most), most);
        assert_eq!(
            logged(&format!("{most}b")),
            format!("{most}... (1 more bytes)")
        );
    }

    #[test]
    fn each_has_a_word_of_its_own_and_a_401_has_a_challenge() {
        let mut words: Vec<_> = Denial::ALL.iter().map(|it| it.label()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Denial::ALL.len());
        for denial in Denial::ALL {
            assert_eq!(denial.challenge().is_some(), denial.status() == 401);
            let challenge = denial.challenge().unwrap_or_default();
            assert!(http::HeaderValue::from_str(challenge).is_ok());
            if challenge.contains("error_description") {
                assert!(challenge.ends_with(&format!("=\"{denial}\"")), "{denial}");
            }
        }
    }
}
