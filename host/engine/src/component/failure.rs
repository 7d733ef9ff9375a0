//! A call that did not return: its fault, and its description for the log.

use std::any::Any;

use openline_core::fault::Fault;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::words;

/// A limit was passed inside guest code. This travels through wasmtime as the
/// trap's cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spent {
    #[error("cpu_timeout is spent")]
    Cpu,
    #[error("memory_bytes would be exceeded")]
    Memory,
}

/// A call that did not return: the fault, such as a limit, and the details for
/// the log.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) cause: Option<wasmtime::Error>,
}

impl Failure {
    /// The failure when the host's own code has panicked.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let cause = wasmtime::Error::msg(format!("panic: {}", panic_words(panic)));
        Self {
            fault: Fault::Host,
            cause: Some(cause),
        }
    }

    /// Whether the engine's pools had no room, which is not the function's
    /// fault.
    pub(crate) fn is_no_room(&self) -> bool {
        let cause = self.cause.as_ref();
        cause.is_some_and(|cause| cause.is::<PoolConcurrencyLimitError>())
    }

    /// Describes it on one line.
    pub(crate) fn describe(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{} ({})", self.fault.reason(), words::cause(cause)),
            None => self.fault.reason().into(),
        }
    }

    /// The same, with the innermost functions of the backtrace.
    pub(crate) fn describe_with_place(&self) -> String {
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
            fault: fault_of(&error),
            cause: Some(error),
        }
    }
}

/// The message of a panic.
pub(crate) fn panic_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// The fault that ended guest code: a limit, or something else.
fn fault_of(error: &wasmtime::Error) -> Fault {
    match error.downcast_ref::<Spent>() {
        Some(Spent::Cpu) => return Fault::CpuTimeout,
        Some(Spent::Memory) => return Fault::Memory,
        None => {}
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Fault::Stack,
        Some(Trap::OutOfFuel) => Fault::Fuel,
        // Errors without a trap code come from host functions that refuse what
        // the guest passed: a full handle table, too many bytes.
        _ => Fault::Trap,
    }
}
