//! `openline import fc`: writes the functions of an `s.yaml` of Serverless Devs
//! as a configuration. Reads one file of [`FILE_BYTES_MAX`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use openline_hint::Hinted;

use crate::causes;
use crate::import;
use crate::telemetry::{print, tell};

/// The largest file, in bytes: a thousand functions with their keys.
const FILE_BYTES_MAX: u64 = 4 << 20;

const EXAMPLES: &str = "\
Examples:
  openline import fc s.yaml
  openline import fc s.yaml --output openline.toml";

/// The words after `openline import fc`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FcArguments {
    /// The `s.yaml`, of edition 3
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file to write the configuration to, which must not exist
    /// [default: the configuration is printed]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &FcArguments) -> anyhow::Result<()> {
    let path = arguments.file.display();
    let imported = import::fc(&read(&arguments.file)?).map_err(|wrong| {
        let what = format!("{path}: line {}: {}", wrong.line, wrong.what);
        Hinted::new(what, wrong.hint)
    })?;
    for note in &imported.notes {
        tell(&format!("{path}: {note}"));
    }
    match &arguments.output {
        None => print(imported.text.trim_end())?,
        Some(output) => {
            write(output, &imported.text)?;
            print(&output.display().to_string())?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Hinted> {
    let shown = path.display();
    let unread = |error: io::Error| {
        let hint = causes::of_reading(error.kind(), "give the path of an `s.yaml`");
        Hinted::new(format!("{shown} cannot be read: {error}"), hint)
    };
    if let Some(cause) = causes::unreadable(path) {
        return Err(unread(cause.into()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unread)?;
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let hint = "give the path of an `s.yaml`";
        return Err(Hinted::new(format!("{shown} has more than 4 MiB"), hint));
    }
    Ok(text)
}

fn write(path: &Path, text: &str) -> Result<(), Hinted> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "name another file, or remove this one first",
            kind => causes::of_writing(kind),
        };
        let what = format!("{} cannot be written: {error}", path.display());
        Hinted::new(what, hint)
    })
}
