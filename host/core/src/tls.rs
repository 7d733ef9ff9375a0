//! What a TLS handshake with this host has shown about a peer. The gateway makes
//! these facts, and bounds the texts in them.

use std::fmt;

/// The result of a TLS handshake with this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version of the protocol.
    pub version: TlsVersion,
    /// The host name that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The client's certificate, if it has shown one; then it is valid.
    pub client: Option<ClientCertificate>,
}

/// A version of TLS that this host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A client's certificate that a configured authority has issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name, as RFC 4514 writes it.
    pub subject: Box<str>,
    /// The issuer's.
    pub issuer: Box<str>,
    /// The serial number, in hexadecimal digits.
    pub serial: Box<str>,
    /// SHA-256 of the certificate in hexadecimal digits, as `openssl x509
    /// -fingerprint` shows it, in lower case and without colons.
    pub fingerprint: Box<str>,
}

impl TlsVersion {
    /// The number, as functions and the admin interface have it.
    pub fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    /// The name that nginx writes, which rules of firewalls compare.
    pub fn nginx_name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS {}", self.number())
    }
}
