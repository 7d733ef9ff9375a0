//! A host in this process with its admin interface, and plain HTTP to ask it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use openline_admin::{Admin, AdminOptions};
use openline_core::config::ServerConfig;
use openline_engine::runtime::Runtime;
use openline_gateway::listen;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use super::host::{Host, HostBuilder};
use super::raw::Raw;
use super::within;

/// A running host with an admin interface; both stop accepting when it is
/// dropped.
pub struct AdminHost {
    host: Host,
    pub admin: SocketAddr,
    serving: JoinHandle<()>,
}

/// How the admin interface is to be.
pub struct AdminBuilder {
    host: HostBuilder,
    component_bytes: usize,
}

/// An answer over plain HTTP.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
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
    pub async fn ask(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Got {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.admin);
        if let Some((kind, _)) = body {
            head += &format!("Content-Type: {kind}\r\n");
        }
        let body = body.map_or(&[][..], |(_, body)| body);
        head += &format!("Content-Length: {}\r\n", body.len());
        self.exchange(&head, body).await
    }

    /// Asks with JSON.
    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Got {
        let body = body.to_string();
        let body = Some(("application/json", body.as_bytes()));
        self.ask(method, path, body).await
    }

    /// Sends a head without its last line, a body, and reads the answer.
    pub async fn exchange(&self, head: &str, body: &[u8]) -> Got {
        let mut raw = Raw::connect(self.admin).await;
        raw.send(format!("{head}Connection: close\r\n\r\n").as_bytes())
            .await;
        raw.send(body).await;
        Got::read(raw).await
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
    pub fn token(mut self, token: &str) -> Self {
        self.host = self
            .host
            .server(|server| server.admin_token = Some(token.into()));
        self
    }

    pub fn component_bytes(mut self, bytes: usize) -> Self {
        self.component_bytes = bytes;
        self
    }

    /// Changes the host and its function.
    pub fn host(mut self, change: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        self.host = change(self.host);
        self
    }

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

impl Got {
    /// Reads an answer up to the end of its stream.
    pub async fn read(mut raw: Raw) -> Self {
        let mut all = Vec::new();
        let reading = raw.socket.read_to_end(&mut all);
        within("an answer of the admin interface", reading)
            .await
            .unwrap();
        let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&all)));
        let head = String::from_utf8(all[..end + 2].to_vec()).unwrap();
        Self {
            status: head[9..12].parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: all[end + 4..].to_vec(),
        }
    }

    /// The body, which must be JSON.
    #[track_caller]
    pub fn value(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {text}", self.head))
    }

    /// It is refused with a status and a word; the error has its three parts.
    #[track_caller]
    pub fn refused(&self, status: u16, error: &str) {
        let value = self.value();
        assert_eq!(
            (self.status, value["error"].as_str()),
            (status, Some(error)),
            "{value}"
        );
        for part in ["message", "hint"] {
            assert!(
                value[part].as_str().is_some_and(|text| !text.is_empty()),
                "{value}"
            );
        }
    }
}
