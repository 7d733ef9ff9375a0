//! `wasi:logging/logging` (0.1.0-draft), which components for wasmCloud write to: each
//! call is a line in the host's log, like one of their standard output.
//!
//! Bounded like those lines, in length and number; see [`crate::instance::log`].

use wasmtime::component::{ComponentType, Lift, Linker};

use crate::instance::store::StoreData;

/// How the component judges its line. A function cannot raise the level of the host's
/// own log, so this is a field of the line.
#[derive(ComponentType, Lift, Clone, Copy, Debug)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "they are made by lifting")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Written by hand, because the interface is one function and no package of the contract.
pub(crate) fn add_to_linker(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    let mut logging = linker.instance("wasi:logging/logging@0.1.0-draft")?;
    logging.func_wrap(
        "log",
        |store, (level, context, message): (Level, String, String)| {
            let rate = &store.data().program.log_rate;
            rate.say(level.word(), &context, &message);
            Ok(())
        },
    )
}
