//! Why one of our own requests fails, and the answer to that.

use openline_dialects::Answer;
use openline_dialects::rest::{ApiError, Missing};

use crate::Reply;
use crate::access::Denied;
use crate::body::BodyError;
use crate::publish::Fault;

/// Why a request fails.
#[derive(Debug)]
pub(crate) enum Failed {
    Fault(Fault),
    Error(ApiError),
    Body(BodyError),
    /// The path takes other methods.
    Method(&'static str),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Denied> for Failed {
    fn from(denied: Denied) -> Self {
        Self::Fault(Fault::Denied(denied))
    }
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<BodyError> for Failed {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl Failed {
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Fault(fault) => match fault.wait_s() {
                Some(wait_s) => Reply::Later(fault.ours().answer(), wait_s),
                None => fault.ours().answer().into(),
            },
            Self::Error(error) => error.answer().into(),
            Self::Body(error) => match error {
                BodyError::Large => ApiError::TooLarge.answer().into(),
                BodyError::Full => Reply::Later(ApiError::Full.answer(), 1),
                BodyError::Broken => ApiError::Malformed("it has broken off".to_owned())
                    .answer()
                    .into(),
                BodyError::Late => Answer {
                    status: 408,
                    ..ApiError::Malformed("it does not arrive in time".to_owned()).answer()
                }
                .into(),
            },
            Self::Method(allowed) => Answer {
                status: 405,
                header: Some(("allow", allowed)),
                ..ApiError::NotFound(Missing::Method).answer()
            }
            .into(),
        }
    }
}
