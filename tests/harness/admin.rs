//! A host in this process with its admin interface, and plain HTTP to ask it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use openline_core::config::{Config, FunctionConfig, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_gateway::admin::{Admin, AdminOptions};
use openline_gateway::deployer::{Component, Deployer};
use openline_gateway::listen;
use openline_store::Store;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

use super::client::Client;
use super::host::RUNTIME;
use super::raw::Raw;
use super::within;

/// A running host; it stops accepting when it is dropped.
pub struct AdminHost {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub deployer: Deployer,
    tasks: [JoinHandle<()>; 2],
}

/// How the admin interface is to be.
pub struct AdminBuilder {
    functions: Vec<FunctionConfig>,
    server: ServerConfig,
    token: Option<String>,
    component_bytes: Option<usize>,
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
        let component = PathBuf::from(component);
        let name = component.file_stem().unwrap().to_str().unwrap();
        let name = FunctionName::new(name).unwrap();
        let route = Route::new(route).unwrap();
        AdminBuilder {
            functions: vec![FunctionConfig::new(name, Some(component), route)],
            server: ServerConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                ..ServerConfig::default()
            },
            token: None,
            component_bytes: None,
        }
    }

    /// Opens a connection to a function, which must be accepted.
    pub async fn connect(&self, path: &str) -> Client {
        match Client::open(self.address, path, &[]).await {
            Ok(client) => client,
            Err(refused) => panic!("{path} was refused: {refused:?}"),
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

impl Drop for AdminHost {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl AdminBuilder {
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    pub fn component_bytes(mut self, bytes: usize) -> Self {
        self.component_bytes = Some(bytes);
        self
    }

    /// Changes the host itself.
    pub fn server(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.server);
        self
    }

    /// Changes the function.
    pub fn function(mut self, change: impl FnOnce(&mut FunctionConfig)) -> Self {
        change(&mut self.functions[0]);
        self
    }

    pub async fn start(self) -> AdminHost {
        let Self {
            functions,
            server,
            token,
            component_bytes,
        } = self;
        let component = |function: &FunctionConfig| Component {
            function: function.name.clone(),
            bytes: std::fs::read(function.component.as_ref().unwrap())
                .unwrap()
                .into(),
        };
        let components = functions.iter().map(component).collect();
        let listener = listen::bind(server.listen).unwrap();
        let address = listener.local_addr().unwrap();
        let component_bytes = component_bytes.unwrap_or(server.component_bytes);
        let config = Config { server, functions };
        let store = Store::memory(1 << 30);
        let started = Deployer::start(Arc::clone(&RUNTIME), store, true, config, components);
        let deployer = started.await.unwrap();
        let options = AdminOptions {
            token,
            component_bytes,
            listen: address,
        };
        let admin = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let admin_address = admin.local_addr().unwrap();
        let admin = Admin::new(admin, deployer.clone(), options).unwrap();
        let accepting = listen::accept(listener, Arc::clone(deployer.gateway()));
        AdminHost {
            address,
            admin: admin_address,
            deployer,
            tasks: [tokio::spawn(accepting), tokio::spawn(admin.serve())],
        }
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
