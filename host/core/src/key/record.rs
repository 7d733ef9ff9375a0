//! A key as the data directory keeps it. Nothing in it is secret: of a key's
//! text there is the digest, and of a pair for AWS's tools the public half.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::terms::KeyTerms;
use crate::authentication::UnixTime;
use crate::digest::Digest;

/// The characters of an access key id, as AWS's tools expect them.
const ACCESS_KEY_ID_CHARACTERS: usize = 20;

/// The public half of a pair for AWS's tools: 20 upper-case letters and digits.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(Arc<str>);

/// The text is not an access key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an access key id has {ACCESS_KEY_ID_CHARACTERS} characters, upper-case letters and digits"
)]
pub struct AccessKeyIdError;

/// How a caller shows a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyCredential {
    /// By its text, which has this SHA-256.
    Text(Digest),
    /// By signatures of AWS's version 4.
    AccessKeyId(AccessKeyId),
}

/// A key that a running host has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// What holds for it.
    pub terms: KeyTerms,
    /// How callers show it.
    pub credential: KeyCredential,
    /// When it was made.
    pub created: UnixTime,
}

impl AccessKeyId {
    /// Checks an id.
    ///
    /// # Errors
    ///
    /// When it has another length, or other characters.
    pub fn new(text: &str) -> Result<Self, AccessKeyIdError> {
        let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let is_one = text.len() == ACCESS_KEY_ID_CHARACTERS && text.bytes().all(letter);
        is_one.then(|| Self(text.into())).ok_or(AccessKeyIdError)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyCredential {
    /// That of a key with this text.
    pub fn of(text: &str) -> Self {
        Self::Text(Digest::of(text.as_bytes()))
    }

    /// The access key id, if it is one.
    pub fn access_key_id(&self) -> Option<&AccessKeyId> {
        match self {
            Self::Text(_) => None,
            Self::AccessKeyId(id) => Some(id),
        }
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyCredential {
    /// The name by which the data directory has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(digest) => write!(f, "text:{digest}"),
            Self::AccessKeyId(id) => write!(f, "access-key-id:{id}"),
        }
    }
}

impl Serialize for AccessKeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccessKeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let shown: String = text.chars().take(40).collect();
        Self::new(&text).map_err(|error| de::Error::custom(format!("`{shown}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Scope, Scopes};
    use crate::name::KeyName;

    #[test]
    fn an_access_key_id_has_one_length_and_few_letters() {
        let id = "ABCDEFGHIJ0123456789";
        assert_eq!(AccessKeyId::new(id).unwrap().as_str(), id);
        for bad in [
            "",
            &id[1..],
            &format!("{id}A"),
            "abcdefghij0123456789",
            "ABCDEFGHIJ012345678-",
            "ÄBCDEFGHIJ012345678",
        ] {
            assert_eq!(AccessKeyId::new(bad), Err(AccessKeyIdError), "{bad}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let id = AccessKeyId::new("ABCDEFGHIJ0123456789").unwrap();
        for (credential, name) in [
            (
                KeyCredential::of("abc"),
                "text:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                KeyCredential::AccessKeyId(id),
                "access-key-id:ABCDEFGHIJ0123456789",
            ),
        ] {
            assert_eq!(credential.to_string(), name);
            let record = KeyRecord {
                terms: KeyTerms {
                    name: KeyName::new("k").unwrap(),
                    scopes: Scopes::new([Scope::Read]).unwrap(),
                    channels: KeyTerms::all_channels(),
                    functions: None,
                    expires: None,
                },
                credential,
                created: UnixTime(7),
            };
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<KeyRecord>(&json).unwrap(), record);
        }
    }
}
