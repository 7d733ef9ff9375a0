//! How the authority looks at a host: HTTP-01 as RFC 8555 section 8.3 says, and
//! TLS-ALPN-01 as RFC 8737 does.

use std::net::SocketAddr;
use std::sync::Arc;

use openline_core::digest::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::{Names, Shared};
use crate::harness::{Raw, within};

/// The extension of RFC 8737 section 3.
const IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// Validates an order, and notes what it has found. It looks where the test has
/// said that names lead to.
pub async fn validate(shared: Arc<Shared>, number: usize) {
    let mut names = shared.names.subscribe();
    let leads = within("the host to listen", names.wait_for(Option::is_some)).await;
    let leads = *leads.unwrap();
    let (name, token, thumbprint) = {
        let state = shared.state.lock();
        let order = &state.orders[&number];
        let thumbprint = state.accounts[&order.account].thumbprint.clone();
        (order.name.clone(), order.token.clone(), thumbprint)
    };
    let expected = format!("{token}.{thumbprint}");
    let validated = match leads {
        Some(Names::Http(address)) => by_http(address, &name, &token, &expected).await,
        Some(Names::Tls(address)) => by_tls(address, &name, &expected).await,
        None => Err("the name leads nowhere".to_owned()),
    };
    let mut state = shared.state.lock();
    if let Some(order) = state.orders.get_mut(&number) {
        order.validated = Some(validated);
    }
}

async fn by_http(
    address: SocketAddr,
    name: &str,
    token: &str,
    expected: &str,
) -> Result<(), String> {
    let mut raw = Raw::connect(address).await;
    let path = format!("/.well-known/acme-challenge/{token}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    raw.send(request.as_bytes()).await;
    let answer = raw.answer().await;
    match answer.status == 200 && answer.body == expected.as_bytes() {
        true => Ok(()),
        false => Err(format!("{path} is answered with {}", answer.status)),
    }
}

async fn by_tls(address: SocketAddr, name: &str, expected: &str) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let verifier = Arc::new(Anything);
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = within("a validation", connector.connect(server, stream)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let connection = stream.get_ref().1;
    if connection.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("another protocol was agreed on".into());
    }
    let shown = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .unwrap();
    let certificate = Certificate::from_der(shown).map_err(|error| error.to_string())?;
    let certificate = certificate.tbs_certificate();
    let names = certificate
        .get_extension::<SubjectAltName>()
        .unwrap()
        .unwrap()
        .1;
    let is_name =
        |it: &GeneralName| matches!(it, GeneralName::DnsName(dns) if dns.as_str() == name);
    if names.0.len() != 1 || !names.0.iter().all(is_name) {
        return Err("the certificate is for other names".into());
    }
    let extensions = certificate.extensions().unwrap();
    let identifier = extensions
        .iter()
        .find(|it| it.extn_id.to_string() == IDENTIFIER);
    let identifier = identifier.ok_or("it does not have the extension")?;
    let digest = Digest::of(expected.as_bytes());
    let octets = [&[4, 32][..], digest.as_bytes()].concat();
    match identifier.critical && identifier.extn_value.as_bytes() == octets {
        true => Ok(()),
        false => Err("it is the certificate of another challenge".into()),
    }
}

/// Accepts every certificate: the one of a challenge is of no authority.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
