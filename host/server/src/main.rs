//! `openline`: the command. Parses, dispatches, and turns an error into words
//! and an exit code: 64 for a wrong command line, 78 for a wrong
//! configuration, 3 when a running host refuses, 1 for everything else that
//! fails.

mod assemble;
mod causes;
mod cli;
mod commands;
mod component;
mod dev;
mod host;
mod memory;
mod signal;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;
use openline_engine::compiler;

use crate::cli::{Arguments, Command};

// Small allocations of many threads, over and over: what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A wrong command line, as in BSD's sysexits.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == compiler::WORD) {
        // A host has started this one to compile a component.
        return compiler::run(words);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output and is no error.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // Nobody is left to tell when even this cannot be written.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let log = arguments.log.as_deref();
    // It has another listener for the log.
    if !matches!(arguments.command, Command::Dev(_)) {
        telemetry::start(log, None);
    }
    match execute(arguments.command, log) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::complain(&error);
            let code = commands::remote::exit_code(&error);
            ExitCode::from(code.unwrap_or_else(|| assemble::exit_code(&error)))
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn execute(command: Command, log: Option<&str>) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => return commands::new::run(&arguments),
        Command::Build(arguments) => {
            return commands::build::run(&arguments, commands::check::contract);
        }
        Command::Limits(arguments) => return commands::limits::run(&arguments),
        Command::CloseCodes(arguments) => return commands::close_codes::run(&arguments),
        _ => {}
    }
    if matches!(command, Command::Serve(_) | Command::Run(_)) {
        // Before there are threads that touch memory of their own.
        memory::without_huge_pages();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(memory::before_parking)
        .build()?;
    let ended = runtime.block_on(async {
        match command {
            Command::Dev(arguments) => commands::dev::run(arguments, log).await,
            Command::Serve(arguments) => commands::serve::run(&arguments).await,
            Command::Run(arguments) => commands::run::run(&arguments).await,
            Command::Check(arguments) => commands::check::run(&arguments).await,
            Command::Bench(arguments) => commands::bench::run(&arguments).await,
            Command::Deploy(arguments) => commands::deploy::run(&arguments).await,
            Command::Promote(arguments) => commands::aliases::promote(&arguments).await,
            Command::Rollback(arguments) => commands::aliases::rollback(&arguments).await,
            Command::Functions(arguments) => commands::functions::functions(&arguments).await,
            Command::Versions(arguments) => commands::functions::versions(&arguments).await,
            Command::Aliases(arguments) => commands::aliases::aliases(&arguments).await,
            Command::Remove(arguments) => commands::remove::run(&arguments).await,
            Command::Connections(arguments) => commands::connections::connections(&arguments).await,
            Command::Send(arguments) => commands::connections::send(&arguments).await,
            Command::Close(arguments) => commands::connections::close(&arguments).await,
            // Handled above, without a runtime.
            Command::New(_) | Command::Build(_) | Command::Limits(_) | Command::CloseCodes(_) => {
                Ok(())
            }
        }
    });
    // Not waited for: a thread in guest code that computes, or in a compiler,
    // ends with the process.
    runtime.shutdown_background();
    ended
}
