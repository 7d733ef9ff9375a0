//! The facts of a finished handshake, which become a part of the peer.
//!
//! Bounded: texts of a client's certificate are cut at [`NAME_BYTES_MAX`].

use std::sync::Arc;

use openline_admission::peer::{ClientCertificate, TlsFacts, TlsVersion};
use openline_core::escape::Escaped;
use rustls::{ProtocolVersion, ServerConnection};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// A distinguished name of a client's certificate, in bytes, as it is shown: a
/// few lines.
const NAME_BYTES_MAX: usize = 1024;

/// What a handshake has shown.
pub(crate) fn facts(connection: &ServerConnection) -> Arc<TlsFacts> {
    let client = connection.peer_certificates().and_then(<[_]>::first);
    let name = connection.server_name();
    Arc::new(TlsFacts {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        },
        server_name: name.map(|name| name.to_ascii_lowercase().into()),
        client: client.and_then(|client| certificate(client)),
    })
}

/// The facts of a certificate that rustls has found valid; none if it does not
/// have the form of one after all.
fn certificate(der: &[u8]) -> Option<ClientCertificate> {
    let parsed = Certificate::from_der(der).ok()?;
    let certificate = parsed.tbs_certificate();
    let shown = |name: String| Escaped::new(&name, NAME_BYTES_MAX).to_string().into();
    let serial = certificate.serial_number().as_bytes();
    let digest = Sha256::digest(der);
    Some(ClientCertificate {
        subject: shown(certificate.subject().to_string()),
        issuer: shown(certificate.issuer().to_string()),
        serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        fingerprint: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}
