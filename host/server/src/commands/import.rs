//! `openline import`: writes another system's configuration as ours, and says
//! what has no counterpart. Reads one file of a bounded size; writes only files
//! that do not exist.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use clap::{Args, Subcommand};
use openline_core::units::ByteSize;
use openline_hint::Hinted;

use super::import_azion::{self, AzionArguments};
use super::import_fc::{self, FcArguments};
use crate::causes;

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

/// Reads a text of at most `most`. `missing` is the hint for a file that is not
/// there, `too_large` that for one of more.
pub(super) fn read(
    path: &Path,
    most: ByteSize,
    missing: &'static str,
    too_large: &'static str,
) -> Result<String, Hinted> {
    let shown = path.display();
    let unread = |error: io::Error| {
        let hint = causes::of_reading(error.kind(), missing);
        Hinted::new(format!("{shown} cannot be read: {error}"), hint)
    };
    if let Some(cause) = causes::unreadable(path) {
        return Err(unread(cause.into()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unread)?;
    let mut file = file.take(most.0 + 1);
    file.read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > most.0 {
        let what = format!("{shown} has more than {most}");
        return Err(Hinted::new(what, too_large));
    }
    Ok(text)
}

/// Writes a new file. `existing` is the hint if there is one of the name.
pub(super) fn create(path: &Path, text: &str, existing: &'static str) -> Result<(), Hinted> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => existing,
            kind => causes::of_writing(kind),
        };
        let what = format!("{} cannot be written: {error}", path.display());
        Hinted::new(what, hint)
    })
}
