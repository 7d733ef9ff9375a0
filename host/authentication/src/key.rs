//! API keys: their texts and pairs, and why one is refused.
//!
//! A text is [`RANDOM_CHARACTERS`] random letters and digits behind a prefix
//! that says what it is for, 238 bits: the host keeps its SHA-256 alone, which
//! nobody can turn back. AWS's version 4 signs with a secret that the host needs
//! itself, so the secret of a pair is derived: HMAC-SHA256, by the secret that
//! the host keeps, of a label and the access key id. Nothing secret is stored
//! for it, and a host that loses its secret loses these pairs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openline_core::key::{
    AccessKeyId, KEY_TEXT_BYTES_MAX, KEY_TEXT_BYTES_MIN, KeyCredential, Scopes,
};
use openline_core::name::KeyName;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::secret::Secret;

/// Random characters of a new text, each of 62: 238 bits.
pub const RANDOM_CHARACTERS: usize = 40;

/// How a new access key id begins, so that it is told from those of AWS.
const ACCESS_KEY_ID_PREFIX: &str = "OPLN";
/// Random characters of a new access key id, of which each is one of 36. It is
/// a name and no secret.
const ACCESS_KEY_ID_RANDOM: usize = 16;

const UPPER_AND_DIGITS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const LETTERS_AND_DIGITS: &[u8; 62] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";

/// Begins what is signed for a derived secret. The host signs cookies with the
/// same key; what it signs there begins with other words.
const DERIVATION: &str = "openline secret access key 1\n";
/// Bytes of a derived secret: 40 characters of base64, as AWS's have.
const DERIVED_BYTES: usize = 30;

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// Why a text that an operator has chosen cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Too short to be safe, or too long to be sent.
    #[error("a key has {KEY_TEXT_BYTES_MIN} to {KEY_TEXT_BYTES_MAX} characters, this one has {0}")]
    Length(usize),
    /// It could not be sent.
    #[error("a key has visible ASCII characters only")]
    Characters,
}

/// Why a key is refused. The caller learns nothing but that it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyDenial {
    /// There is no such key.
    Unknown,
    /// It was good.
    Expired,
    /// It was revoked, or is gone from the configuration.
    Revoked,
}

/// A key that is refused. `Display` is the sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is not valid")]
pub struct KeyDenied {
    /// The reason, for the log.
    pub denial: KeyDenial,
    /// The key's name, where there is or was one; for the log.
    pub name: Option<KeyName>,
}

/// A new text for a key with these scopes.
///
/// # Errors
///
/// When the system gives no random numbers.
pub fn new_text(scopes: Scopes) -> Result<String, NoRandom> {
    let random = letters(LETTERS_AND_DIGITS, RANDOM_CHARACTERS)?;
    Ok(scopes.prefix().to_owned() + &random)
}

/// A new access key id.
///
/// # Errors
///
/// When the system gives no random numbers.
pub fn new_access_key_id() -> Result<AccessKeyId, NoRandom> {
    let random = letters(UPPER_AND_DIGITS, ACCESS_KEY_ID_RANDOM)?;
    let id = AccessKeyId::new(&format!("{ACCESS_KEY_ID_PREFIX}{random}"));
    Ok(id.expect("4 and 16 upper-case letters and digits are 20"))
}

/// The secret access key of a pair that a host with this secret has made: 40
/// characters.
pub fn derived_secret(host_secret: &[u8; 32], id: &AccessKeyId) -> Secret {
    let key = hmac::Key::new(hmac::HMAC_SHA256, host_secret);
    let tag = hmac::sign(&key, format!("{DERIVATION}{id}").as_bytes());
    Secret::new(STANDARD.encode(&tag.as_ref()[..DERIVED_BYTES]))
}

/// Checks the text of a key that an operator has chosen, or a secret access key.
///
/// # Errors
///
/// When it has other characters than visible ASCII, fewer than
/// [`KEY_TEXT_BYTES_MIN`], or more than [`KEY_TEXT_BYTES_MAX`].
pub fn check_text(bytes: &[u8]) -> Result<&str, KeyTextError> {
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(KeyTextError::Characters);
    }
    if !(KEY_TEXT_BYTES_MIN..=KEY_TEXT_BYTES_MAX).contains(&bytes.len()) {
        return Err(KeyTextError::Length(bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|_| KeyTextError::Characters)
}

/// How a host looks up the text that a caller has sent; `None` if no key has a
/// text of this length.
pub fn credential(text: &str) -> Option<KeyCredential> {
    let may_be = (KEY_TEXT_BYTES_MIN..=KEY_TEXT_BYTES_MAX).contains(&text.len());
    may_be.then(|| KeyCredential::of(text))
}

/// Random characters of an alphabet of at most 255, each as likely as the others.
fn letters(alphabet: &[u8], count: usize) -> Result<String, NoRandom> {
    let random = SystemRandom::new();
    // The largest multiple: bytes above it would prefer the first letters.
    let fair = 256 / alphabet.len() * alphabet.len();
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        let mut bytes = [0; 64];
        random.fill(&mut bytes).map_err(|_| NoRandom)?;
        let left = count - letters.len();
        let taken = bytes.into_iter().map(usize::from).filter(|it| *it < fair);
        letters.extend(
            taken
                .take(left)
                .map(|it| char::from(alphabet[it % alphabet.len()])),
        );
    }
    Ok(letters)
}

impl KeyDenial {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "there is no such key",
            Self::Expired => "it has expired",
            Self::Revoked => "it has been revoked, or is gone from the configuration",
        }
    }
}

impl KeyDenied {
    /// The stable word, for answers and for counting.
    pub const LABEL: &str = "key_invalid";
    /// The status of the answer.
    pub const STATUS: u16 = 401;
    /// The value of `WWW-Authenticate` (RFC 6750 section 3).
    pub const CHALLENGE: &str = "Bearer realm=\"openline\", error=\"invalid_token\", error_description=\"the key is not valid\"";

    /// The denial of a key that has, or had, this name.
    pub const fn of(denial: KeyDenial, name: Option<KeyName>) -> Self {
        Self { denial, name }
    }

    /// The reason for the log: on one line, without anything that the caller has
    /// chosen.
    pub fn logged(&self) -> impl fmt::Display + '_ {
        let reason = self.denial.as_str();
        let name = self.name.as_ref();
        let named = name.map(|name| format!("`{name}`: {reason}"));
        named.unwrap_or_else(|| reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use openline_core::key::Scope;

    use super::*;

    #[test]
    fn texts_are_long_random_and_say_what_they_are_for() {
        let scopes = |scope| Scopes::new([scope]).unwrap();
        let mut seen = HashSet::new();
        for (scope, prefix) in [
            (Scope::Subscribe, "pub_"),
            (Scope::Publish, "sec_"),
            (Scope::Manage, "mgmt_"),
        ] {
            for _ in 0..100 {
                let text = new_text(scopes(scope)).unwrap();
                let random = text.strip_prefix(prefix).unwrap();
                assert_eq!(random.len(), RANDOM_CHARACTERS);
                assert!(random.bytes().all(|it| it.is_ascii_alphanumeric()));
                assert!(check_text(text.as_bytes()).is_ok());
                assert!(seen.insert(text));
            }
        }
        // 12,000 characters of 62: each is there.
        let used: HashSet<char> = seen.iter().flat_map(|text| text.chars()).collect();
        assert!(
            LETTERS_AND_DIGITS
                .iter()
                .all(|it| used.contains(&char::from(*it)))
        );
        const { assert!((RANDOM_CHARACTERS as f64) * 5.95 > 192.0) };
    }

    #[test]
    fn a_pair_has_the_form_of_aws_and_its_secret_is_that_of_the_host() {
        let id = new_access_key_id().unwrap();
        assert!(id.as_str().starts_with("OPLN"));
        assert_ne!(new_access_key_id().unwrap(), id);
        let secret = derived_secret(&[7; 32], &id);
        assert_eq!(secret.bytes().len(), 40);
        assert!(check_text(secret.bytes()).is_ok());
        assert_eq!(derived_secret(&[7; 32], &id), secret);
        assert_ne!(derived_secret(&[8; 32], &id), secret);
        let other = new_access_key_id().unwrap();
        assert_ne!(derived_secret(&[7; 32], &other), secret);
        // It stays so: pairs that were given away must not change with a release.
        let id = AccessKeyId::new("OPLNABCDEFGHIJ012345").unwrap();
        let secret = derived_secret(&[0; 32], &id);
        let text = std::str::from_utf8(secret.bytes()).unwrap();
        assert_eq!(text, "W15ouMwrSJSFfRLZ6quPbW5eU8BFyYvSA80QhJIx");
    }

    #[test]
    fn a_text_at_its_lengths_and_past_them() {
        for (length, is_one) in [
            (KEY_TEXT_BYTES_MIN - 1, false),
            (KEY_TEXT_BYTES_MIN, true),
            (KEY_TEXT_BYTES_MAX, true),
            (KEY_TEXT_BYTES_MAX + 1, false),
        ] {
            let text = "a".repeat(length);
            assert_eq!(check_text(text.as_bytes()).is_ok(), is_one, "{length}");
            assert_eq!(credential(&text).is_some(), is_one, "{length}");
        }
        for bad in [
            "a b c d e f g h i j k l",
            "äääääääääääää",
            "aaaaaaaaaaaaaaaaaaaaaaa\n",
        ] {
            let error = check_text(bad.as_bytes()).unwrap_err();
            assert_eq!(error, KeyTextError::Characters, "{bad}");
        }
        assert_eq!(check_text(&[0xff; 30]), Err(KeyTextError::Characters));
    }

    #[test]
    fn a_stranger_learns_nothing_and_the_log_the_reason() {
        let name = KeyName::new("web").unwrap();
        let mut logged = HashSet::new();
        for denial in [KeyDenial::Unknown, KeyDenial::Expired, KeyDenial::Revoked] {
            let denied = KeyDenied::of(denial, Some(name.clone()));
            assert_eq!(denied.to_string(), "the key is not valid");
            assert!(denied.logged().to_string().starts_with("`web`: "));
            logged.insert(denied.logged().to_string());
        }
        assert_eq!(logged.len(), 3);
        let unknown = KeyDenied::of(KeyDenial::Unknown, None);
        assert_eq!(unknown.logged().to_string(), "there is no such key");
        assert!(
            http::HeaderValue::from_static(KeyDenied::CHALLENGE)
                .to_str()
                .is_ok()
        );
    }
}
