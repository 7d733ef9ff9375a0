//! How a connection ended, as the handler receives it.

use crate::raw::types;

/// Why a connection ended, according to its close frame ([RFC 6455, section
/// 7.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.1)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseInfo {
    /// The close code. 1005 means that the peer's close frame had none, 1006
    /// that there was no close frame.
    pub code: u16,
    /// At most 123 bytes; may be empty.
    pub reason: String,
}

impl From<types::CloseInfoResult> for CloseInfo {
    fn from(info: types::CloseInfoResult) -> Self {
        Self {
            code: info.code,
            reason: info.reason,
        }
    }
}

/// The party that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseOrigin {
    /// The peer sent a close frame.
    Peer,
    /// This function called [`Connection::close`](crate::Connection::close).
    Function,
    /// The host closed it: a limit, a fault, a shutdown.
    Host,
    /// No close frame ever came: the network or the peer went away.
    Lost,
}

impl From<types::CloseOrigin> for CloseOrigin {
    fn from(origin: types::CloseOrigin) -> Self {
        match origin {
            types::CloseOrigin::Peer => Self::Peer,
            types::CloseOrigin::Function => Self::Function,
            types::CloseOrigin::Host => Self::Host,
            types::CloseOrigin::Lost => Self::Lost,
        }
    }
}
