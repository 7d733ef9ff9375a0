//! The configuration of a host in development: a file's, or one for a single
//! function without a file. Components that were built for development take the
//! place of those that `openline build` makes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Configured, Source};

/// The most versions of a function that are kept: versions of an hour ago are
/// of no use, and a component in development has some MiB.
const VERSIONS_MAX: u32 = 5;

/// Where the configuration comes from, and how it is changed. A function whose
/// component does not exist yet waits for it.
#[derive(Clone, Debug)]
pub(crate) struct DevelopmentSource {
    /// A file or the command line.
    pub(crate) base: Box<Source>,
    /// Replaces the configuration's address, if given.
    pub(crate) listen: Option<SocketAddr>,
    /// The crate that is built here, if there is one.
    pub(crate) built: Option<BuiltPaths>,
}

/// The paths of the crate's component.
#[derive(Clone, Debug)]
pub(crate) struct BuiltPaths {
    /// Where `openline build` would put it, which is the path in a
    /// configuration.
    pub(crate) release: PathBuf,
    /// Where `openline dev` puts it.
    pub(crate) development: PathBuf,
}

impl DevelopmentSource {
    /// Reads and checks the configuration.
    pub(crate) fn read(&self) -> anyhow::Result<Configured> {
        let mut read = self.base.read()?;
        let config = &mut read.config;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        // Deployments in development must not be kept, nor appear in a host
        // that serves.
        config.server.data = None;
        config.server.versions = config.server.versions.min(VERSIONS_MAX);
        for function in &mut config.functions {
            let Some(component) = &mut function.component else {
                continue;
            };
            if let Some(built) = &self.built
                && real(component) == real(&built.release)
            {
                component.clone_from(&built.development);
            }
            if !component.exists() {
                function.component = None;
            }
        }
        Ok(read)
    }

    /// Files to watch: the configuration, and components that are made
    /// elsewhere.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let file = self.base.file().map(Path::to_owned);
        // A configuration with errors names no components until it is
        // corrected.
        let functions = self.base.read().map(|read| read.config.functions);
        let components = functions.unwrap_or_default().into_iter();
        let built = self.built.as_ref().map(|built| real(&built.release));
        components
            .filter_map(|function| function.component)
            .filter(|component| Some(real(component)) != built)
            .chain(file)
            .collect()
    }
}

/// The same path for the same file, even if the file does not exist.
pub(crate) fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_built_here_takes_its_place_and_the_rest_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = "[[function]]\nname = \"mine\"\nroute = \"/mine\"\ncomponent = \"./out/mine.wasm\"\n\
                    [[function]]\nname = \"other\"\nroute = \"/other\"\ncomponent = \"other.wasm\"\n";
        fs::write(path("openline.toml"), text).unwrap();
        fs::create_dir_all(path("out/development")).unwrap();
        let source = DevelopmentSource {
            base: Box::new(Source::File(path("openline.toml"))),
            listen: Some("127.0.0.1:1".parse().unwrap()),
            built: Some(BuiltPaths {
                release: path("out/mine.wasm"),
                development: path("out/development/mine.wasm"),
            }),
        };
        let components = || {
            let config = source.read().unwrap().config;
            assert_eq!(config.server.listen.port(), 1);
            let functions = config.functions.into_iter();
            functions
                .map(|function| function.component)
                .collect::<Vec<_>>()
        };
        assert_eq!(components(), [None, None]);
        fs::write(path("out/development/mine.wasm"), "").unwrap();
        fs::write(path("other.wasm"), "").unwrap();
        let expected = [path("out/development/mine.wasm"), path("other.wasm")];
        assert_eq!(components(), expected.map(Some));
        let files: Vec<_> = source.files().iter().map(|file| real(file)).collect();
        assert_eq!(
            files,
            ["other.wasm", "openline.toml"].map(|name| real(&path(name)))
        );
    }
}
