//! One file for each command.

pub(crate) mod aliases;
pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check;
mod client;
pub(crate) mod close_codes;
pub(crate) mod connections;
pub(crate) mod credentials;
pub(crate) mod deploy;
pub(crate) mod dev;
mod early;
pub(crate) mod functions;
pub(crate) mod import;
mod import_fc;
pub(crate) mod limits;
pub(crate) mod new;
pub(crate) mod remote;
pub(crate) mod remove;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sign;
mod table;
pub(crate) mod triggers;
pub(crate) mod trust;
pub(crate) mod update_sdk;
mod workspace;
