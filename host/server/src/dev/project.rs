//! The project that `openline dev` builds and serves: the crate of a folder,
//! the functions of a configuration, or both.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use openline_build::{BuildError, Sources, Toolchain};
use openline_core::config::{Config, FunctionConfig, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_core::trigger::Methods;
use openline_hint::Hinted;

use super::build::Crate;
use super::watch::Plan;
use crate::assemble::Source;
use crate::assemble::development::DevelopmentSource;
use crate::telemetry::tell;

/// The name of a configuration that is found by itself.
const CONFIG: &str = "openline.toml";

/// The crate of a folder, and the functions beside it.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// `None` where only components of others are served.
    pub(crate) package: Option<Crate>,
    pub(crate) source: DevelopmentSource,
}

impl Project {
    /// Finds out what there is. Looks for a toolchain where there is a crate,
    /// and may install one, which takes as long as for `openline build`.
    pub(crate) fn find(
        directory: &Path,
        config: Option<&Path>,
        listen: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let found = directory.join(CONFIG);
        let config = match config {
            Some(config) => Some(config.to_owned()),
            None => found.is_file().then_some(found),
        };
        let has_manifest = directory.join("Cargo.toml").is_file();
        if !has_manifest && config.is_none() {
            let shown = directory.display();
            let what = format!("there is neither a `Cargo.toml` nor an `{CONFIG}` in `{shown}`");
            let hint = "name the folder of a crate, or make one with `openline new NAME`";
            bail!(Hinted::new(what, hint));
        }
        let package = if has_manifest {
            find_crate(directory, config.is_some())?
        } else {
            None
        };
        let base = match (&config, &package) {
            (Some(file), _) => Source::File(file.clone()),
            (None, Some(package)) => Source::Words(Box::new(alone(package)?)),
            (None, None) => bail!("there is nothing to serve"),
        };
        Ok(Self {
            source: DevelopmentSource {
                base: Box::new(base),
                listen,
                built: package.as_ref().map(|package| package.paths.clone()),
            },
            package,
        })
    }

    /// The files and folders to watch as things are now.
    pub(crate) fn plan(&self) -> Plan {
        let plan = Plan {
            files: self.source.files(),
            ..Plan::default()
        };
        let Some(package) = &self.package else {
            return plan;
        };
        match Sources::of(&package.directory, &package.toolchain) {
            Ok(sources) => Plan {
                packages: sources.folders,
                settings: sources.settings,
                partial: !sources.complete,
                target_directory: Some(sources.target_directory),
                ..plan
            },
            // A crate that cannot be read now is at least watched itself.
            Err(_) => Plan {
                packages: vec![package.directory.clone()],
                partial: true,
                ..plan
            },
        }
    }
}

fn find_crate(directory: &Path, has_config: bool) -> anyhow::Result<Option<Crate>> {
    let mut report = |progress: &str| tell(&format!("{progress} ..."));
    let toolchain = Toolchain::find_or_install(directory, &mut report)?;
    match Sources::of(directory, &toolchain) {
        Ok(sources) => Ok(Some(Crate::new(directory, toolchain, &sources))),
        // The configuration names components that are built elsewhere.
        Err(error @ (BuildError::NoPackage { .. } | BuildError::NoCdylib { .. })) if has_config => {
            tell(&format!("nothing is built here: {error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The configuration of a crate without one: its function at `/NAME`.
fn alone(package: &Crate) -> anyhow::Result<Config> {
    let name = FunctionName::new(&package.name).context("the crate's name is the function's")?;
    let route = Route::new(&format!("/{name}"))?;
    let component = Some(package.paths.release.clone());
    let mut function = FunctionConfig::new(name, component, route);
    for trigger in &mut function.triggers {
        trigger.methods = Methods::all();
    }
    Ok(Config {
        channels: Vec::new(),
        server: ServerConfig::default(),
        functions: vec![function],
        keys: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_nothing_to_serve_is_an_error_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let error = Project::find(folder.path(), None, None).unwrap_err();
        let text = crate::hints::explained(&error);
        assert!(text.contains("neither a `Cargo.toml` nor an"), "{text}");
        assert!(text.contains("\nhint: "), "{text}");
    }

    #[test]
    fn a_configuration_alone_is_served_and_watched() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[function]]\nname = \"f\"\nroute = \"/f\"\ncomponent = \"f.wasm\"\n";
        std::fs::write(folder.path().join(CONFIG), text).unwrap();
        let project = Project::find(folder.path(), None, None).unwrap();
        assert!(project.package.is_none());
        let plan = project.plan();
        assert_eq!(plan.packages.len(), 0);
        let expected = ["f.wasm", CONFIG].map(|name| folder.path().join(name));
        assert_eq!(plan.files, expected);
    }
}
