//! The configuration of a host in development: a file's, or that of one
//! function without a file, with what was built for development in the place
//! of what `openline build` makes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use openline_core::config::Config;

use super::Source;

/// The most versions of a function that are kept: nobody goes back to those of
/// an hour ago, and a component in development is some MiB.
const VERSIONS_MAX: u32 = 5;

/// Where the configuration comes from, and what is changed in it. Functions
/// whose component is not there yet wait for it.
#[derive(Clone, Debug)]
pub(crate) struct DevelopmentSource {
    /// A file or words.
    pub(crate) base: Box<Source>,
    /// In place of the configuration's, if it is given.
    pub(crate) listen: Option<SocketAddr>,
    /// What is built here, if anything is.
    pub(crate) built: Option<BuiltPaths>,
}

/// Where the component of the crate goes.
#[derive(Clone, Debug)]
pub(crate) struct BuiltPaths {
    /// Where `openline build` would put it, and where a configuration says
    /// that it is.
    pub(crate) release: PathBuf,
    /// Where it is in development.
    pub(crate) development: PathBuf,
}

impl DevelopmentSource {
    /// Reads and checks.
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        let mut config = self.base.read()?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        // What is tried out is nothing to keep, or to find again in a host
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
        Ok(config)
    }

    /// Files whose change is to be noticed: the configuration and the
    /// components that are made elsewhere.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let file = self.base.file().map(Path::to_owned);
        // One that is wrong names no components until it is put right.
        let functions = self.base.read().map(|config| config.functions);
        let components = functions.unwrap_or_default().into_iter();
        let built = self.built.as_ref().map(|built| real(&built.release));
        components
            .filter_map(|function| function.component)
            .filter(|component| Some(real(component)) != built)
            .chain(file)
            .collect()
    }
}

/// A path by which the same file has the same one, also when it is not there.
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
            let config = source.read().unwrap();
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
