//! How the handlers of a component are called.

pub(crate) use crate::stand_ins::handlers;
