//! `openline import fc`: writes the functions of an `s.yaml` of Serverless Devs
//! as a configuration. Reads one file of [`FILE_BYTES_MAX`].

use std::path::PathBuf;

use clap::Args;
use openline_core::units::ByteSize;
use openline_hint::Hinted;

use super::import::{create, read};
use crate::import;
use crate::telemetry::{print, tell};

/// The largest file: a thousand functions with their keys.
const FILE_BYTES_MAX: ByteSize = ByteSize(4 << 20);

/// The hint for a file that is not one.
const OTHER_FILE: &str = "give the path of an `s.yaml`";

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
    let text = read(&arguments.file, FILE_BYTES_MAX, OTHER_FILE, OTHER_FILE)?;
    let imported = import::fc(&text).map_err(|wrong| {
        let what = format!("{path}: line {}: {}", wrong.line, wrong.what);
        Hinted::new(what, wrong.hint)
    })?;
    for note in &imported.notes {
        tell(&format!("{path}: {note}"));
    }
    match &arguments.output {
        None => print(imported.text.trim_end())?,
        Some(output) => {
            let existing = "name another file, or remove this one first";
            create(output, &imported.text, existing)?;
            print(&output.display().to_string())?;
        }
    }
    Ok(())
}
