//! How a command tells of an error: what is wrong with all its causes, and the
//! hint of the first of them that has one.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use openline_build::{BuildError, ToolchainError};
use openline_control::StartError;
use openline_engine::LoadError;
use openline_hint::{Hint, Hinted};

use crate::assemble::ConfigFault;

/// A running host has understood what was asked and does not do it; the words are
/// the host's own.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Hinted);

/// The error and its hints, in the form that people see.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ConfigFault>() {
        // It may be about several things, each with a hint.
        Some(fault) => fault.explained(),
        None => {
            let hint = error.chain().find_map(hint_of);
            openline_hint::explained(format!("{error:#}"), hint.as_deref())
        }
    }
}

/// The hint of one cause: of each type with hints that a command may end with.
fn hint_of<'a>(cause: &'a (dyn Error + 'static)) -> Option<Cow<'a, str>> {
    fn of<'a, E: Error + Hint + 'static>(cause: &'a (dyn Error + 'static)) -> Option<Cow<'a, str>> {
        cause.downcast_ref::<E>()?.hint()
    }
    of::<Hinted>(cause)
        .or_else(|| of::<Refused>(cause))
        .or_else(|| of::<BuildError>(cause))
        .or_else(|| of::<ToolchainError>(cause))
        .or_else(|| of::<LoadError>(cause))
        .or_else(|| of::<StartError>(cause))
        .or_else(|| of::<openline_load::LoadError>(cause))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Refused {}

impl Hint for Refused {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.0.hint()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_hint_comes_last_whatever_is_said_around_it() {
        let error = anyhow::Error::new(Hinted::new("the disk is full", "make room"));
        assert_eq!(explained(&error), "the disk is full\nhint: make room");
        let error = Err::<(), _>(error).context("it was not written");
        let expected = "it was not written: the disk is full\nhint: make room";
        assert_eq!(explained(&error.unwrap_err()), expected);
        let error = LoadError::NotWasm;
        let expected = error.explained();
        assert_eq!(explained(&error.into()), expected);
        assert_eq!(explained(&anyhow::anyhow!("no more")), "no more");
    }
}
