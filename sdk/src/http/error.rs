//! Why a body or a call out has failed.

use std::fmt;
use std::io;

use super::ErrorCode;

/// Why a body was not read or written, or a call out not made.
///
/// It becomes an [`io::Error`] by `?`, and comes back out of one, so bodies can be
/// given to code that reads and writes with [`std::io`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The host, the network or the other end has failed.
    Failed(ErrorCode),
    /// The body has more bytes than the caller reads.
    TooLong {
        /// The caller's bound.
        bytes_max: usize,
    },
    /// Nobody reads what is written: the peer has left.
    Gone,
    /// The body was to be text, and is not UTF-8.
    NotText,
    /// A request or response cannot be sent as it is; the text says why.
    Invalid(String),
    /// An error of the function's own code, as text.
    Other(String),
}

impl Error {
    /// An error of the function's own: with it, the writer of a streamed body breaks
    /// the answer off.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(code) => code.fmt(formatter),
            Self::TooLong { bytes_max } => {
                write!(formatter, "the body has more than {bytes_max} bytes")
            }
            Self::Gone => formatter.write_str("the peer has left"),
            Self::NotText => formatter.write_str("the body is not UTF-8"),
            Self::Invalid(text) | Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Failed(code)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Gone => io::ErrorKind::BrokenPipe,
            Error::NotText | Error::TooLong { .. } => io::ErrorKind::InvalidData,
            Error::Invalid(_) => io::ErrorKind::InvalidInput,
            Error::Failed(code) => code.kind(),
            Error::Other(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Other(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_an_io_error() {
        for error in [
            Error::Gone,
            Error::NotText,
            Error::TooLong { bytes_max: 3 },
            Error::Failed(ErrorCode::ConnectionTimeout),
            Error::other("mine"),
        ] {
            let io = io::Error::from(error.clone());
            assert_eq!(io.to_string(), error.to_string());
            assert_eq!(Error::from(io), error);
        }
        assert_eq!(
            io::Error::from(Error::Gone).kind(),
            io::ErrorKind::BrokenPipe
        );
        let strange = io::Error::other("strange");
        assert_eq!(Error::from(strange), Error::Other("strange".to_owned()));
    }
}
