//! The certificates of a host: read with its configuration, read again when
//! their files change, and made for trying TLS without any.
//!
//! Files are looked at every [`LOOK_AGAIN`], because a certificate may be
//! mounted where the system reports no changes. Whatever is wrong with new
//! files, the old certificates stay in force; connections notice neither.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use openline_acme::settings::Settings;
use openline_core::config::{CertificateConfig, ServerConfig};
use openline_gateway::gateway::Gateway;
use openline_gateway::tls::files::Files;
use openline_hint::{Hint, Hinted};
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::task::spawn_blocking;

use crate::causes;
use crate::telemetry::tell;

/// How often the files are looked at. Tools renew a certificate weeks before it
/// ends; a person who replaces one wants to see that soon.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Tells people what clients will not like about certificates.
pub(crate) fn warn(files: Option<&Files>) {
    for warning in files.map(Files::warnings).unwrap_or_default() {
        tell(&format!("warning: {warning}"));
    }
}

/// Tells people for which names there is no certificate yet, although the host
/// requests them.
pub(crate) fn tell_missing(files: Option<&Files>, settings: Option<&Settings>) {
    let missing = files.map(Files::missing).unwrap_or_default();
    let Some(settings) = settings.filter(|_| !missing.is_empty()) else {
        return;
    };
    let (names, directory) = (missing.join(", "), settings.directory());
    let what = format!("no valid certificate yet for {names}");
    let hint = format!(
        "a host that serves requests them of {directory}; until then handshakes for these names fail"
    );
    tell(&Hinted::new(what, hint).explained());
}

/// Reads the files again whenever they change.
pub(crate) async fn watch(gateway: Arc<Gateway>) {
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
            Ok(None) => continue,
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
                warn(Some(&new));
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
