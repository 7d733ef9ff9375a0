//! What instances can be made of: a component that is compiled, linked and
//! tried, and why one cannot be a function.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use openline_core::fault::Fault;
use openline_core::limits::{MEMORIES_MAX, TABLES_MAX};
use wasmtime::component::{
    Component, ComponentExportIndex, Instance, InstancePre, Resource, TypedFunc,
};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

use crate::bindings::{MessageOwned, MessageRef, types};
use crate::capacity;
use crate::inspect::{Contract, HandlerKind};
use crate::store::{Handle, StoreData};
use crate::ticker::Ticker;
use crate::words;

pub(crate) const PLAIN: &str = "openline:websocket/websocket-handler@0.1.0";
pub(crate) const ASYNCHRONOUS: &str = "openline:websocket/async-websocket-handler@0.1.0";
const PLAIN_ALARM: &str = "openline:websocket/alarm-handler@0.1.0";
const ASYNCHRONOUS_ALARM: &str = "openline:websocket/async-alarm-handler@0.1.0";
const HIBERNATION: &str = "openline:websocket/hibernation-handler@0.1.0";

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
    #[error("the component is not compiled after {0:?} (compile_timeout)")]
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
        /// What is counted; of nested components as often as they are
        /// instantiated.
        what: &'static str,
    },
    /// It instantiates a component or a core module that it is given.
    #[error("the component instantiates a component or a core module that it does not contain")]
    NotContained,
    /// Each instance takes more places than there are.
    #[error(
        "an instance of the component takes {needed} places for its memories, tables and stacks, more than {most} (instances)"
    )]
    TooManyPlaces {
        /// What an instance takes.
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
    #[error("the component exports neither `{PLAIN}` nor `{ASYNCHRONOUS}`; it exports {0}")]
    NoHandler(String),
    /// It exports both handlers.
    #[error("the component exports both handlers, and the host cannot tell which to call")]
    BothHandlers,
    /// A function of its handler has another signature than the contract's.
    #[error("the component's handler does not have the contract's types: {0}")]
    WrongTypes(String),
    /// It needs something that this host does not have.
    #[error("the component needs an import that is not there: {0}")]
    UnknownImport(String),
    /// The compiler refuses it.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// A trial instance could not be made.
    #[error("the component does not start: {0}")]
    Start(String),
    /// There is no address space for an engine.
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
    /// What its author can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
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
            Self::NoHandler(_) => "export a handler with `openline_sdk::export!`",
            Self::BothHandlers => "export one handler in each crate",
            Self::WrongTypes(_) => "build it with the SDK of this release",
            Self::UnknownImport(_) => {
                "a function may import openline:websocket 0.1 and wasi 0.2, an asynchronous one also wasi 0.3; to wait for an outbox, plain handlers have `block_until_writable` and asynchronous ones `writable`"
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
        }
    }
}

/// A component that instances can be made of.
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    pub(crate) kind: HandlerKind,
    pub(crate) metered: bool,
    /// What an instance takes of the host's `instances`.
    pub(crate) places: u32,
    pre: InstancePre<StoreData>,
    indices: Indices,
    /// Kept as long as there is a function: without it nothing stops a guest.
    _ticker: Arc<Ticker>,
}

struct Indices {
    upgrade: ComponentExportIndex,
    open: ComponentExportIndex,
    messages: ComponentExportIndex,
    close: ComponentExportIndex,
    alarm: Option<ComponentExportIndex>,
    hibernate: Option<ComponentExportIndex>,
}

type Connection = Resource<Handle>;
pub(crate) type Decision = Result<types::Acceptance, types::Rejection>;

/// The exports of one instance, `M` being how it takes messages.
pub(crate) struct Exports<M: 'static> {
    pub(crate) upgrade: TypedFunc<(types::UpgradeRequest,), (Decision,)>,
    pub(crate) open: TypedFunc<(Connection,), ()>,
    pub(crate) messages: TypedFunc<(Connection, M), ()>,
    pub(crate) close: TypedFunc<(Connection, types::CloseInfo, types::CloseOrigin), ()>,
    pub(crate) alarm: Option<AlarmExport>,
    pub(crate) hibernate: Option<TypedFunc<(), ()>>,
}

/// Connection, name, attempt.
type AlarmExport = TypedFunc<(Option<Connection>, String, u32), ()>;

pub(crate) type PlainExports = Exports<&'static [MessageRef<'static>]>;
pub(crate) type AsyncExports = Exports<Vec<MessageOwned>>;

impl Loaded {
    pub(crate) fn new(
        component: &Component,
        pre: InstancePre<StoreData>,
        contract: &Contract,
        metered: bool,
        ticker: Arc<Ticker>,
    ) -> Result<Self, LoadError> {
        let kind = contract.handler;
        let (interface, alarms) = match kind {
            HandlerKind::Plain => (PLAIN, PLAIN_ALARM),
            HandlerKind::Async => (ASYNCHRONOUS, ASYNCHRONOUS_ALARM),
        };
        let optional = |interface: &str, name: &str| {
            let handler = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&handler), name)
        };
        let find = |name: &str| {
            component
                .get_export_index(None, interface)
                .and_then(|handler| component.get_export_index(Some(&handler), name))
                .ok_or_else(|| LoadError::WrongTypes(format!("`{name}` is missing")))
        };
        let indices = Indices {
            upgrade: find("upgrade")?,
            open: find("open")?,
            messages: find("messages")?,
            close: find("close")?,
            alarm: optional(alarms, "alarm"),
            hibernate: optional(HIBERNATION, "hibernate"),
        };
        Ok(Self {
            engine: component.engine().clone(),
            kind,
            metered,
            places: places(component, contract),
            pre,
            indices,
            _ticker: ticker,
        })
    }

    /// Whether it has a handler for alarms.
    pub(crate) fn takes_alarms(&self) -> bool {
        self.indices.alarm.is_some()
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<StoreData>,
    ) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    pub(crate) fn exports<M>(
        &self,
        store: &mut Store<StoreData>,
        instance: &Instance,
    ) -> wasmtime::Result<Exports<M>>
    where
        (Connection, M): wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
    {
        Ok(Exports {
            upgrade: instance.get_typed_func(&mut *store, self.indices.upgrade)?,
            open: instance.get_typed_func(&mut *store, self.indices.open)?,
            messages: instance.get_typed_func(&mut *store, self.indices.messages)?,
            close: instance.get_typed_func(&mut *store, self.indices.close)?,
            alarm: match self.indices.alarm {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            hibernate: match self.indices.hibernate {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
        })
    }

    /// Makes one instance and throws it away: what does not start, or has
    /// other types, is found before a connection needs it.
    pub(crate) async fn try_out(
        &self,
        shared: &Arc<crate::store::Shared>,
    ) -> Result<(), LoadError> {
        let tried = AssertUnwindSafe(self.try_start(shared)).catch_unwind();
        tried.await.unwrap_or_else(|panic| {
            let words = panic_words(&*panic);
            Err(LoadError::Host(format!("panic: {words}")))
        })
    }

    async fn try_start(&self, shared: &Arc<crate::store::Shared>) -> Result<(), LoadError> {
        let host = |error: wasmtime::Error| LoadError::Host(words::cause(&error));
        let (mut store, run) = crate::store::new(self, shared, None).map_err(host)?;
        let instance = crate::calls::enforce(&run, shared, self.instantiate(&mut store))
            .await
            .map_err(|failure| LoadError::Start(failure.describe_with_place()))?;
        let typed = match self.kind {
            HandlerKind::Plain => {
                let exports: wasmtime::Result<PlainExports> = self.exports(&mut store, &instance);
                exports.map(drop)
            }
            HandlerKind::Async => {
                let exports: wasmtime::Result<AsyncExports> = self.exports(&mut store, &instance);
                exports.map(drop)
            }
        };
        typed.map_err(|error| LoadError::WrongTypes(words::cause(&error)))
    }
}

/// How many places an instance takes.
fn places(component: &Component, contract: &Contract) -> u32 {
    let (memories, tables) = match component.resources_required() {
        Some(resources) => (resources.num_memories, resources.num_tables),
        // Only with modules from elsewhere, and `inspect` refuses those.
        None => {
            let most = |most: u64| u32::try_from(most).unwrap_or(u32::MAX);
            (most(MEMORIES_MAX), most(TABLES_MAX))
        }
    };
    let stacks = match contract.handler {
        HandlerKind::Plain => 1,
        // One for each call that waits, and one for what runs beside them.
        HandlerKind::Async => contract.lifting.saturating_add(1),
    };
    capacity::places(memories, tables, stacks)
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A call that did not return: which limit or what else, and the details for
/// the log.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) cause: Option<wasmtime::Error>,
}

impl Failure {
    /// The host's own code has panicked.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let cause = wasmtime::Error::msg(format!("panic: {}", panic_words(panic)));
        Self {
            fault: Fault::Host,
            cause: Some(cause),
        }
    }

    /// The engine's pools had no room: nothing that the function did.
    pub(crate) fn is_no_room(&self) -> bool {
        let cause = self.cause.as_ref();
        cause.is_some_and(|cause| cause.is::<PoolConcurrencyLimitError>())
    }

    /// On one line.
    pub(crate) fn describe(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{} ({})", self.fault.reason(), words::cause(cause)),
            None => self.fault.reason().into(),
        }
    }

    /// The same, with the innermost functions of the backtrace.
    fn describe_with_place(&self) -> String {
        let functions = self.cause.as_ref().and_then(words::innermost);
        match functions {
            Some(functions) => format!("{}, in {functions}", self.describe()),
            None => self.describe(),
        }
    }

    /// Where guest code was, on lines of their own.
    pub(crate) fn backtrace(&self) -> Option<String> {
        self.cause.as_ref().and_then(words::backtrace)
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self {
            fault: crate::budget::fault_of(&error),
            cause: Some(error),
        }
    }
}

/// What a panic says.
fn panic_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}
