//! The certificates of a host: read with its configuration, read again when
//! their files change, and made for trying TLS without any.
//!
//! Files are looked at every [`LOOK_AGAIN`], because a certificate may be
//! mounted where the system reports no changes. Whatever is wrong with new
//! files, the old certificates stay in force; connections notice neither.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use openline_core::config::{CertificateConfig, Listener, ServerConfig};
use openline_gateway::gateway::Gateway;
use openline_gateway::tls::files::Files;
use openline_hint::{Hint, Hinted};
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::task::spawn_blocking;

use crate::causes;
use crate::telemetry::tell;
use crate::warnings::{Topic, Warnings};

/// How often the files are looked at. Tools renew a certificate weeks before it
/// ends; a person who replaces one wants to see that soon.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Certificates for trying TLS that commands trust: one for each address of a
/// machine, and some.
const MADE_MAX: usize = 64;

/// Warns about what clients will not like about certificates.
pub(crate) fn warn(files: Option<&Files>, warnings: &Warnings) {
    let found = files.map(Files::warnings).unwrap_or_default();
    warnings.tell(Topic::Certificates, found);
}

/// Reads the files again whenever they change, and warns when a certificate is
/// about to end.
pub(crate) async fn watch(gateway: Arc<Gateway>, warnings: Arc<Warnings>) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let Some(files) = gateway.tls().files() else {
            continue;
        };
        let looking = spawn_blocking({
            let files = files.clone();
            move || files.have_changed().then(|| files.read_again())
        });
        let read = match looking.await {
            Ok(Some(read)) => read,
            Ok(None) => {
                warn(Some(&files), &warnings);
                continue;
            }
            // Only where the host is ending.
            Err(_) => return,
        };
        let replaced = read.map_err(|error| error.explained()).and_then(|new| {
            let prepared = gateway.tls().prepare(Some(new.clone()));
            let prepared = prepared.map_err(|error| error.to_string())?;
            gateway.tls().put_instead(&files, prepared);
            Ok(new)
        });
        match replaced {
            Ok(new) => {
                told.clear();
                tell(&format!("read certificates again: {}", named(&new)));
                warn(Some(&new), &warnings);
            }
            // Once, and not each time that the files are looked at.
            Err(error) if error != told => {
                tell(&error);
                tell("certificates not replaced: the host goes on with those that it has");
                told = error;
            }
            Err(_) => {}
        }
    }
}

/// The names of certificates, for people.
fn named(files: &Files) -> String {
    match files.names().as_slice() {
        [] => "for no host name".into(),
        names => names.join(", "),
    }
}

/// The certificate of `openline run --tls`: made once for an address, and kept
/// in the user's data folder, so that a client that trusts it goes on to.
pub(crate) fn self_signed(listen: SocketAddr) -> anyhow::Result<CertificateConfig> {
    let folder = data_home().ok_or_else(|| {
        let hint = "set `XDG_DATA_HOME` or `HOME` to an absolute path";
        Hinted::new("there is no folder to keep a certificate in", hint)
    })?;
    let name = match listen.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
        ip => ip.to_string().replace(':', "-"),
    };
    let config = CertificateConfig {
        listeners: vec![Listener::Listen],
        certificate: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}-key.pem")),
        default: true,
        line: 0,
    };
    let server = ServerConfig {
        certificate: vec![config.clone()],
        ..ServerConfig::default()
    };
    // One that was written in part, or is damaged, is made again.
    if Files::read(&server, None).is_err() {
        make(&config, listen.ip(), &folder)?;
    }
    Ok(config)
}

fn make(config: &CertificateConfig, listen: IpAddr, folder: &Path) -> anyhow::Result<()> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    if !listen.is_unspecified() && !listen.is_loopback() {
        names.push(listen.to_string());
    }
    let mut params = CertificateParams::new(names)?;
    let name = "Openline, for trying it";
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().context("no key can be made")?;
    let certificate = params
        .self_signed(&key)
        .context("no certificate can be made")?;
    let unwritten = |path: &Path| {
        let shown = path.display().to_string();
        move |error: std::io::Error| {
            let hint = causes::of_writing(error.kind());
            Hinted::new(format!("{shown} cannot be written: {error}"), hint)
        }
    };
    fs::create_dir_all(folder).map_err(unwritten(folder))?;
    // Only the user may read the key.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&config.key).map_err(unwritten(&config.key))?;
    let written = file.write_all(key.serialize_pem().as_bytes());
    written.map_err(unwritten(&config.key))?;
    let written = fs::write(&config.certificate, certificate.pem());
    Ok(written.map_err(unwritten(&config.certificate))?)
}

/// The certificates in the user's data folder: those that [`self_signed`] has
/// made, at most [`MADE_MAX`].
pub(crate) fn made() -> Vec<PathBuf> {
    let folder = data_home().and_then(|folder| fs::read_dir(folder).ok());
    let files = folder.into_iter().flatten().flatten();
    let files = files.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.ends_with(".pem") && !name.ends_with("-key.pem")
    });
    files.take(MADE_MAX).collect()
}

/// `$XDG_DATA_HOME/openline`, or `~/.local/share/openline`.
fn data_home() -> Option<PathBuf> {
    let absolute = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|folder| folder.join("openline"))
}
