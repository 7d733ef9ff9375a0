//! Turns a Rust crate into a WebAssembly component that Openline can run.
//!
//! Two steps, each with its own errors: [`Toolchain`] finds (or installs) a
//! compiler with a wasm target, [`build`] has it compile a crate and makes a
//! component of what comes out. Whether the component implements Openline's
//! contract is for the host to check.
//!
//! Nothing here asks questions or reads the terminal, and every program that
//! may use the network while a toolchain is installed has a time limit.
//! Compiling itself is bounded by cargo alone.

mod bounded;
mod environment;
mod toolchain;

#[cfg(feature = "component")]
mod cargo;
#[cfg(feature = "component")]
mod compile;
#[cfg(feature = "component")]
mod component;
#[cfg(feature = "component")]
mod diagnostic;
#[cfg(feature = "component")]
mod error;
#[cfg(feature = "component")]
mod flags;
#[cfg(feature = "component")]
mod inputs;
#[cfg(feature = "component")]
mod sources;

pub use toolchain::{TARGET_VARIABLE, Target, Toolchain, ToolchainError};

#[cfg(feature = "component")]
pub use compile::{Built, Listener, Options, Profile, Said, build, build_told, build_workspace};
#[cfg(feature = "component")]
pub use component::ComponentError;
#[cfg(feature = "component")]
pub use diagnostic::{Diagnostic, Place, without_colours};
#[cfg(feature = "component")]
pub use error::BuildError;
#[cfg(feature = "component")]
pub use sources::Sources;
