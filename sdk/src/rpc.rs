//! The result of a call that a peer makes by `rpc`.

use crate::raw::rpc_types;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RpcError {
    /// The function has no such method (Centrifugo's code 104).
    NoSuchMethod,
    /// An error of the function's own.
    Failed {
        /// 400 to 1999, which Centrifugo leaves to applications. With any other
        /// the peer gets an internal error.
        code: u32,
        /// What is wrong, for people.
        message: String,
        /// Whether to try again may help.
        temporary: bool,
    },
}

impl RpcError {
    /// An error of the function's own, which trying again does not mend. `code` is
    /// 400 to 1999.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self::Failed {
            code,
            message: message.into(),
            temporary: false,
        }
    }

    /// The same as one that trying again may mend.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        if let Self::Failed { temporary, .. } = &mut self {
            *temporary = true;
        }
        self
    }
}

impl From<RpcError> for rpc_types::RpcError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::NoSuchMethod => Self::NoSuchMethod,
            RpcError::Failed {
                code,
                message,
                temporary,
            } => Self::Failed(rpc_types::RpcFailure {
                code,
                message,
                temporary,
            }),
        }
    }
}
