//! Handshakes with rustls' own client: names, versions, tickets.

use std::sync::Arc;

use openline_core::config::ServerConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::files::tests::Folder;
use super::*;

fn tls(config: &ServerConfig) -> Tls {
    let tls = Tls::default();
    tls.put(tls.prepare(Files::read(config, None).unwrap()).unwrap());
    tls
}

/// A client that trusts the certificate of a configuration.
fn client(config: &ServerConfig) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let path = &config.certificate[0].certificate;
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(path).unwrap();
    roots.add(certificate).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::in_memory_sessions(8);
    client
}

/// Makes a handshake on both sides; how it went for the client, and the
/// server's facts.
async fn shake(
    tls: &Tls,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Option<(HandshakeKind, Arc<openline_admission::peer::TlsFacts>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = TlsConnector::from(Arc::clone(client));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let asking = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect(name, stream).await.ok()?;
        // Tickets come behind the handshake.
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        stream.get_ref().1.handshake_kind()
    };
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = accept(tls.acceptor(Listener::Listen).unwrap(), stream)
            .await
            .ok()?;
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        Some(facts(stream.get_ref().1))
    };
    let (asked, answered) = tokio::join!(asking, answering);
    Some((asked?, answered?))
}

#[tokio::test]
async fn a_session_is_resumed_and_stays_so_when_a_certificate_is_replaced() {
    let folder = Folder::of(&["localhost"]);
    let config = folder.config();
    let tls = tls(&config);
    let client = Arc::new(client(&config));
    let (first, facts) = shake(&tls, &client, "localhost").await.unwrap();
    assert_eq!(first, HandshakeKind::Full);
    assert_eq!(facts.server_name.as_deref(), Some("localhost"));
    assert_eq!(
        (facts.version, &facts.client),
        (openline_admission::peer::TlsVersion::Tls13, &None)
    );
    let (second, _) = shake(&tls, &client, "localhost").await.unwrap();
    assert_eq!(second, HandshakeKind::Resumed);
    let again = tls.files().unwrap().read_again().unwrap();
    tls.put(tls.prepare(Some(again)).unwrap());
    let (third, _) = shake(&tls, &client, "localhost").await.unwrap();
    assert_eq!(third, HandshakeKind::Resumed);
    // Another host's keys do not.
    let other = self::tls(&config);
    let (fourth, _) = shake(&other, &client, "localhost").await.unwrap();
    assert_eq!(fourth, HandshakeKind::Full);
}

#[tokio::test]
async fn a_name_without_a_certificate_ends_the_handshake() {
    let folder = Folder::of(&["localhost"]);
    let mut config = folder.config();
    config.certificate[0].default = false;
    let tls = tls(&config);
    let client = Arc::new(client(&config));
    assert!(shake(&tls, &client, "localhost").await.is_some());
    assert!(shake(&tls, &client, "other.test").await.is_none());
    // An address is no name.
    assert!(shake(&tls, &client, "127.0.0.1").await.is_none());
}

#[tokio::test]
async fn a_clients_certificate_is_judged_in_each_handshake() {
    let folder = Folder::of(&["localhost"]);
    let mut config = folder.config();
    // Its own authority, which is enough for a client.
    let path = config.certificate[0].certificate.clone();
    config.tls.client_certificates = ClientCertificates::Required;
    config.tls.client_authorities = Some(path.clone());
    let tls = tls(&config);
    let mut roots = RootCertStore::empty();
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(&path).unwrap();
    roots.add(certificate.clone()).unwrap();
    let key = &config.certificate[0].key;
    let key = rustls::pki_types::PrivateKeyDer::from_pem_file(key).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mine = builder.with_client_auth_cert(vec![certificate.clone()], key);
    let mine = Arc::new(mine.unwrap());
    for _ in 0..2 {
        let (kind, facts) = shake(&tls, &mine, "localhost").await.unwrap();
        // A session that is resumed would outlive the certificate.
        assert_eq!(kind, HandshakeKind::Full);
        let shown = facts.client.as_ref().unwrap();
        assert_eq!(&*shown.subject, "CN=rcgen self signed cert");
        assert_eq!(shown.subject, shown.issuer);
        let digest: [u8; 32] = sha2::Digest::finalize(
            <sha2::Sha256 as sha2::Digest>::new_with_prefix(&certificate),
        )
        .into();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*shown.fingerprint, *digits);
        assert!(!shown.serial.is_empty());
    }
    // Other authorities: the client is refused.
    let other = Folder::of(&["localhost"]);
    let mut config = config.clone();
    config.tls.client_authorities = Some(other.config().certificate[0].certificate.clone());
    tls.put(tls.prepare(Files::read(&config, None).unwrap()).unwrap());
    assert!(shake(&tls, &mine, "localhost").await.is_none());
    let without = Arc::new(client(&config));
    assert!(shake(&tls, &without, "localhost").await.is_none());
}

#[tokio::test]
async fn versions_up_to_the_oldest_that_is_allowed() {
    let folder = Folder::of(&["localhost"]);
    let mut config = folder.config();
    let old = {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap();
        let mut roots = RootCertStore::empty();
        let path = &config.certificate[0].certificate;
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_file(path).unwrap())
            .unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    let (_, facts) = shake(&tls(&config), &old, "localhost").await.unwrap();
    assert_eq!(facts.version, openline_admission::peer::TlsVersion::Tls12);
    let (second, _) = shake(&tls(&config), &old, "localhost").await.unwrap();
    assert_eq!(
        second,
        HandshakeKind::Full,
        "each has its own keys of tickets"
    );
    config.tls.min_version = MinVersion::Tls13;
    assert!(shake(&tls(&config), &old, "localhost").await.is_none());
}
