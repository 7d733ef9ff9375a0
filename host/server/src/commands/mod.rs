//! One file for each word of the command line.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod close_codes;
pub(crate) mod dev;
pub(crate) mod limits;
pub(crate) mod new;
pub(crate) mod run;
pub(crate) mod serve;
