//! Why a component cannot be a function, and what its author can do about it.

use std::borrow::Cow;

use openline_hint::Hint;

use crate::contract::handlers::{
    ASYNC_CHANNEL, ASYNC_FIREWALL, ASYNC_HTTP, ASYNC_WEBSOCKET, CHANNEL, FIREWALL, HTTP, WEBSOCKET,
};

/// Why a component cannot be a function.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Larger than the host's `component_bytes`.
    #[error("the component has {bytes} bytes, more than {most} (component_bytes)")]
    TooBig {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Compiling it takes longer than the host's `compile_timeout`.
    #[error("compiling the component takes longer than {0:?} (compile_timeout)")]
    CompileTimeout(std::time::Duration),
    /// Compiling it takes more address space than `compile_memory_bytes`.
    #[error("compiling the component takes more memory than {0} bytes (compile_memory_bytes)")]
    CompileMemory(usize),
    /// The compiler ended without an answer.
    #[error("the compiler ended before it was done: {0}")]
    CompilerEnded(String),
    /// It is made of more parts than a component may have.
    #[error("the component has more than {most} {what}")]
    TooComplex {
        /// The limit.
        most: u64,
        /// The parts counted. Those of nested components count as often as they
        /// are instantiated.
        what: &'static str,
    },
    /// It instantiates a component or a core module that is passed to it.
    #[error("the component instantiates a component or a core module that it does not contain")]
    NotContained,
    /// Each instance takes more places than the host has.
    #[error(
        "an instance of the component takes {needed} places for its memories, tables and stacks, more than {most} (instances)"
    )]
    TooManyPlaces {
        /// How many places an instance takes.
        needed: u32,
        /// The host's `instances`.
        most: u32,
    },
    /// Not WebAssembly at all.
    #[error("this is not a WebAssembly file")]
    NotWasm,
    /// A module that was not made into a component.
    #[error("this is a core module, not a component")]
    CoreModule,
    /// Damaged or cut off.
    #[error("the component is damaged: {0}")]
    Damaged(String),
    /// It exports no handler.
    #[error(
        "the component exports no WebSocket handler (`{WEBSOCKET}` or `{ASYNC_WEBSOCKET}`), none of HTTP (`{HTTP}` or `{ASYNC_HTTP}`), none of the firewall (`{FIREWALL}` or `{ASYNC_FIREWALL}`) and none of channels (`{CHANNEL}` or `{ASYNC_CHANNEL}`); it exports {0}"
    )]
    NoHandler(String),
    /// It exports a handler in both call styles.
    #[error("the component exports both handlers, and the host cannot tell which to call")]
    BothHandlers,
    /// It exports something of the contract that the host does not call: of another
    /// version, or in the other call style.
    #[error("the component exports {0}, which this host does not call")]
    NotCalled(String),
    /// A function of its handler has another signature than the contract's.
    #[error("the component's handler does not have the contract's types: {0}")]
    WrongTypes(String),
    /// It imports something that this host does not have.
    #[error("the component imports something that this host does not have: {0}")]
    UnknownImport(String),
    /// The compiler refuses it.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// A trial instance could not be made.
    #[error("the component does not start: {0}")]
    Start(String),
    /// The system gives the host no address space for an engine.
    #[error("the host gets no address space for instances: {0}")]
    AddressSpace(String),
    /// The system forbids the host to make memory executable.
    #[error("the host may not make memory executable: {0}")]
    NotExecutable(String),
    /// The host could not do its part.
    #[error("the host cannot prepare the component: {0}")]
    Host(String),
}

impl LoadError {
    /// Whether the component is made for another version of the contract, as one
    /// is that was built with the SDK of another release.
    pub fn is_of_another_contract(&self) -> bool {
        match self {
            Self::NoHandler(exports) => {
                let packages = ["websocket/", "firewall/", "channels/"];
                let mut packages = packages.iter().map(|it| format!("openline:{it}"));
                packages.any(|package| exports.contains(&package))
            }
            Self::WrongTypes(_) => true,
            _ => false,
        }
    }
}

impl Hint for LoadError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::TooBig { .. } => "build in release mode and strip it, or raise the limit",
            Self::CompileTimeout(_) => "split the component, or raise the limit",
            Self::CompileMemory(_) => "split the component, or raise the limit",
            Self::CompilerEnded(_) => "build it again; if it stays, report it with the component",
            Self::TooComplex { .. } => {
                "compose it of fewer parts; what toolchains make stays far below this"
            }
            Self::NotContained => "compose components by their instances, as `wac plug` does",
            Self::TooManyPlaces { .. } => {
                "build it with fewer memories and tables, or raise the limit"
            }
            Self::NotWasm | Self::Damaged(_) => "build it again with `openline build`",
            Self::CoreModule => "`openline build` makes the component from it",
            Self::NoHandler(_) if self.is_of_another_contract() => {
                "it is made for another version of the contract: build it with the SDK of this release"
            }
            Self::NoHandler(_) => {
                "export a handler with `openline_sdk::export!`, a firewall function with `openline_sdk::export_firewall!`, or a handler of channels with `openline_sdk::export_channel_handler!`"
            }
            Self::NotCalled(_) => {
                "export all interfaces in the version of this release, and those for the kind of its handler: build it with the SDK of this release"
            }
            Self::BothHandlers => "export one handler of each kind, plain or asynchronous",
            Self::WrongTypes(_) => "build it with the SDK of this release",
            Self::UnknownImport(_) => {
                "a function may import version 0.2 of openline:websocket, openline:channels, openline:alarms and openline:state, wasi 0.2 with wasi:http, wasi:config 0.2.0-rc.1 and wasi:logging 0.1.0-draft, an asynchronous one also wasi 0.3; to wait for an outbox, plain handlers have `block_until_writable` and asynchronous ones `writable`"
            }
            Self::Compile(_) => "build it again; if it stays, report it with the component",
            Self::Start(_) => "look for code that runs before the first call, and at memory_bytes",
            Self::AddressSpace(_) => {
                "lift the limit on the host's address space (`ulimit -v`, systemd's `LimitAS`, `vm.overcommit_memory = 2`), or lower `instances`: each reserves 16 GiB of addresses, which take no memory"
            }
            Self::NotExecutable(_) => {
                "the host writes the code that it runs: allow that with `MemoryDenyWriteExecute=no` in its systemd unit, with SELinux's `execmem`, or in whatever else hardens it"
            }
            Self::Host(_) => {
                "this is about the host, not about the component: mend what the message names and try again"
            }
        };
        Some(hint.into())
    }
}
