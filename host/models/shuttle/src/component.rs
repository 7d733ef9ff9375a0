//! Stand-ins for the code from which instances are made.

pub(crate) use crate::stand_ins::failure;
