//! What is deployed on this host, and how that changes: every change is
//! checked, written, and only then done.
//!
//! All go one way: `plan` says what is to become of a function, `prepare`
//! loads its versions beside what serves, and `apply` writes it and has it
//! serve, which cannot fail any more. `start` does so for a whole
//! configuration, `deploy` and `operations` for one function. Changes are
//! made one after the other; compiling is done before.

mod apply;
mod connections;
mod deploy;
mod deployer;
mod drain;
mod error;
mod identity;
mod managed;
mod operations;
mod options;
mod plan;
mod prepare;
pub mod schema;
mod settle;
mod start;
mod stop;
mod view;

pub use deploy::Prepared;
pub use deployer::Deployer;
pub use error::{ChangeError, StartError};
pub use options::{ConnectionQuery, DeployOptions};
pub use start::{ConfiguredComponent, Reloaded};
pub use view::{
    AliasView, ConnectionPage, ConnectionView, DeployedView, FunctionView, InstanceView, RouteView,
    VersionView,
};
