//! The servers that are measured: the host and the native echo, each with a
//! certificate and without.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use openline_kit::configuration::Configuration;
use openline_kit::process::{Ready, Running, START_TIMEOUT};
use openline_kit::programs::Programs;
use tempfile::TempDir;

use super::line::Way;
use crate::pinning;

/// Read buffer of the native server's connections, in bytes; and for messages
/// that are larger. As in the comparison with other servers.
const NATIVE_READ_BUFFER: usize = 2 << 10;
const NATIVE_READ_BUFFER_LARGE: usize = 32 << 10;

/// A server, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) is_native: bool,
    pub(super) way: Way,
}

/// All that are measured; the native server does not speak HTTP/2.
pub(super) const ALL: [Server; 6] = [
    native(Way::Http1),
    native(Way::Http1Tls),
    host(Way::Http1),
    host(Way::Http1Tls),
    host(Way::Http2),
    host(Way::Http2Tls),
];

const fn native(way: Way) -> Server {
    Server {
        is_native: true,
        way,
    }
}

const fn host(way: Way) -> Server {
    Server {
        is_native: false,
        way,
    }
}

/// Where the programs are, and a certificate for `localhost`.
pub(super) struct Setup {
    pub(super) programs: Programs,
    pub(super) native: PathBuf,
    folder: TempDir,
}

/// A server that listens; dropping it kills it.
pub(super) struct Started {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
}

impl Setup {
    pub(super) fn new(programs: Programs, native: PathBuf) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).context("no certificate")?;
        fs::write(folder.path().join("certificate.pem"), made.cert.pem())?;
        let key = made.signing_key.serialize_pem();
        fs::write(folder.path().join("key.pem"), key)?;
        Ok(Self {
            programs,
            native,
            folder,
        })
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Starts a server on these CPUs; `message_bytes` are what it will echo.
    pub(super) async fn start(
        &self,
        server: Server,
        message_bytes: usize,
        cpus: Option<&str>,
    ) -> anyhow::Result<Started> {
        let (is_tls, mut _file) = (server.way.is_tls(), None);
        let command = if server.is_native {
            let buffer = match message_bytes {
                ..4096 => NATIVE_READ_BUFFER,
                _ => NATIVE_READ_BUFFER_LARGE,
            };
            let mut command = pinning::command(&self.native, cpus);
            command.arg("--read-buffer").arg(buffer.to_string());
            if is_tls {
                command.arg("--certificate").arg(self.certificate());
                command.arg("--key").arg(self.key());
            }
            command
        } else {
            let echo = self.programs.function("echo");
            let configuration =
                Configuration::new(&self.listener(is_tls)).function("echo", &echo, "/echo", "");
            let command = pinning::command(&self.programs.host, cpus);
            let (command, file) = configuration.serve(command)?;
            _file = Some(file);
            command
        };
        start(command).await
    }

    /// The lines of a host's configuration that give it a certificate.
    pub(super) fn listener(&self, is_tls: bool) -> String {
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        match is_tls {
            false => String::new(),
            true => format!(
                "[[server.certificate]]\ncertificate = {}\nkey = {}\ndefault = true",
                quoted(&self.certificate()),
                quoted(&self.key())
            ),
        }
    }
}

/// Starts a server and waits until it listens.
pub(super) async fn start(mut command: tokio::process::Command) -> anyhow::Result<Started> {
    // The host says more than its address there.
    command.stderr(Stdio::null());
    let running = Running::start_until(Ready::Says, command, START_TIMEOUT).await?;
    let address = running.address;
    Ok(Started { running, address })
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match (self.is_native, self.way) {
            (true, Way::Http1Tls) => "native, TLS",
            (true, _) => "native",
            (false, Way::Http1) => "openline",
            (false, Way::Http1Tls) => "openline, TLS",
            (false, Way::Http2) => "openline, HTTP/2",
            (false, Way::Http2Tls) => "openline, HTTP/2, TLS",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self.is_native {
            true => "/",
            false => "/echo",
        }
    }
}
