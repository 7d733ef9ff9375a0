//! TLS for tests: an authority, certificates of it, and a client.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use openline_core::config::{CertificateConfig, Listener};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// An authority, with a folder for what it issues.
pub struct Authority {
    pub folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Another name than that of what it issues.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What issues certificates.
    pub fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Issues a certificate; its text and that of its key.
    pub fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Issues a certificate into `NAME.pem` and `NAME-key.pem`.
    pub fn write(&self, file: &str, names: &[&str]) {
        self.write_as(file, &self.issue(names, |_| {}));
    }

    pub fn write_as(&self, file: &str, (certificate, key): &(String, String)) {
        fs::write(self.path(&format!("{file}.pem")), certificate).unwrap();
        fs::write(self.path(&format!("{file}-key.pem")), key).unwrap();
    }

    /// Issues a certificate and configures it.
    pub fn certificate(&self, file: &str, names: &[&str], default: bool) -> CertificateConfig {
        self.write(file, names);
        CertificateConfig {
            listeners: vec![Listener::Listen],
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}-key.pem")),
            default,
            line: 0,
        }
    }

    /// A client that trusts it, and speaks one protocol or none in particular.
    pub fn client(&self, alpn: &[&[u8]]) -> ClientConfig {
        let builder = self.builder();
        let mut client = builder.with_no_client_auth();
        client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        client
    }

    /// The same with a certificate of its own.
    pub fn client_with(&self, (certificate, key): &(String, String)) -> ClientConfig {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        self.builder().with_client_auth_cert(chain, key).unwrap()
    }

    fn builder(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.path("authority.pem")).unwrap();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(roots)
    }
}

/// Connects and makes a handshake; an error is the host's, or the client's about
/// the host.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    client: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    within("a TLS handshake", connector.connect(name, stream)).await
}
