//! Files of certificates: what is refused, and what is warned of.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A certificate of its own authority, in PEM, with its key.
pub(in super::super) fn made(
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A certificate as the host has it.
pub(in super::super) fn certificate(names: &[&str], is_default: bool) -> Certificate {
    let (certificate, key) = made(names, |_| {});
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    Certificate {
        is_default,
        ..Certificate::new(chain, key).unwrap()
    }
}

/// A folder with a certificate, and a configuration that names it.
pub(in super::super) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(in super::super) fn with(certificate: &str, key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let folder = Self { folder };
        folder.write("certificate.pem", certificate);
        folder.write("key.pem", key);
        folder
    }

    pub(in super::super) fn of(names: &[&str]) -> Self {
        let (certificate, key) = made(names, |_| {});
        Self::with(&certificate, &key)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(in super::super) fn config(&self) -> ServerConfig {
        ServerConfig {
            certificate: vec![CertificateConfig {
                listeners: vec![Listener::Listen],
                certificate: self.path("certificate.pem"),
                key: self.path("key.pem"),
                default: true,
                line: 7,
            }],
            ..ServerConfig::default()
        }
    }

    fn read(&self) -> Result<Files, FileError> {
        Ok(Files::read(&self.config(), None)?.unwrap())
    }

    /// The error, with its line and its hint.
    fn error(&self) -> String {
        let error = self.read().unwrap_err();
        assert_eq!(error.line(), Some(7));
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
        error.to_string()
    }
}

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
}

#[test]
fn a_certificate_is_for_its_own_names() {
    let files = Folder::of(&["Chat.example.org", "*.example.com", "192.0.2.7"]).read();
    let files = files.unwrap();
    assert_eq!(files.names(), ["chat.example.org", "*.example.com"]);
    assert_eq!(files.warnings(), []);
    let none = Files::read(&ServerConfig::default(), None).unwrap();
    assert!(none.is_none());
}

#[test]
fn each_file_that_cannot_be_used() {
    let (certificate, key) = made(&["localhost"], |_| {});
    let (_, other) = made(&["localhost"], |_| {});
    let half = &certificate[..certificate.len() / 2];
    let folder = Folder::with(half, &key);
    assert!(
        folder.error().contains("certificate.pem: it is not whole"),
        "{}",
        folder.error()
    );
    let cases = [
        ("", &*key, "certificate.pem: it holds no certificate"),
        (&key, &key, "certificate.pem: it holds no certificate"),
        (&certificate, "", "key.pem: it holds no private key"),
        (
            &certificate,
            &certificate,
            "key.pem: it holds no private key",
        ),
        (
            &certificate,
            &key[..key.len() / 2],
            "key.pem: it is not whole",
        ),
        (
            &certificate,
            &other,
            "key.pem: the private key is not that of the certificate",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "certificate.pem: the certificate is not valid",
        ),
    ];
    for (certificate, key, words) in cases {
        let error = Folder::with(certificate, key).error();
        assert!(error.contains(words), "{words}: {error}");
    }
    let folder = Folder::with(&certificate, &key);
    fs::remove_file(folder.path("key.pem")).unwrap();
    assert!(folder.error().contains("key.pem: it cannot be read"));
    fs::create_dir(folder.path("key.pem")).unwrap();
    assert!(folder.error().contains("key.pem: it cannot be read"));
}

#[test]
fn a_file_of_the_most_bytes_and_one_of_more() {
    let (certificate, key) = made(&["localhost"], |_| {});
    let of = |bytes: usize| {
        let comment = "#".repeat(bytes - certificate.len() - 1);
        Folder::with(&format!("{comment}\n{certificate}"), &key)
    };
    assert!(of(FILE_BYTES_MAX).read().is_ok());
    let error = of(FILE_BYTES_MAX + 1).error();
    assert!(error.ends_with("it has more than 1 MiB"), "{error}");
}

#[test]
fn an_expired_certificate_serves_until_there_is_another_and_replaces_none() {
    let (certificate, key) = made(&["localhost"], expired);
    let folder = Folder::with(&certificate, &key);
    let old = folder.read().unwrap();
    let warnings = old.warnings();
    assert!(
        warnings[0]
            .to_string()
            .ends_with("the certificate has expired"),
        "{warnings:?}"
    );
    // It may be read again, and be replaced.
    assert!(old.read_again().is_ok());
    let (fresh, fresh_key) = made(&["localhost"], |_| {});
    folder.write("certificate.pem", &fresh);
    assert!(old.have_changed());
    // The key is still the old one.
    assert!(old.read_again().is_err());
    folder.write("key.pem", &fresh_key);
    let new = old.read_again().unwrap();
    assert!(new.warnings().is_empty() && !new.have_changed());
    folder.write("certificate.pem", &certificate);
    folder.write("key.pem", &key);
    let error = new.read_again().unwrap_err();
    assert!(
        error.to_string().ends_with("the one in force has not"),
        "{error}"
    );
}

#[test]
fn other_things_to_warn_of() {
    let warned = |names: &[&str], change: fn(&mut CertificateParams), is_default| {
        let (certificate, key) = made(names, change);
        let folder = Folder::with(&certificate, &key);
        let mut config = folder.config();
        config.certificate[0].default = is_default;
        Files::read(&config, None).unwrap().unwrap().warnings()
    };
    let later: fn(&mut CertificateParams) = |it| it.not_before = date_time_ymd(2999, 1, 1);
    assert!(
        warned(&["localhost"], later, true)[0]
            .to_string()
            .ends_with("is not valid yet")
    );
    assert!(
        warned(&["192.0.2.7"], |_| {}, false)[0]
            .to_string()
            .contains("is for no host name")
    );
    assert_eq!(warned(&["192.0.2.7"], |_| {}, true), []);
}

#[test]
fn a_name_without_its_certificate_is_warned_of_and_listen_speaks_tls_without_any() {
    let folder = Folder::of(&["other.example.org"]);
    let mut config = folder.config();
    // The same name on another listener does not help.
    config.certificate[0].listeners = vec![Listener::Admin];
    config.data = Some(folder.path("data"));
    let acme = AcmeConfig {
        directory: "https://acme.example/directory".into(),
        hosts: vec!["chat.example.org".into(), "other.example.org".into()],
        contact: Vec::new(),
        challenge: openline_core::config::AcmeChallenge::TlsAlpn01,
        ca_file: None,
        external_account: None,
    };
    let kept = acme.folder(&folder.path("data"));
    fs::create_dir_all(&kept).unwrap();
    config.tls.acme = Some(acme);
    let missing = |files: &Files| {
        let warnings = files.warnings();
        let names = warnings.iter().map(|it| {
            let hint = it.hint().unwrap();
            assert!(hint.contains("https://acme.example/directory"), "{hint}");
            let text = it.to_string();
            let name = text.strip_prefix("no valid certificate yet for ");
            name.unwrap().to_owned()
        });
        names.collect::<Vec<_>>()
    };
    let files = Files::read(&config, None).unwrap().unwrap();
    assert_eq!(missing(&files), ["chat.example.org", "other.example.org"]);
    assert!(files.are_for(Listener::Listen) && files.are_for(Listener::Admin));
    assert!(!files.are_for(Listener::Probes));
    let keep = |name: &str, change: fn(&mut CertificateParams)| {
        let (certificate, key) = made(&[name], change);
        fs::write(AcmeConfig::file(&kept, name), certificate + &key).unwrap();
    };
    keep("chat.example.org", |_| {});
    // Warned of once, and not as a file that a tool has written.
    keep("other.example.org", expired);
    assert!(files.have_changed());
    let files = files.read_again().unwrap();
    assert_eq!(missing(&files), ["other.example.org"]);
    assert_eq!(files.certificates(Listener::Listen).len(), 2);
    assert_eq!(files.certificates(Listener::Admin).len(), 1);
    // Half a file, and none: the valid one stays in force.
    let chat = AcmeConfig::file(&kept, "chat.example.org");
    let whole = fs::read(&chat).unwrap();
    fs::write(&chat, &whole[..whole.len() / 2]).unwrap();
    let files = files.read_again().unwrap();
    fs::remove_file(&chat).unwrap();
    let files = files.read_again().unwrap();
    assert_eq!(missing(&files), ["other.example.org"]);
    assert_eq!(files.certificates(Listener::Listen).len(), 2);
}
