//! The errors of wasi:http, which both of its versions have.

use std::fmt;
use std::io;

/// An error of HTTP, as wasi:http names them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The name was not resolved in time.
    DnsTimeout,
    /// The name was not resolved.
    DnsError {
        /// The DNS answer's code.
        rcode: Option<String>,
        /// The code of an extended DNS error.
        info_code: Option<u16>,
    },
    /// There is no such destination.
    DestinationNotFound,
    /// The destination is not available.
    DestinationUnavailable,
    /// The destination's address is prohibited.
    DestinationIpProhibited,
    /// There is no route to the destination's address.
    DestinationIpUnroutable,
    /// The connection was refused.
    ConnectionRefused,
    /// The connection has ended.
    ConnectionTerminated,
    /// The connection was not made in time.
    ConnectionTimeout,
    /// Nothing came in time.
    ConnectionReadTimeout,
    /// Nothing could be written in time.
    ConnectionWriteTimeout,
    /// Too many connections.
    ConnectionLimitReached,
    /// The TLS handshake has failed.
    TlsProtocolError,
    /// The certificate of the other end is not valid.
    TlsCertificateError,
    /// The other end has refused the TLS handshake.
    TlsAlertReceived {
        /// The alert's number.
        alert_id: Option<u8>,
        /// Its text.
        alert_message: Option<String>,
    },
    /// The request is denied.
    HttpRequestDenied,
    /// The request needs a length.
    HttpRequestLengthRequired,
    /// The body of the request has the wrong size.
    HttpRequestBodySize(Option<u64>),
    /// The method of the request is not valid.
    HttpRequestMethodInvalid,
    /// The URI of the request is not valid.
    HttpRequestUriInvalid,
    /// The URI of the request is too long.
    HttpRequestUriTooLong,
    /// The headers of the request are too large.
    HttpRequestHeaderSectionSize(Option<u32>),
    /// A header of the request is too large.
    HttpRequestHeaderSize(Option<FieldSize>),
    /// The trailers of the request are too large.
    HttpRequestTrailerSectionSize(Option<u32>),
    /// A trailer of the request is too large.
    HttpRequestTrailerSize(FieldSize),
    /// The response has ended too early.
    HttpResponseIncomplete,
    /// The headers of the response are too large.
    HttpResponseHeaderSectionSize(Option<u32>),
    /// A header of the response is too large.
    HttpResponseHeaderSize(FieldSize),
    /// The body of the response has the wrong size.
    HttpResponseBodySize(Option<u64>),
    /// The trailers of the response are too large.
    HttpResponseTrailerSectionSize(Option<u32>),
    /// A trailer of the response is too large.
    HttpResponseTrailerSize(FieldSize),
    /// The transfer coding of the response is not known.
    HttpResponseTransferCoding(Option<String>),
    /// The content coding of the response is not known.
    HttpResponseContentCoding(Option<String>),
    /// The response did not come in time.
    HttpResponseTimeout,
    /// The upgrade has failed.
    HttpUpgradeFailed,
    /// The other end does not keep to HTTP.
    HttpProtocolError,
    /// The request runs in a circle.
    LoopDetected,
    /// The host is configured wrongly.
    ConfigurationError,
    /// The host has failed.
    InternalError(Option<String>),
}

/// Which header or trailer is too large.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSize {
    /// Its name.
    pub name: Option<String>,
    /// Its size in bytes.
    pub bytes: Option<u32>,
}

impl ErrorCode {
    /// What is wrong, without details.
    fn text(&self) -> &'static str {
        match self {
            Self::DnsTimeout => "the name was not resolved in time",
            Self::DnsError { .. } => "the name was not resolved",
            Self::DestinationNotFound => "there is no such destination",
            Self::DestinationUnavailable => "the destination is not available",
            Self::DestinationIpProhibited => "the destination's address is prohibited",
            Self::DestinationIpUnroutable => "there is no route to the destination's address",
            Self::ConnectionRefused => "the connection was refused",
            Self::ConnectionTerminated => "the connection has ended",
            Self::ConnectionTimeout => "the connection was not made in time",
            Self::ConnectionReadTimeout => "nothing came in time",
            Self::ConnectionWriteTimeout => "nothing could be written in time",
            Self::ConnectionLimitReached => "too many connections",
            Self::TlsProtocolError => "the TLS handshake has failed",
            Self::TlsCertificateError => "the certificate of the other end is not valid",
            Self::TlsAlertReceived { .. } => "the other end has refused the TLS handshake",
            Self::HttpRequestDenied => "the request is denied",
            Self::HttpRequestLengthRequired => "the request needs a length",
            Self::HttpRequestBodySize(_) => "the body of the request has the wrong size",
            Self::HttpRequestMethodInvalid => "the method of the request is not valid",
            Self::HttpRequestUriInvalid => "the URI of the request is not valid",
            Self::HttpRequestUriTooLong => "the URI of the request is too long",
            Self::HttpRequestHeaderSectionSize(_) => "the headers of the request are too large",
            Self::HttpRequestHeaderSize(_) => "a header of the request is too large",
            Self::HttpRequestTrailerSectionSize(_) => "the trailers of the request are too large",
            Self::HttpRequestTrailerSize(_) => "a trailer of the request is too large",
            Self::HttpResponseIncomplete => "the response has ended too early",
            Self::HttpResponseHeaderSectionSize(_) => "the headers of the response are too large",
            Self::HttpResponseHeaderSize(_) => "a header of the response is too large",
            Self::HttpResponseBodySize(_) => "the body of the response has the wrong size",
            Self::HttpResponseTrailerSectionSize(_) => "the trailers of the response are too large",
            Self::HttpResponseTrailerSize(_) => "a trailer of the response is too large",
            Self::HttpResponseTransferCoding(_) => {
                "the transfer coding of the response is not known"
            }
            Self::HttpResponseContentCoding(_) => "the content coding of the response is not known",
            Self::HttpResponseTimeout => "the response did not come in time",
            Self::HttpUpgradeFailed => "the upgrade has failed",
            Self::HttpProtocolError => "the other end does not keep to HTTP",
            Self::LoopDetected => "the request runs in a circle",
            Self::ConfigurationError => "the host is configured wrongly",
            Self::InternalError(_) => "the host has failed",
        }
    }

    /// The nearest kind of error of the standard library.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::ConnectionRefused => io::ErrorKind::ConnectionRefused,
            Self::ConnectionTerminated => io::ErrorKind::ConnectionReset,
            Self::DnsTimeout
            | Self::ConnectionTimeout
            | Self::ConnectionReadTimeout
            | Self::ConnectionWriteTimeout
            | Self::HttpResponseTimeout => io::ErrorKind::TimedOut,
            Self::HttpResponseIncomplete => io::ErrorKind::UnexpectedEof,
            Self::HttpRequestDenied | Self::DestinationIpProhibited => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())?;
        match self {
            Self::DnsError {
                rcode: Some(detail),
                ..
            }
            | Self::TlsAlertReceived {
                alert_message: Some(detail),
                ..
            }
            | Self::HttpResponseTransferCoding(Some(detail))
            | Self::HttpResponseContentCoding(Some(detail))
            | Self::InternalError(Some(detail)) => write!(formatter, ": {detail}"),
            Self::HttpRequestBodySize(Some(bytes)) | Self::HttpResponseBodySize(Some(bytes)) => {
                write!(formatter, ": {bytes} bytes")
            }
            Self::HttpRequestHeaderSize(Some(field))
            | Self::HttpRequestTrailerSize(field)
            | Self::HttpResponseHeaderSize(field)
            | Self::HttpResponseTrailerSize(field) => match &field.name {
                Some(name) => write!(formatter, ": `{name}`"),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ErrorCode {}

/// Converts from the generated type of one version.
macro_rules! from_generated {
    ($version:ident) => {
        impl From<crate::raw::$version::types::FieldSizePayload> for FieldSize {
            fn from(raw: crate::raw::$version::types::FieldSizePayload) -> Self {
                Self {
                    name: raw.field_name,
                    bytes: raw.field_size,
                }
            }
        }

        impl From<crate::raw::$version::types::ErrorCode> for ErrorCode {
            fn from(raw: crate::raw::$version::types::ErrorCode) -> Self {
                use crate::raw::$version::types::ErrorCode as Raw;
                match raw {
                    Raw::DnsTimeout => Self::DnsTimeout,
                    Raw::DnsError(error) => Self::DnsError {
                        rcode: error.rcode,
                        info_code: error.info_code,
                    },
                    Raw::DestinationNotFound => Self::DestinationNotFound,
                    Raw::DestinationUnavailable => Self::DestinationUnavailable,
                    Raw::DestinationIpProhibited => Self::DestinationIpProhibited,
                    Raw::DestinationIpUnroutable => Self::DestinationIpUnroutable,
                    Raw::ConnectionRefused => Self::ConnectionRefused,
                    Raw::ConnectionTerminated => Self::ConnectionTerminated,
                    Raw::ConnectionTimeout => Self::ConnectionTimeout,
                    Raw::ConnectionReadTimeout => Self::ConnectionReadTimeout,
                    Raw::ConnectionWriteTimeout => Self::ConnectionWriteTimeout,
                    Raw::ConnectionLimitReached => Self::ConnectionLimitReached,
                    Raw::TlsProtocolError => Self::TlsProtocolError,
                    Raw::TlsCertificateError => Self::TlsCertificateError,
                    Raw::TlsAlertReceived(alert) => Self::TlsAlertReceived {
                        alert_id: alert.alert_id,
                        alert_message: alert.alert_message,
                    },
                    Raw::HttpRequestDenied => Self::HttpRequestDenied,
                    Raw::HttpRequestLengthRequired => Self::HttpRequestLengthRequired,
                    Raw::HttpRequestBodySize(detail) => Self::HttpRequestBodySize(detail),
                    Raw::HttpRequestMethodInvalid => Self::HttpRequestMethodInvalid,
                    Raw::HttpRequestUriInvalid => Self::HttpRequestUriInvalid,
                    Raw::HttpRequestUriTooLong => Self::HttpRequestUriTooLong,
                    Raw::HttpRequestHeaderSectionSize(detail) => {
                        Self::HttpRequestHeaderSectionSize(detail)
                    }
                    Raw::HttpRequestHeaderSize(field) => {
                        Self::HttpRequestHeaderSize(field.map(Into::into))
                    }
                    Raw::HttpRequestTrailerSectionSize(detail) => {
                        Self::HttpRequestTrailerSectionSize(detail)
                    }
                    Raw::HttpRequestTrailerSize(field) => {
                        Self::HttpRequestTrailerSize(field.into())
                    }
                    Raw::HttpResponseIncomplete => Self::HttpResponseIncomplete,
                    Raw::HttpResponseHeaderSectionSize(detail) => {
                        Self::HttpResponseHeaderSectionSize(detail)
                    }
                    Raw::HttpResponseHeaderSize(field) => {
                        Self::HttpResponseHeaderSize(field.into())
                    }
                    Raw::HttpResponseBodySize(detail) => Self::HttpResponseBodySize(detail),
                    Raw::HttpResponseTrailerSectionSize(detail) => {
                        Self::HttpResponseTrailerSectionSize(detail)
                    }
                    Raw::HttpResponseTrailerSize(field) => {
                        Self::HttpResponseTrailerSize(field.into())
                    }
                    Raw::HttpResponseTransferCoding(detail) => {
                        Self::HttpResponseTransferCoding(detail)
                    }
                    Raw::HttpResponseContentCoding(detail) => {
                        Self::HttpResponseContentCoding(detail)
                    }
                    Raw::HttpResponseTimeout => Self::HttpResponseTimeout,
                    Raw::HttpUpgradeFailed => Self::HttpUpgradeFailed,
                    Raw::HttpProtocolError => Self::HttpProtocolError,
                    Raw::LoopDetected => Self::LoopDetected,
                    Raw::ConfigurationError => Self::ConfigurationError,
                    Raw::InternalError(detail) => Self::InternalError(detail),
                }
            }
        }
    };
}

from_generated!(http_0_2);
from_generated!(http_0_3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{http_0_2, http_0_3};

    #[test]
    fn both_versions_say_the_same() {
        let field = http_0_2::types::FieldSizePayload {
            field_name: Some("x-large".to_owned()),
            field_size: Some(9),
        };
        let code = ErrorCode::from(http_0_2::types::ErrorCode::HttpResponseHeaderSize(field));
        assert_eq!(
            code.to_string(),
            "a header of the response is too large: `x-large`"
        );
        let alert = http_0_3::types::TlsAlertReceivedPayload {
            alert_id: Some(40),
            alert_message: Some("handshake failure".to_owned()),
        };
        let code = ErrorCode::from(http_0_3::types::ErrorCode::TlsAlertReceived(alert));
        assert_eq!(
            code.to_string(),
            "the other end has refused the TLS handshake: handshake failure"
        );
        let text = "no such host".to_owned();
        let (old, new) = (
            http_0_2::types::ErrorCode::InternalError(Some(text.clone())),
            http_0_3::types::ErrorCode::InternalError(Some(text)),
        );
        assert_eq!(ErrorCode::from(old), ErrorCode::from(new));
    }

    #[test]
    fn errors_have_the_kinds_of_the_standard_library() {
        assert_eq!(
            ErrorCode::ConnectionRefused.kind(),
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(ErrorCode::DnsTimeout.kind(), io::ErrorKind::TimedOut);
        assert_eq!(ErrorCode::LoopDetected.kind(), io::ErrorKind::Other);
    }
}
