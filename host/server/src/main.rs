//! `openline`: the command. Parses, dispatches, and turns an error into a
//! message and an exit code: 64 for a wrong command line, 78 for a wrong
//! configuration, 3 when a running host refuses, 70 when the watchdog ends a
//! host, 1 for everything else that fails.

mod assemble;
mod causes;
mod certificates;
mod cli;
mod commands;
mod component;
mod connect;
mod dev;
mod firewalls;
mod hints;
mod host;
mod import;
mod key_sets;
mod listeners;
mod lists;
mod memory;
mod runtime;
mod signal;
mod telemetry;
mod threads;
mod warnings;
mod watchdog;

use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use openline_engine::compiler;

use crate::cli::{Arguments, Command};
use crate::signal::Signals;
use crate::telemetry::OutputError;
use crate::watchdog::Watchdog;

// mimalloc is made for many small allocations on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for a wrong command line, as in BSD's sysexits.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let unblocked = signal::unblock();
    let mut words = std::env::args_os().skip(1);
    // A host has started this process to compile a component, or to read the
    // host's stacks.
    match words.next() {
        Some(word) if word == compiler::WORD => return compiler::run(words),
        Some(word) if word == watchdog::WORD => return watchdog::run_stacks(words),
        _ => {}
    }
    let ended = match Arguments::try_parse() {
        Ok(arguments) => unblocked
            .context("signals cannot be unblocked")
            .and_then(|()| execute(arguments.command, arguments.log.as_deref())),
        Err(error) if error.use_stderr() => {
            telemetry::complain_of_usage(&error);
            return ExitCode::from(EXIT_USAGE);
        }
        // Help is data, not an error.
        Err(help) => telemetry::print(help.to_string().trim_end()).map_err(Into::into),
    };
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has closed it, as `head` does.
        Err(error) if is_unread(&error) => ExitCode::SUCCESS,
        // What only the command itself finds wrong with its words.
        Err(error) if error.is::<clap::Error>() => {
            if let Some(usage) = error.downcast_ref() {
                telemetry::complain_of_usage(usage);
            }
            ExitCode::from(EXIT_USAGE)
        }
        Err(error) => {
            telemetry::complain(&error);
            let code = commands::remote::exit_code(&error);
            ExitCode::from(code.unwrap_or_else(|| assemble::exit_code(&error)))
        }
    };
    telemetry::finish();
    code
}

/// Whether a command ended because the reader of its data has gone.
fn is_unread(error: &anyhow::Error) -> bool {
    let output = error.downcast_ref::<OutputError>();
    output.is_some_and(|error| error.0.kind() == ErrorKind::BrokenPipe)
}

fn execute(command: Command, log: Option<&str>) -> anyhow::Result<()> {
    if let Command::Serve(_) | Command::Run(_) | Command::Dev(_) = command {
        return host(command, log);
    }
    telemetry::start(log, None);
    match command {
        Command::New(arguments) => return commands::new::run(&arguments),
        Command::UpdateSdk(arguments) => return commands::update_sdk::run(&arguments),
        Command::Build(arguments) => {
            return commands::build::run(&arguments, commands::check::contract);
        }
        Command::Limits(arguments) => return commands::limits::run(&arguments),
        Command::Sign(arguments) => return commands::sign::run(&arguments),
        Command::CloseCodes(arguments) => return commands::close_codes::run(&arguments),
        Command::Firewall(arguments) => return commands::firewall::run(&arguments),
        Command::Import(arguments) => return commands::import::run(&arguments),
        _ => {}
    }
    runtime::run(runtime::new()?, async {
        match command {
            Command::Check(arguments) => commands::check::run(&arguments).await,
            Command::Bench(arguments) => commands::bench::run(&arguments).await,
            Command::Deploy(arguments) => commands::deploy::run(&arguments).await,
            Command::Promote(arguments) => commands::aliases::promote(&arguments).await,
            Command::Rollback(arguments) => commands::aliases::rollback(&arguments).await,
            Command::Functions(arguments) => commands::functions::functions(&arguments).await,
            Command::Versions(arguments) => commands::functions::versions(&arguments).await,
            Command::Aliases(arguments) => commands::aliases::aliases(&arguments).await,
            Command::Triggers(arguments) => commands::triggers::run(&arguments).await,
            Command::Ticket(arguments) => commands::credentials::ticket(&arguments).await,
            Command::Revoke(arguments) => commands::credentials::revoke(&arguments).await,
            Command::Keys(arguments) => commands::keys::run(&arguments).await,
            Command::Remove(arguments) => commands::remove::run(&arguments).await,
            Command::Connections(arguments) => commands::connections::connections(&arguments).await,
            Command::Send(arguments) => commands::connections::send(&arguments).await,
            Command::Close(arguments) => commands::connections::close(&arguments).await,
            Command::Publish(arguments) => commands::publish::run(&arguments).await,
            Command::Subscribe(arguments) => commands::subscribe::run(&arguments).await,
            Command::Channels(arguments) => commands::channels::channels(&arguments).await,
            Command::Presence(arguments) => commands::channels::presence(&arguments).await,
            Command::History(arguments) => commands::channels::history(&arguments).await,
            // Handled above, or by `host`.
            _ => Ok(()),
        }
    })
}

/// The commands that serve. Signals come first: until then a SIGHUP would kill.
fn host(command: Command, log: Option<&str>) -> anyhow::Result<()> {
    if matches!(command, Command::Serve(_) | Command::Run(_)) {
        // Before other threads use memory.
        memory::without_huge_pages();
    }
    let runtime = runtime::new()?;
    let signals = {
        let _within = runtime.enter();
        Signals::listen()?
    };
    telemetry::never_wait()?;
    if !matches!(command, Command::Dev(_)) {
        telemetry::start(log, None);
    }
    // The watchdog starts first, because a host can also hang while it starts.
    let watchdog = Watchdog::start(runtime.handle())?;
    runtime::run(runtime, async {
        match command {
            // `dev` sets up its own log.
            Command::Dev(arguments) => commands::dev::run(arguments, log, signals, watchdog).await,
            Command::Serve(arguments) => commands::serve::run(&arguments, signals, watchdog).await,
            Command::Run(arguments) => commands::run::run(&arguments, signals, watchdog).await,
            // Handled by `execute`.
            _ => Ok(()),
        }
    })
}
