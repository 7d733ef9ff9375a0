//! Real proxies in front of a host: nginx and HAProxy. Each listens on an
//! address of this machine that nothing else uses, so its port is free.
//!
//! A proxy has processes below the one that is started. All are one group,
//! which ends when the proxy is dropped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use openline_kit::process::signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::browser::program;
use super::within;

/// How often a proxy is asked whether it accepts.
const KNOCK_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);

/// Whether the environment asks to do without the programs of others that stand
/// between a host and its users.
pub fn is_left_out() -> bool {
    let is_left_out = std::env::var("OPENLINE_SKIP_EDGE").is_ok_and(|value| value == "1");
    if is_left_out {
        println!("skipped: OPENLINE_SKIP_EDGE is 1");
    }
    is_left_out
}

/// The program of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
}

/// A proxy that listens; dropped, it is gone with all its processes.
pub struct Proxy {
    pub address: SocketAddr,
    kind: Kind,
    process: Child,
    id: u32,
    folder: TempDir,
}

impl Proxy {
    /// Starts a proxy with a configuration, given the address to listen on;
    /// `None` when the environment asks to do without.
    pub async fn start(
        kind: Kind,
        configuration: impl FnOnce(SocketAddr) -> String,
    ) -> Option<Self> {
        if is_left_out() {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let address = address();
        let file = folder.path().join("configuration");
        fs::write(&file, kind.whole(&configuration(address), &folder)).unwrap();
        let said = fs::File::create(folder.path().join("stderr")).unwrap();
        let mut command = Command::new(kind.program());
        match kind {
            Kind::Nginx => command.arg("-e").arg("stderr").arg("-c").arg(&file),
            Kind::Haproxy => command.arg("-W").arg("-f").arg(&file),
        };
        let process = command
            .current_dir(&folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let id = process.id().unwrap();
        let mut proxy = Self {
            address,
            kind,
            process,
            id,
            folder,
        };
        let knocking = proxy.knock();
        within("a proxy to listen", knocking).await;
        Some(proxy)
    }

    async fn knock(&mut self) {
        while TcpStream::connect(self.address).await.is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "{:?} ended: {}", self.kind, self.said());
            tokio::time::sleep(KNOCK_AGAIN).await;
        }
    }

    /// What it has said on stderr.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Changes a text of its configuration, and has it read that again.
    pub fn reload(&self, from: &str, to: &str) {
        let file = self.folder.path().join("configuration");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        let name = match self.kind {
            Kind::Nginx => "HUP",
            Kind::Haproxy => "USR2",
        };
        signal(self.id, name).unwrap();
    }
}

impl Drop for Proxy {
    /// Runs when a test panics, too.
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.id) {
            // None is left where it has ended by itself.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

impl Kind {
    fn program(self) -> PathBuf {
        let name = match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        };
        program(&[name])
            .or_else(|| {
                // Where Debian has programs of administrators.
                let file = PathBuf::from("/usr/sbin").join(name);
                file.is_file().then_some(file)
            })
            .expect(
                "the tests behind proxies need nginx and HAProxy: install both \
                 (`scripts/edge.sh` does on Debian), or set OPENLINE_SKIP_EDGE=1",
            )
    }

    /// A configuration with what every one of this program has.
    fn whole(self, text: &str, folder: &TempDir) -> String {
        match self {
            Self::Nginx => {
                let folder = folder.path().display();
                let module = match stream_module() {
                    Some(file) => format!("load_module {};\n", file.display()),
                    None => String::new(),
                };
                format!(
                    "{module}daemon off;\npid {folder}/pid;\nworker_processes 1;\n\
                     events {{ worker_connections 64; }}\n{}",
                    text.replace("{folder}", &folder.to_string())
                )
            }
            Self::Haproxy => format!(
                "global\n    maxconn 64\n\
                 defaults\n    timeout connect 20s\n    timeout client 20s\n    \
                 timeout server 20s\n    timeout tunnel 60s\n{text}"
            ),
        }
    }
}

/// The module of nginx for streams, where it is a file of its own.
fn stream_module() -> Option<PathBuf> {
    let folders = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"];
    let mut files = folders
        .iter()
        .map(|folder| PathBuf::from(folder).join("ngx_stream_module.so"));
    files.find(|file| file.is_file())
}

/// A free port of an address that is only this proxy's: the first half of it
/// says which process asks, the second which of its proxies it is.
pub fn address() -> SocketAddr {
    static NUMBER: AtomicU16 = AtomicU16::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let last = u8::try_from(number % 200).unwrap() + 10;
    let ip = Ipv4Addr::new(127, high.max(1), low, last);
    let listener = TcpListener::bind((ip, 0)).unwrap();
    listener.local_addr().unwrap()
}
