//! A host in this process with its admin interface, and plain HTTP to ask it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use openline_admin::{Admin, AdminOptions};
use openline_core::config::ServerConfig;
use openline_engine::runtime::Runtime;
use openline_gateway::listen;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::exchange::{self, Answer};
use crate::host::{Host, HostBuilder};
use crate::within;

/// A running host with an admin interface; both stop accepting when it is
/// dropped.
#[derive(Debug)]
pub struct AdminHost {
    host: Host,
    /// Where the admin interface listens.
    pub admin: SocketAddr,
    serving: JoinHandle<()>,
}

/// How the admin interface is to be.
#[derive(Debug)]
pub struct AdminBuilder {
    host: HostBuilder,
    component_bytes: usize,
}

impl AdminHost {
    /// A host with one function: `component` is a path, as of
    /// `openline_guests::ECHO`.
    pub fn with(component: &str, route: &str) -> AdminBuilder {
        AdminBuilder {
            host: Host::with(component, route),
            component_bytes: ServerConfig::default().component_bytes,
        }
    }

    /// Asks as a program on this machine does.
    pub async fn ask(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Answer {
        let asking = exchange::ask(self.admin, method, path, body);
        within("an answer of the admin interface", asking)
            .await
            .unwrap()
    }

    /// Asks with JSON.
    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let body = Some(("application/json", body.as_bytes()));
        self.ask(method, path, body).await
    }

    /// Sends a head without its last line, a body, and reads the answer.
    pub async fn exchange(&self, head: &str, body: &[u8]) -> Answer {
        let asking = exchange::with_head(self.admin, head, body);
        within("an answer of the admin interface", asking)
            .await
            .unwrap()
    }
}

impl Deref for AdminHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Drop for AdminHost {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl AdminBuilder {
    /// Has it ask for a token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.host = self
            .host
            .server(|server| server.admin_token = Some(token.into()));
        self
    }

    /// Bounds the components that it takes, in bytes.
    #[must_use]
    pub fn component_bytes(mut self, bytes: usize) -> Self {
        self.component_bytes = bytes;
        self
    }

    /// Changes the host and its function.
    #[must_use]
    pub fn host(mut self, change: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        self.host = change(self.host);
        self
    }

    /// Starts the host and its admin interface.
    pub async fn start(self) -> AdminHost {
        let host = self.host.start().await;
        administer(host, self.component_bytes)
    }

    /// The same on a runtime of its own.
    pub async fn start_on(self, runtime: &Arc<Runtime>) -> AdminHost {
        let host = self.host.start_on(runtime).await;
        administer(host, self.component_bytes)
    }
}

fn administer(host: Host, component_bytes: usize) -> AdminHost {
    let options = AdminOptions {
        component_bytes,
        listen: host.address,
    };
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::new(listener, Arc::clone(&host.page), options).unwrap();
    AdminHost {
        host,
        admin: address,
        serving: tokio::spawn(admin.serve()),
    }
}
