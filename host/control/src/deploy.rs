//! A deploy: a component becomes a version, and an alias moves to it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use openline_core::affinity::Affinity;
use openline_core::component::Component;
use openline_core::config::FunctionConfig;
use openline_core::deployment::{Deployed, Deployment};
use openline_core::event::UpgradeRequest;
use openline_core::inspection::Inspection;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::alias::Alias;
use openline_engine::version::{InspectError, UpgradeError, Version};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::deployer::Deployer;
use crate::error::ChangeError;
use crate::managed::Managed;
use crate::options::DeployOptions;
use crate::plan::{NewVersion, Plan, config_for};
use crate::prepare::{Changing, Versions};
use crate::view::DeployedView;

/// A component that is compiled and tried, but not yet deployed.
#[derive(Debug)]
pub struct Prepared {
    name: FunctionName,
    component: Component,
    options: DeployOptions,
    /// The component was compiled for this configuration.
    config: FunctionConfig,
    version: Arc<Version>,
}

impl Deployer {
    /// Makes a version of a component and points an alias to it.
    pub async fn deploy(
        &self,
        name: &FunctionName,
        component: Component,
        options: DeployOptions,
    ) -> Result<DeployedView, ChangeError> {
        let prepared = self.prepare(name, component, options).await?;
        self.deploy_prepared(prepared).await
    }

    /// Compiles and tries a component. This is the long part of a deploy; it
    /// waits for no other change and changes nothing. Dropping it kills the
    /// compiler.
    pub async fn prepare(
        &self,
        name: &FunctionName,
        component: Component,
        options: DeployOptions,
    ) -> Result<Prepared, ChangeError> {
        self.is_open()?;
        let before = self.managed(name).ok();
        let config = config_for(name, before.as_deref(), &options)?;
        let version = self.load(&config, &component, before.as_deref()).await?;
        if options.probe {
            self.probe(&config, &component).await?;
        }
        Ok(Prepared {
            name: name.clone(),
            component,
            options,
            config,
            version,
        })
    }

    /// Points an alias to a prepared component.
    pub async fn deploy_prepared(&self, prepared: Prepared) -> Result<DeployedView, ChangeError> {
        let Prepared {
            name,
            component,
            options,
            config: compiled_for,
            version,
        } = prepared;
        let name = &name;
        let loader = &self.inner.loader;
        let guard = self.lock_changes().await?;
        let before = self.managed(name).ok();
        let config = config_for(name, before.as_deref(), &options)?;
        let commons = loader.commons(&config.name);
        // The component was compiled for this configuration.
        let stale = compiled_for != config || !Arc::ptr_eq(version.commons(), &commons);
        let version = if stale {
            self.load(&config, &component, before.as_deref()).await?
        } else {
            version
        };
        let mut record = match &before {
            Some(before) => before.record.clone(),
            None => self.record_of(name, &config).await?,
        };
        let deployed = enter(&mut record, &config, &version, &component, &options)?;
        let most = self.inner.state.read().server.versions as usize;
        let removed = record.trim(most, |digest| commons.connections_of(*digest) > 0);
        self.keep_component(component, &guard).await?;
        let digest = version.digest();
        let plan = Plan {
            config,
            configured: before.as_ref().is_some_and(|before| before.configured),
            record,
            loaded: Some(version),
        };
        let managed = self.adopt(plan, before.as_deref(), &guard).await?;
        for digest in removed {
            self.forget_component(&digest, &guard).await;
        }
        let alias = managed.record.alias(&options.alias);
        tracing::info!(function = %name, version = digest.short(), alias = %options.alias, "deployed");
        Ok(DeployedView {
            version: digest,
            version_is_new: deployed.version_is_new,
            alias_moved: deployed.alias_moved,
            alias: managed.alias_view(alias.ok_or(ChangeError::NoFunction(name.clone()))?),
            in_memory: self.inner.in_memory,
        })
    }

    /// The deployment of a function that is not served: empty, or as it was
    /// when the function left the configuration.
    async fn record_of(
        &self,
        name: &FunctionName,
        config: &FunctionConfig,
    ) -> Result<Deployment, ChangeError> {
        let stored = self.stored(name).await?;
        let mut record = stored.unwrap_or_else(|| Deployment::new(name.clone(), None));
        record.set_route(config.route().cloned());
        Ok(record)
    }

    /// Compiles and tries a component, unless a version that serves has it.
    async fn load(
        &self,
        config: &FunctionConfig,
        component: &Component,
        before: Option<&Managed>,
    ) -> Result<Arc<Version>, ChangeError> {
        let none = Versions::new();
        let known = before.map_or(&none, |before| &before.versions);
        let loader = &self.inner.loader;
        Ok(loader.version(&Changing, config, component, known).await?)
    }

    /// Asks the function about a made-up connection, and a firewall function about a
    /// made-up request. The function may accept or refuse it, but has to answer.
    async fn probe(
        &self,
        config: &FunctionConfig,
        component: &Component,
    ) -> Result<(), ChangeError> {
        let version = self.inner.loader.load_alone(config, component).await?;
        let parameters = config.route().map_or(&[][..], Route::parameters).iter();
        let mut headers = vec![("host".into(), b"localhost".to_vec())];
        let mut uri = "/probe".to_owned();
        match &config.instance.affinity {
            Some(Affinity::Header(name)) => headers.push((name.clone(), b"probe".to_vec())),
            Some(Affinity::Query(name)) => {
                let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
                uri += &format!("?{name}=probe");
            }
            _ => {}
        }
        let inspection = Inspection {
            method: "GET".into(),
            scheme: "http".into(),
            host: Some("localhost".into()),
            path: "/probe".into(),
            query: None,
            headers: headers.clone(),
            peer: Ipv4Addr::LOCALHOST.into(),
            peer_port: Some(1),
            tls: None,
            id: "probe".into(),
            target: None,
            claims: None,
        };
        let request = UpgradeRequest {
            method: "GET".into(),
            uri,
            headers,
            peer: "127.0.0.1:1".into(),
            subprotocols: Vec::new(),
            route_params: parameters
                .map(|name| (name.clone(), "probe".into()))
                .collect(),
            tls: None,
            claims: None,
            sticky: Some("probe".into()),
            claim: Some("probe".into()),
        };
        let commons = Arc::clone(version.commons());
        let (upgrades, inspects) = (version.takes_connections(), version.takes_inspections());
        let alias = Alias::to(version);
        let answered = match upgrades {
            true => alias.upgrade(request).await.map(drop),
            false => Ok(()),
        };
        let inspected = match inspects {
            true => alias.inspect(inspection).await.map(drop),
            false => Ok(()),
        };
        // The probe's instance takes one of the host's places, which others may
        // need.
        commons.stop();
        commons.ended().await;
        if let Err(InspectError::Fault(fault)) = inspected {
            return Err(ChangeError::Probe(fault.reason().into()));
        }
        match answered {
            Ok(()) => Ok(()),
            Err(error @ (UpgradeError::Fault(_) | UpgradeError::Invalid(_))) => {
                Err(ChangeError::Probe(error.to_string()))
            }
            // A lack of room is not the component's fault.
            Err(_) => Ok(()),
        }
    }
}

/// Enters a version into a record with the options of the deploy.
fn enter(
    record: &mut Deployment,
    config: &FunctionConfig,
    version: &Version,
    component: &Component,
    options: &DeployOptions,
) -> Result<Deployed, ChangeError> {
    if record.route().is_some() {
        record.set_route(config.route().cloned());
    }
    let new = NewVersion {
        note: options.note.clone(),
        weight: options.weight,
        migration: options.migration,
        ..NewVersion::of(component, version, &options.alias)
    };
    let deployed = new.enter(record)?;
    if options.drain_connections_per_second.is_some() {
        record.set_drain_pace(&options.alias, options.drain_connections_per_second)?;
    }
    Ok(deployed)
}
