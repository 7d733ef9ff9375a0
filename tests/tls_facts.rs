//! The facts of a TLS handshake, as the function and the operator see them.

use openline_control::ConnectionQuery;
use openline_core::config::{ClientCertificates, MinVersion};
use rcgen::DnType;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::tls::{Authority, connect};
use crate::harness::{HANDSHAKE, Host, Raw, within};

const PATH: &str = "/reject?show=tls";

/// The header of an answer in which the function shows what it knows.
fn shown(head: &str) -> &str {
    let line = head.lines().find_map(|line| line.strip_prefix("shown: "));
    line.unwrap_or_else(|| panic!("{head}")).trim()
}

/// Opens a connection; what the function knows of it.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    let request = HANDSHAKE.replace("{path}", PATH);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = within("an answer", stream.read_u8()).await.unwrap();
        head.push(byte);
    }
    shown(&String::from_utf8(head).unwrap()).to_owned()
}

#[tokio::test]
async fn a_function_knows_the_handshake_and_the_certificate_of_its_peer() {
    let authority = Authority::new();
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
            server.tls.min_version = MinVersion::Tls12;
            server.tls.client_certificates = ClientCertificates::Optional;
            server.tls.client_authorities = Some(authority.path("authority.pem"));
        })
        .start()
        .await;
    let mine = authority.issue(&["client"], |params| {
        params.serial_number = Some(0x1234.into());
        let name = "ada, \u{e9}\r\n";
        params.distinguished_name.push(DnType::CommonName, name);
    });
    let der = CertificateDer::from_pem_slice(mine.0.as_bytes()).unwrap();
    let digits = Sha256::digest(&der);
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();

    let mut known = Vec::new();
    for (name, client) in [
        ("localhost", authority.client_with(&mine)),
        ("localhost", authority.client(&[])),
    ] {
        let mut stream = connect(host.address, name, client).await.unwrap();
        let facts = ask(&mut stream).await;
        known.push((facts, stream));
    }
    let (with, without) = (&known[0].0, &known[1].0);
    assert_eq!(without, "1.3/localhost/");
    let parts: Vec<_> = with.split('/').collect();
    assert_eq!(parts[..2], ["1.3", "localhost"], "{with}");
    assert!(parts[2].starts_with("CN=ada"), "{with}");
    assert_eq!(parts[3], "CN=authority");
    assert_eq!(parts[4..], ["1234", &*digits]);

    // The operator sees the same.
    let query = ConnectionQuery {
        function: None,
        tag: None,
        after: None,
        limit: 10,
    };
    let views = host.deployer.connections(&query).connections;
    assert_eq!(views.len(), 2);
    let tls = views.iter().map(|view| view.tls.clone().unwrap());
    let (named, unnamed): (Vec<_>, Vec<_>) = tls.partition(|tls| tls.certificate.is_some());
    assert_eq!((named.len(), unnamed.len()), (1, 1));
    assert_eq!(unnamed[0].server_name.as_deref(), Some("localhost"));
    let certificate = named[0].certificate.as_ref().unwrap();
    assert_eq!(
        (certificate.serial.as_str(), &certificate.fingerprint),
        ("1234", &digits)
    );
}

#[tokio::test]
async fn a_request_without_tls_has_no_facts_of_it() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    assert_eq!(ask(&mut stream).await, "none");
    let mut raw = Raw::connect(host.address).await;
    // What a peer says about itself is no fact.
    let forged = HANDSHAKE.replace("{path}", PATH);
    let forged = forged.replacen("\r\n", "\r\nX-Client-Cert: CN=ada\r\n", 1);
    raw.send(forged.as_bytes()).await;
    assert_eq!(shown(&raw.head().await.to_ascii_lowercase()), "none");
}
