//! Which handler a component exports.

pub(crate) use crate::stand_ins::exports;
