//! The shape of the command line; `commands` has what each command does.

use clap::{Parser, Subcommand};

use crate::commands::aliases::{AliasesArguments, PromoteArguments, RollbackArguments};
use crate::commands::bench::BenchArguments;
use crate::commands::build::BuildArguments;
use crate::commands::channels::{ChannelsArguments, HistoryArguments, PresenceArguments};
use crate::commands::check::CheckArguments;
use crate::commands::close_codes::CloseCodesArguments;
use crate::commands::connections::{CloseArguments, ConnectionsArguments, SendArguments};
use crate::commands::credentials::{RevokeArguments, TicketArguments};
use crate::commands::deploy::DeployArguments;
use crate::commands::dev::DevArguments;
use crate::commands::firewall::FirewallArguments;
use crate::commands::functions::{FunctionsArguments, VersionsArguments};
use crate::commands::import::ImportArguments;
use crate::commands::keys::KeysArguments;
use crate::commands::limits::LimitsArguments;
use crate::commands::new::NewArguments;
use crate::commands::publish::PublishArguments;
use crate::commands::remove::RemoveArguments;
use crate::commands::run::RunArguments;
use crate::commands::serve::ServeArguments;
use crate::commands::sign::SignArguments;
use crate::commands::subscribe::SubscribeArguments;
use crate::commands::triggers::TriggersArguments;
use crate::commands::update_sdk::UpdateSdkArguments;

/// Serverless WebSockets: holds connections open and runs functions, compiled
/// to WebAssembly components, behind them.
#[derive(Debug, Parser)]
#[command(
    name = "openline",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    /// What to log, such as `info` or `openline_gateway=debug`.
    #[arg(long, global = true, env = "OPENLINE_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build, serve and watch a crate while it is written.
    Dev(DevArguments),
    /// Run functions without a configuration, each at /NAME.
    Run(RunArguments),
    /// Serve the functions of a configuration file.
    Serve(ServeArguments),
    /// Check a configuration file and its components without serving.
    Check(CheckArguments),
    /// Write a crate for a new function.
    New(NewArguments),
    /// Give a crate the SDK of this release, in place of the copy that it has.
    UpdateSdk(UpdateSdkArguments),
    /// Compile a crate to a component and check it.
    Build(BuildArguments),
    /// Send a component to a running host: a new version of a function.
    Deploy(DeployArguments),
    /// Give all connections of an alias to its canary, or to a version.
    Promote(PromoteArguments),
    /// Point an alias to where it pointed before.
    Rollback(RollbackArguments),
    /// List the functions of a running host.
    Functions(FunctionsArguments),
    /// List the versions of a function.
    Versions(VersionsArguments),
    /// List the aliases of a function, or point one to versions by weight.
    Aliases(AliasesArguments),
    /// List the triggers of a function; make, change or remove one.
    Triggers(TriggersArguments),
    /// Make a ticket, which opens one connection.
    Ticket(TicketArguments),
    /// Revoke tokens, and close the connections that were opened with them.
    Revoke(RevokeArguments),
    /// Make, list and revoke API keys, which callers from outside show.
    Keys(KeysArguments),
    /// Sign a request, or make a pre-signed URL.
    Sign(SignArguments),
    /// Remove a version, an alias, or a function that was deployed.
    Remove(RemoveArguments),
    /// List open connections.
    Connections(ConnectionsArguments),
    /// Send a message to a connection's peer.
    Send(SendArguments),
    /// Close a connection.
    Close(CloseArguments),
    /// Publish on a channel of a running host.
    Publish(Box<PublishArguments>),
    /// Print what is published on channels.
    Subscribe(SubscribeArguments),
    /// List channels.
    Channels(ChannelsArguments),
    /// List the subscribers of a channel.
    Presence(PresenceArguments),
    /// List the publications that a channel keeps.
    History(HistoryArguments),
    /// Ask the rules of a configuration about a described request.
    Firewall(FirewallArguments),
    /// Write another system's configuration as ours.
    Import(ImportArguments),
    /// Measure an echo over WebSocket.
    Bench(BenchArguments),
    /// List every limit: its default, its range, what happens past it.
    Limits(LimitsArguments),
    /// List how connections end: reasons, codes, whether to reconnect.
    CloseCodes(CloseCodesArguments),
}
