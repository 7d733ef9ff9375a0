//! How callers say who they are, as a function of bytes for the fuzz targets: it
//! may not panic, and nobody is let in who does not show the key.

use std::sync::LazyLock;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use openline_admission::keys::Keys;
use openline_core::authentication::UnixTime;
use openline_core::key::{KeyCredential, KeyRecord, KeyTerms, Scope, Scopes};
use openline_core::name::KeyName;

use crate::{access, jwt};

/// The only key. Its text is not in the corpus but for one letter.
const TEXT: &str = "sec_0123456789abcdef0123456789abcdef";

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let terms = |name: &str| KeyTerms {
        name: KeyName::new(name).expect("a name of letters"),
        scopes: Scopes::new([Scope::Publish]).expect("one scope"),
        channels: KeyTerms::all_channels(),
        functions: None,
        expires: None,
    };
    let keys = Keys::default();
    keys.derive_from([7; 32]);
    let text = KeyRecord {
        terms: terms("text"),
        credential: KeyCredential::of(TEXT),
        created: UnixTime(1),
    };
    let pair = keys.make(terms("pair"), true, UnixTime(1));
    for record in [text, pair.expect("there is room").record] {
        keys.take(record).expect("there is room");
    }
    keys
});

/// Reads the credential of a request: a line with its query, and a line for each
/// header.
pub fn caller(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    for line in lines {
        let end = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(end.unwrap_or(line.len()));
        let value = HeaderValue::from_bytes(value.strip_prefix(b":").unwrap_or(value));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    for query in [None, Some(&*query)] {
        if let Ok(key) = access::authenticate(&KEYS, &headers, query) {
            let shown = headers.values().any(|value| {
                let value = value.as_bytes();
                value
                    .windows(TEXT.len())
                    .any(|part| part == TEXT.as_bytes())
            });
            let decoded = query.map(|it| access::parameter(it, "key"));
            let is_asked = decoded == Some(Ok(Some(TEXT.to_owned())));
            assert!(shown || is_asked, "{} is let in by {headers:?}", key.name());
        }
    }
    let _ = access::signature(&headers);
    for name in ["key", "function"] {
        if let Ok(Some(value)) = access::parameter(&query, name) {
            assert!(!value.is_empty());
        }
    }
    if jwt::may_be(&query) {
        // Nobody knows the secret of the pair.
        assert!(jwt::verify(&KEYS, &query, UnixTime(1)).is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_what_it_is_for() {
        let bearer = format!("key=x\nauthorization: Bearer {TEXT}\nhost: a");
        for text in [
            &bearer,
            "key=sec_1",
            &format!("key={TEXT}"),
            "\nauthorization: AWS4-HMAC-SHA256 Credential=K",
            "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln",
            "\nx-api-key:\u{ff}\n: a\n",
            "",
        ] {
            caller(text.as_bytes());
        }
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(TEXT).unwrap();
        headers.insert("x-api-key", value);
        assert!(access::authenticate(&KEYS, &headers, None).is_ok());
    }
}
