//! The keys of callers.

use std::collections::HashMap;

use openline_core::authentication::{AccessKeyConfig, UnixTime};
use openline_hint::Hinted;

use crate::secret::{ReadSecret, Secret, same};

/// The shortest secret: with one signature, secrets can be tried as fast as a
/// machine computes. Those of Alibaba Cloud have 30.
const SECRET_BYTES_MIN: usize = 16;

/// One caller's key.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its secret.
    pub secret: Secret,
    /// The last moment at which it is good.
    pub not_after: Option<UnixTime>,
    /// The token that every request with it must carry.
    pub security_token: Option<Secret>,
    /// The subject of its requests.
    pub subject: String,
}

/// The keys of all callers of a trigger, by their ids.
#[derive(Clone, Debug, Default)]
pub struct AccessKeys {
    keys: HashMap<String, AccessKey>,
}

impl AccessKeys {
    /// Reads the secrets of keys that were checked.
    ///
    /// # Errors
    ///
    /// When a secret cannot be read, or is too short.
    pub fn new(written: &[AccessKeyConfig], secrets: &dyn ReadSecret) -> Result<Self, Hinted> {
        let mut keys = HashMap::new();
        for key in written {
            let read = |place| {
                let hint = "export the variable, or write the secret into the file";
                Secret::read(place, secrets).map_err(|error| Hinted::new(error.to_string(), hint))
            };
            let secret = read(&key.secret)?;
            let id = &key.id;
            if secret.bytes().len() < SECRET_BYTES_MIN {
                let what =
                    format!("the secret of key `{id}` has less than {SECRET_BYTES_MIN} bytes");
                return Err(Hinted::new(what, "make one with `openssl rand -hex 32`"));
            }
            let key = AccessKey {
                secret,
                not_after: key.not_after,
                security_token: key.security_token.as_ref().map(read).transpose()?,
                subject: key.subject.clone().unwrap_or_else(|| id.clone()),
            };
            keys.insert(id.clone(), key);
        }
        Ok(Self { keys })
    }

    /// Keys that are there already.
    pub fn of(keys: impl IntoIterator<Item = (String, AccessKey)>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&AccessKey> {
        self.keys.get(id)
    }
}

impl AccessKey {
    /// Whether a request carries the key's token, and none if it has none.
    pub(super) fn has_token(&self, given: Option<&str>) -> bool {
        let given = given.filter(|given| !given.is_empty());
        match (&self.security_token, given) {
            (None, None) => true,
            (Some(token), Some(given)) => same(token.bytes(), given.as_bytes()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use openline_core::authentication::SecretSource;
    use openline_hint::Hint;

    use super::*;

    #[test]
    fn secrets_are_read_and_long_enough() {
        let made = |length: usize, token: Option<&str>| {
            let config = AccessKeyConfig {
                id: "ak".into(),
                secret: SecretSource::Environment("SECRET".into()),
                not_after: Some(UnixTime(7)),
                security_token: token.map(|name| SecretSource::Environment(name.into())),
                subject: None,
            };
            let read = |place: &SecretSource| match place.to_string().as_str() {
                "env:NONE" => Err("it is not set".to_owned()),
                _ => Ok(vec![b'a'; length]),
            };
            AccessKeys::new(&[config], &read)
        };
        let keys = made(SECRET_BYTES_MIN, Some("TOKEN")).unwrap();
        let key = keys.get("ak").unwrap();
        assert_eq!((&*key.subject, key.not_after), ("ak", Some(UnixTime(7))));
        let token = "a".repeat(SECRET_BYTES_MIN);
        assert!(key.has_token(Some(&token)));
        assert!(!key.has_token(Some("b")) && !key.has_token(None) && !key.has_token(Some("")));
        assert!(keys.get("AK").is_none());
        assert!(!format!("{keys:?}").contains(&token));
        for (bad, why) in [
            (made(SECRET_BYTES_MIN - 1, None), "less than 16 bytes"),
            (made(SECRET_BYTES_MIN, Some("NONE")), "it is not set"),
        ] {
            let error = bad.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.hint().is_some());
        }
    }
}
