//! The deployed functions of this host, and how they change: every change is
//! checked, then written, and only then made.
//!
//! All changes take the same steps: `plan` says what a function should become,
//! `prepare` loads its versions beside those that serve, and `apply` writes the
//! result and then serves it, which cannot fail. `start` does this for a whole
//! configuration, `deploy`, `operations` and `triggers` for one function.
//! Changes are made one at a time, but components are compiled before.

mod apply;
mod authenticators;
mod bare;
mod call_terms;
mod callers;
mod channels;
mod connections;
mod credentials;
mod deploy;
mod deployer;
mod drain;
mod error;
mod handlers;
mod identity;
mod keys;
mod managed;
mod operations;
mod options;
mod plan;
mod prepare;
pub mod schema;
mod secrets;
mod settle;
mod start;
mod stop;
mod triggers;
mod view;

pub use authenticators::check_secrets;
pub use deploy::Prepared;
pub use deployer::Deployer;
pub use error::{
    AuthenticationError, ChangeError, KeysError, OutboundError, SecretsError, StartError,
};
pub use handlers::{HandlerError, check_version};
pub use keys::{
    KeyOrigin, KeyState, KeyView, NewKeyView, RevokedKeyView, check_keys, configured_key_warnings,
    key_text,
};
pub use managed::Introduced;
pub use options::{ConnectionQuery, DeployOptions};
pub use secrets::read_secrets;
pub use start::{ConfiguredComponent, Reloaded};
pub use view::{
    AliasView, ChannelHandlerView, CompressedView, CompressionView, ConnectionPage, ConnectionView,
    DeployedView, FunctionView, InstanceView, RevokedView, TriggerSource, TriggerView, VersionView,
};
