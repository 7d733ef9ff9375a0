//! Why a connection could not be opened, in a person's words, with a hint.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use openline_hint::Hint;
use tokio_rustls::rustls;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;

/// Characters of a refusal's body that are shown.
const BODY_CHARACTERS_MAX: usize = 200;

/// Too many open files in the process, and in the system: the same numbers on
/// every Unix, without an [`io::ErrorKind`] of their own.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Why a connection could not be opened.
#[derive(Debug)]
pub enum ConnectFailure {
    /// TCP or the handshake took longer than allowed.
    TimedOut(Duration),
    /// The server answered the handshake with an ordinary HTTP response.
    Refused {
        /// Its status.
        status: u16,
        /// The start of its body.
        body: String,
    },
    /// Too many open files, here.
    OpenFiles,
    /// No local port is left for this server.
    Ports,
    /// The server's certificate is not accepted.
    Certificate(String),
    /// The TLS handshake failed otherwise.
    Tls(String),
    /// The network failed.
    Io(io::Error),
    /// The other end answered, but does not speak WebSocket.
    Protocol(String),
}

impl ConnectFailure {
    /// Why a TLS handshake has failed.
    pub(crate) fn of_tls(error: io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        match cause {
            Some(rustls::Error::InvalidCertificate(problem)) => {
                Self::Certificate(problem.to_string())
            }
            Some(other) => Self::Tls(other.to_string()),
            None => error.into(),
        }
    }

    /// A name for counting, the same for failures of one cause.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::TimedOut(_) => "connect: timed out".to_owned(),
            Self::Refused { status, .. } => format!("connect: HTTP {status}"),
            Self::OpenFiles => "connect: too many open files".to_owned(),
            Self::Ports => "connect: no local port left".to_owned(),
            Self::Certificate(_) => "connect: certificate not accepted".to_owned(),
            Self::Tls(_) => "connect: no TLS handshake".to_owned(),
            Self::Io(error) => format!("connect: {}", error.kind()),
            Self::Protocol(_) => "connect: no WebSocket handshake".to_owned(),
        }
    }
}

impl Hint for ConnectFailure {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::TimedOut(_) => "is this the right port, and does the server respond at all?",
            Self::Refused { status, .. } => return refusal_hint(*status).map(Cow::Borrowed),
            Self::OpenFiles => "raise the limit with `ulimit -n`, or open fewer connections",
            Self::Ports => "widen `net.ipv4.ip_local_port_range`, or open fewer connections",
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "no server listens there; `openline run COMPONENT` starts one"
            }
            Self::Certificate(_) => {
                "trust the authority that has issued it with `--ca FILE`, or any certificate with `--insecure`"
            }
            Self::Tls(_) => {
                "does the server speak TLS there? without it the URL begins with `ws://`"
            }
            Self::Io(_) => return None,
            Self::Protocol(_) => "is this the port of a WebSocket server?",
        };
        Some(hint.into())
    }
}

fn refusal_hint(status: u16) -> Option<&'static str> {
    Some(match status {
        200..=299 => "this is an ordinary page; give the path of a function",
        300..=399 => "redirects are not followed; give the address it leads to",
        401 | 403 => "the handshake may need credentials: `--header 'Authorization: ...'`",
        404 => "no function is at this path; the component NAME.wasm is at /NAME by default",
        429 | 503 => "the server has reached a limit; ask for fewer connections or raise it",
        _ => return None,
    })
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(formatter, "no answer within {limit:?}"),
            Self::Refused { status, body } if body.is_empty() => {
                write!(formatter, "the handshake was refused with HTTP {status}")
            }
            Self::Refused { status, body } => {
                write!(
                    formatter,
                    "the handshake was refused with HTTP {status}: {body}"
                )
            }
            Self::OpenFiles => formatter.write_str("too many open files"),
            Self::Ports => formatter.write_str("no local port is left"),
            Self::Certificate(problem) => {
                write!(
                    formatter,
                    "the server's certificate is not accepted: {problem}"
                )
            }
            Self::Tls(problem) => write!(formatter, "no TLS handshake: {problem}"),
            Self::Io(error) => error.fmt(formatter),
            Self::Protocol(problem) => write!(formatter, "no WebSocket handshake: {problem}"),
        }
    }
}

impl From<io::Error> for ConnectFailure {
    fn from(error: io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (Some(EMFILE | ENFILE), _) if cfg!(unix) => Self::OpenFiles,
            (_, io::ErrorKind::AddrNotAvailable) => Self::Ports,
            _ => Self::Io(error),
        }
    }
}

impl From<Error> for ConnectFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            Error::Http(response) => Self::Refused {
                status: response.status().as_u16(),
                body: body_start(&response),
            },
            Error::Protocol(ProtocolError::HandshakeIncomplete) => {
                Self::Protocol("the connection was closed before an answer".to_owned())
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// The start of the body, one printable line.
fn body_start(response: &Response) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    text.trim()
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(BODY_CHARACTERS_MAX)
        .collect()
}
