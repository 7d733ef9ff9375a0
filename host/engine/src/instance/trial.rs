//! A trial finds a component that does not start, or whose types differ from
//! the contract, before a connection needs it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use super::enforce::enforce;
use super::program::Program;
use super::store;
use crate::component::error::LoadError;
use crate::component::failure::panic_words;
use crate::component::words;
use crate::contract::exports::{AsyncExports, PlainExports};
use crate::contract::handlers::CallStyle;

/// Makes one instance and drops it.
pub(crate) async fn run(program: &Arc<Program>) -> Result<(), LoadError> {
    let tried = AssertUnwindSafe(start(program)).catch_unwind();
    tried.await.unwrap_or_else(|panic| {
        let words = panic_words(&*panic);
        Err(LoadError::Host(format!("panic: {words}")))
    })
}

async fn start(program: &Arc<Program>) -> Result<(), LoadError> {
    let loaded = &program.loaded;
    let host = |error: wasmtime::Error| LoadError::Host(words::cause(&error));
    let (mut store, run) = store::new(program, None).map_err(host)?;
    let making = loaded.instantiate(&mut store);
    let instance = enforce(&run, program.limits.handler_timeout, making)
        .await
        .map_err(|failure| LoadError::Start(failure.describe_with_place()))?;
    let typed = match loaded.style {
        CallStyle::Plain => {
            let exports: wasmtime::Result<PlainExports> = loaded.exports(&mut store, &instance);
            exports.map(drop)
        }
        CallStyle::Async => {
            let exports: wasmtime::Result<AsyncExports> = loaded.exports(&mut store, &instance);
            exports.map(drop)
        }
    };
    typed.map_err(|error| LoadError::WrongTypes(words::cause(&error)))
}
