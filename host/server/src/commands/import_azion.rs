//! `openline import azion`: writes Azion's firewalls and network lists as a
//! configuration, and a file for each long list. Reads one file of
//! [`FILE_BYTES_MAX`].

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use openline_core::units::ByteSize;
use openline_firewall::azion::{self, Imported};
use openline_hint::Hinted;

use super::import::{create, read};
use crate::causes;
use crate::telemetry::{print, tell};

/// The largest file: a document with a list of a million addresses.
const FILE_BYTES_MAX: ByteSize = ByteSize(64 << 20);

/// The name of the file that has the configuration.
const CONFIG_FILE: &str = "firewall.toml";

/// The hint if a file of the name is there.
const EXISTING: &str = "name another folder, or remove the file first";

const EXAMPLES: &str = "\
Examples:
  openline import azion azion.json
  openline import azion .edge/manifest.json --output imported";

/// What to import, and where to.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AzionArguments {
    /// The JSON of `azion.config`, of the CLI's manifest, or of the API
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A folder to write the configuration to, and a file for each long list
    /// [default: the configuration is printed]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &AzionArguments) -> anyhow::Result<()> {
    let text = read(
        &arguments.file,
        FILE_BYTES_MAX,
        "give the path of a file that you exported",
        "export the firewalls and the lists that you need",
    )?;
    let imported = azion::import(&text)?;
    for note in &imported.notes {
        tell(&note.to_string());
    }
    match &arguments.output {
        Some(folder) => write(folder, &imported)?,
        None if imported.files.is_empty() => print(imported.text.trim_end())?,
        None => {
            let what = format!("{} list(s) need files", imported.files.len());
            let hint = "name a folder for them with `--output`";
            return Err(Hinted::new(what, hint).into());
        }
    }
    Ok(())
}

fn write(folder: &Path, imported: &Imported) -> anyhow::Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => EXISTING,
            kind => causes::of_writing(kind),
        };
        let what = format!("{} cannot be written: {error}", folder.display());
        Hinted::new(what, hint)
    })?;
    let config = (CONFIG_FILE.to_owned(), imported.text.clone());
    for (name, text) in std::iter::once(&config).chain(&imported.files) {
        let path = folder.join(name);
        create(&path, text, EXISTING)?;
        print(&path.display().to_string())?;
    }
    Ok(())
}
