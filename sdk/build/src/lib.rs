//! Turns a Rust crate into a WebAssembly component that Openline can run.
//!
//! This takes two steps, each with its own errors: [`Toolchain`] finds (or
//! installs) a compiler with a wasm target, and [`build`] compiles a crate with
//! it and makes a component from the output. The host checks whether the
//! component implements Openline's contract.
//!
//! Nothing here asks questions or reads the terminal, and every program that
//! may use the network to install a toolchain has a time limit. Only cargo
//! bounds the compilation itself.

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
