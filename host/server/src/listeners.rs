//! Opens the listeners of a host: the admin interface, probes, publishers and
//! challenges. What cannot be opened is said with the key that chooses it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use openline_admin::{Admin, AdminOptions, Page};
use openline_core::config::{AdminListen, Listener, ServerConfig, admin_port};
use openline_gateway::listen;
use openline_hint::{Hint, Hinted};
use tokio::net::TcpListener;

use crate::causes;
use crate::telemetry::tell;

/// Opens the admin interface, unless it is off. If the configuration does not
/// choose its address and the usual port is taken, the host still starts.
pub(crate) fn open_admin(
    page: &Arc<Page>,
    server: &ServerConfig,
    listen: SocketAddr,
) -> anyhow::Result<Option<(SocketAddr, Admin)>> {
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let (wanted, asked) = match server.admin {
        AdminListen::Off => return Ok(None),
        AdminListen::At(address) => (address, true),
        // A free port has no corresponding admin port.
        AdminListen::Beside if server.listen.port() == 0 => (loopback(0), false),
        AdminListen::Beside => (loopback(admin_port(listen.port())), false),
    };
    let listener = match listen::bind(wanted) {
        Ok(listener) => listener,
        // Probably another host has the port, so use a free one.
        Err(error) if !asked && error.kind() == ErrorKind::AddrInUse => {
            let listener = listen::bind(loopback(0))?;
            let address = listener.local_addr()?;
            let scheme = match server.has_tls(Listener::Admin) {
                true => "https",
                false => "http",
            };
            let what = format!(
                "{wanted} is taken: the admin interface is at {address} until this host ends"
            );
            let hint = format!(
                "commands find it with `--admin {scheme}://{address}`; choose a lasting address with `admin` in [server]"
            );
            tell(&Hinted::new(what, hint).explained());
            listener
        }
        Err(error) if asked => {
            let what = "the admin interface cannot listen on";
            return Err(unheard(what, wanted, &error, "`admin` in [server]"));
        }
        Err(error) => {
            tracing::warn!(%wanted, %error, "no admin interface: choose its address with `admin`");
            return Ok(None);
        }
    };
    let address = listener.local_addr()?;
    let options = AdminOptions {
        component_bytes: server.component_bytes,
        listen,
    };
    Ok(Some((
        address,
        Admin::new(listener, Arc::clone(page), options)?,
    )))
}

/// Opens the listener of probes, if one is configured.
pub(crate) fn open_probes(server: &ServerConfig) -> anyhow::Result<Option<TcpListener>> {
    let Some(wanted) = server.probes else {
        return Ok(None);
    };
    let listener = listen::bind(wanted).map_err(|error| {
        unheard(
            "cannot answer probes on",
            wanted,
            &error,
            "`probes` in [server]",
        )
    })?;
    Ok(Some(listener))
}

/// Opens the listener of publishers, if one is configured.
pub(crate) fn open_publishers(server: &ServerConfig) -> anyhow::Result<Option<TcpListener>> {
    let Some(wanted) = server.api.listen else {
        return Ok(None);
    };
    let listener = listen::bind(wanted).map_err(|error| {
        let key = "`listen` in [server.api]";
        unheard("cannot take publishers on", wanted, &error, key)
    })?;
    Ok(Some(listener))
}

/// Opens the listener for challenges, if one is configured.
pub(crate) fn open_challenges(server: &ServerConfig) -> anyhow::Result<Option<TcpListener>> {
    let Some(wanted) = server.acme_listen else {
        return Ok(None);
    };
    let listener = listen::bind(wanted).map_err(|error| {
        let key = "`acme_listen` in [server]";
        unheard("cannot answer challenges on", wanted, &error, key)
    })?;
    let address = listener.local_addr()?;
    tell(&format!(
        "challenges at http://{address}/.well-known/acme-challenge/"
    ));
    Ok(Some(listener))
}

/// The settings that choose where connections are accepted.
pub(crate) const LISTEN: &str = "`--listen`, or `listen` in [server]";

pub(crate) fn unheard(
    what: &str,
    address: SocketAddr,
    error: &io::Error,
    key: &str,
) -> anyhow::Error {
    let hint = causes::of_listening(error.kind(), address, key);
    Hinted::new(format!("{what} {address}: {error}"), hint).into()
}
