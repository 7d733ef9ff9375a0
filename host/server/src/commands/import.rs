//! `openline import`: writes another system's configuration as ours, and says
//! what has no counterpart.

use clap::{Args, Subcommand};

use super::import_azion::{self, AzionArguments};
use super::import_fc::{self, FcArguments};

/// The words after `openline import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    word: ImportWord,
}

#[derive(Debug, Subcommand)]
enum ImportWord {
    /// Write Azion's firewalls and network lists as ours.
    Azion(AzionArguments),
    /// Write the functions of Function Compute in an `s.yaml` as ours.
    Fc(FcArguments),
}

pub(crate) fn run(arguments: &ImportArguments) -> anyhow::Result<()> {
    match &arguments.word {
        ImportWord::Azion(arguments) => import_azion::run(arguments),
        ImportWord::Fc(arguments) => import_fc::run(arguments),
    }
}
