//! `openline import azion`: writes another system's configuration as ours, and
//! says what has no counterpart. Reads one file of a bounded size; writes only
//! files that do not exist.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use openline_firewall::azion::{self, Imported};
use openline_hint::Hinted;

use crate::causes;
use crate::telemetry::{print, tell};

/// The largest file, in bytes: a document with a list of a million addresses.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The name of the file that has the configuration.
const CONFIG_FILE: &str = "firewall.toml";

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
    let imported = azion::import(&read(&arguments.file)?)?;
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

fn read(path: &Path) -> Result<String, Hinted> {
    let shown = path.display();
    let unread = |error: std::io::Error| {
        let hint = causes::of_reading(error.kind(), "give the path of a file that you exported");
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
        let hint = "export the firewalls and the lists that you need";
        return Err(Hinted::new(format!("{shown} has more than 64 MiB"), hint));
    }
    Ok(text)
}

fn write(folder: &Path, imported: &Imported) -> anyhow::Result<()> {
    let unwritten = |path: &Path, error: &std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "name another folder, or remove the file first",
            kind => causes::of_writing(kind),
        };
        Hinted::new(
            format!("{} cannot be written: {error}", path.display()),
            hint,
        )
    };
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let config = (CONFIG_FILE.to_owned(), imported.text.clone());
    for (name, text) in std::iter::once(&config).chain(&imported.files) {
        let path = folder.join(name);
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| unwritten(&path, &error))?;
        print(&path.display().to_string())?;
    }
    Ok(())
}
