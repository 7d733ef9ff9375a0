//! What instances are made of is stood in for.

pub(crate) use crate::stand_ins::failure;
