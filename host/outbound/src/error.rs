//! Why a call fails: one error for each cause that a function can tell apart, with
//! the word under which it is counted.
//!
//! The texts are for functions and for the log. They name the host that was
//! called, but no address that it has and none of the host's own: a function could
//! learn from it what is in the networks around.

use std::io;

/// Why a call has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// No entry of the configuration lists the destination.
    #[error("the function may not call {0}")]
    Denied(String),
    /// The host has no address that the function may call.
    #[error("the function may call {0}, but none of its addresses")]
    AddressDenied(String),
    /// The destination is an interface of this host that functions never call.
    #[error("no function may call the interfaces by which the host is operated")]
    OwnListener,
    /// The URL has no host, an unknown scheme, or can be read in two ways.
    #[error("the URL is none that can be called")]
    Url,
    /// The method is none for an ordinary request.
    #[error("the method cannot be used")]
    Method,
    /// The call has passed this host too often.
    #[error("the call goes in a circle")]
    Circle,
    /// The function has as many calls in flight as it may.
    #[error(
        "the function has as many calls in flight as `outbound_calls` of [function.limit] allows"
    )]
    CallLimit,
    /// The host has as many calls in flight as it may.
    #[error("the host has as many calls in flight as `outbound_calls` of [server] allows")]
    HostCallLimit,
    /// The name was not found in time.
    #[error("the host's name was not looked up in time")]
    LookupTimeout,
    /// The name was not found.
    #[error("the host's name was not found")]
    Lookup,
    /// The host was not reached in time.
    #[error("the host was not reached in time")]
    ConnectTimeout,
    /// Nothing listens there.
    #[error("the host refuses the connection")]
    Refused,
    /// There is no way to the host.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The host's certificate cannot be accepted.
    #[error("the host's certificate cannot be accepted: {0}")]
    Certificate(String),
    /// The host has ended the handshake, and says why.
    #[error("the host ends the TLS handshake: {name}")]
    TlsAlert {
        /// The number of the alert (RFC 8446 section 6).
        code: u8,
        /// Its name.
        name: String,
    },
    /// The host does not speak TLS as it should.
    #[error("the TLS handshake has failed: {0}")]
    Tls(String),
    /// The headers of the call are too large.
    #[error("the headers of the call have {0} bytes, more than `outbound_header_bytes`")]
    RequestHeaderBytes(u32),
    /// The body of the call is too large.
    #[error("the body of the call has more than `outbound_request_bytes`, {0}")]
    RequestBodyBytes(u64),
    /// The body of the call ended with an error of the function's.
    #[error("the body of the call was not finished")]
    RequestBody,
    /// The headers of the answer are too large.
    #[error("the headers of the answer have more than `outbound_header_bytes`")]
    ResponseHeaderBytes(Option<u32>),
    /// The body of the answer is too large.
    #[error("the body of the answer has more than `outbound_response_bytes`, {0}")]
    ResponseBodyBytes(u64),
    /// The answer did not begin in time.
    #[error("the host has not begun its answer within `outbound_head_timeout`")]
    HeadTimeout,
    /// The answer stopped in the middle.
    #[error("the host was silent for `outbound_silence_timeout` in its answer")]
    SilenceTimeout,
    /// The call took too long.
    #[error("the call has taken `outbound_time`")]
    TimeUp,
    /// The TCP connection ended before there was an answer.
    #[error("the host has closed the connection without an answer")]
    Terminated,
    /// The answer has no end.
    #[error("the answer has ended before its end")]
    Incomplete,
    /// The host wants to speak another protocol, which nobody asked for.
    #[error("the host switches to a protocol that nobody asked for")]
    Upgrade,
    /// The host does not speak HTTP as it should.
    #[error("the answer is not HTTP: {0}")]
    Protocol(String),
}

/// What of a call an error of the HTTP library is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until the head of the answer.
    Head,
    /// From then on.
    Body,
}

impl OutboundError {
    /// The word under which it is counted.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::AddressDenied(_) => "address_denied",
            Self::OwnListener => "own_listener",
            Self::Url => "url",
            Self::Method => "method",
            Self::Circle => "circle",
            Self::CallLimit => "outbound_calls",
            Self::HostCallLimit => "host_outbound_calls",
            Self::LookupTimeout => "lookup_timeout",
            Self::Lookup => "lookup",
            Self::ConnectTimeout => "outbound_connect_timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Certificate(_) => "certificate",
            Self::TlsAlert { .. } => "tls_alert",
            Self::Tls(_) => "tls",
            Self::RequestHeaderBytes(_) => "request_header_bytes",
            Self::RequestBodyBytes(_) => "outbound_request_bytes",
            Self::RequestBody => "request_body",
            Self::ResponseHeaderBytes(_) => "response_header_bytes",
            Self::ResponseBodyBytes(_) => "outbound_response_bytes",
            Self::HeadTimeout => "outbound_head_timeout",
            Self::SilenceTimeout => "outbound_silence_timeout",
            Self::TimeUp => "outbound_time",
            Self::Terminated => "terminated",
            Self::Incomplete => "incomplete",
            Self::Upgrade => "upgrade",
            Self::Protocol(_) => "protocol",
        }
    }

    /// What the operator can do about it; `None` where it is the function's or the
    /// other host's business.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Denied(_) => Some(
                "list it in `hosts` of [function.outbound], with its port if that is not the usual one",
            ),
            Self::AddressDenied(_) => Some(
                "if it is meant to be in a private network, write `{ host = …, private = true }` in `hosts`, or list the address or its network",
            ),
            Self::CallLimit => Some("raise `outbound_calls` in [function.limit]"),
            Self::HostCallLimit => Some("raise `outbound_calls` in [server]"),
            Self::Certificate(_) => Some(
                "name the file of the authority's certificate in `roots` of [function.outbound]",
            ),
            _ => None,
        }
    }

    /// Why a TCP connection is not made, or has ended.
    pub(crate) fn of_connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::ConnectTimeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Terminated,
            _ => Self::Unreachable,
        }
    }

    /// What an error of the HTTP library means.
    pub(crate) fn of_http(error: &hyper::Error, phase: Phase) -> Self {
        let ended = match phase {
            Phase::Head => Self::Terminated,
            Phase::Body => Self::Incomplete,
        };
        if error.is_parse_too_large() {
            return Self::ResponseHeaderBytes(None);
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return ended;
        }
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            if cause.is::<io::Error>() {
                return ended;
            }
            if let Some(cause) = cause.downcast_ref::<h2::Error>() {
                let is_end = cause.is_reset() || cause.is_go_away() || cause.is_io();
                return if is_end && cause.is_remote() || cause.is_io() {
                    ended
                } else {
                    Self::Protocol(cause.to_string())
                };
            }
            source = cause.source();
        }
        Self::Protocol(error.to_string())
    }
}
