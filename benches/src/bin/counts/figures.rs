//! The figures of each path, and the file that keeps the accepted ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// The cost of one message or one connection: see `paths`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    /// Pieces of memory that were asked for.
    pub(crate) allocations: f64,
    /// Their bytes.
    pub(crate) bytes: f64,
    /// Instructions outside of the kernel; none where valgrind is missing.
    pub(crate) instructions: Option<f64>,
}

/// The things besides the source that decide the number of instructions:
/// numbers are compared only where these are the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeWith {
    pub(crate) rustc: String,
    /// Architecture, system, and the vectors that the C library and the
    /// compiler of functions choose code by: valgrind shows a program one of
    /// three processors, depending on them.
    pub(crate) machine: String,
}

/// All figures and what they were made with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Counts {
    pub(crate) made_with: MadeWith,
    #[serde(default)]
    pub(crate) path: BTreeMap<String, Figures>,
}

impl MadeWith {
    /// The tools that made this program, and the machine that it runs on.
    pub(crate) fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        let vectors = if std::arch::is_x86_feature_detected!("avx2") {
            ", AVX2"
        } else {
            ", no AVX2"
        };
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = "";
        let (architecture, system) = (std::env::consts::ARCH, std::env::consts::OS);
        Self {
            rustc: env!("COUNTS_RUSTC").to_owned(),
            machine: format!("{architecture} {system}{vectors}"),
        }
    }
}

const HEAD: &str = "\
# What one message costs on the host's side (of `upgrade`: one connection; of
# `fan-out`: one message to all subscribers). A figure that becomes more than
# 10 % worse fails `make counts`. Written by `make counts-accept`; see
# benches/README.md, \"Counts, which CI judges\".
";

impl Counts {
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| {
            format!("{shown} cannot be read\nhint: run `make counts` in the repository's folder")
        })?;
        toml::from_str(&text).with_context(|| {
            format!("{shown} is not a file of counts\nhint: `make counts-accept` writes it anew")
        })
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, self.to_text())
            .with_context(|| format!("{} cannot be written", file.display()))
    }

    fn to_text(&self) -> String {
        let MadeWith { rustc, machine } = &self.made_with;
        let mut text = format!("{HEAD}\n[made-with]\nrustc = {rustc:?}\nmachine = {machine:?}\n");
        for (name, figures) in &self.path {
            let Figures {
                allocations, bytes, ..
            } = figures;
            // Writing to a string does not fail. As many digits as repeat.
            let _ = write!(
                text,
                "\n[path.{name:?}]\nallocations = {allocations:.2}\nbytes = {bytes:.0}.0\n"
            );
            if let Some(instructions) = figures.instructions {
                let _ = writeln!(text, "instructions = {instructions:.0}.0");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counts = Counts {
            made_with: MadeWith::here(),
            path: BTreeMap::from([
                (
                    "dispatch/plain/1".to_owned(),
                    Figures {
                        allocations: 1.25,
                        bytes: 10.0,
                        instructions: Some(12345.0),
                    },
                ),
                ("fan-out/1000".to_owned(), Figures::default()),
            ]),
        };
        let read: Counts = toml::from_str(&counts.to_text()).unwrap();
        assert_eq!(read, counts);
    }

    #[test]
    fn the_committed_counts_are_of_all_paths() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.toml");
        let counts = Counts::read(Path::new(file)).unwrap();
        let mut names: Vec<_> = crate::paths::PATHS.iter().map(|path| path.name).collect();
        names.sort_unstable();
        assert!(counts.path.keys().eq(names));
        assert!(counts.path.values().all(|it| it.instructions.is_some()));
    }
}
