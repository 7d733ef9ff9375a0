//! The API keys of the host: those of the configuration, and those that the
//! running host has made.
//!
//! Callers from outside show a key by its text, or by signatures of AWS's
//! version 4. They learn only whether it is valid; the log says why it is not. No
//! two keys have the same name, the same text or the same access key id. The keys
//! here are those in force; `control` reads their secrets, and writes those that
//! were made to the data directory.
//!
//! Bounded by [`KEYS_CONFIGURED_MAX`](openline_core::key::KEYS_CONFIGURED_MAX),
//! by [`KEYS_MADE_MAX`], and by [`REVOKED_MAX`] names of keys that are gone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use openline_authentication::Secret;
use openline_authentication::key::{
    KeyDenial, KeyDenied, NoRandom, credential, derived_secret, new_access_key_id, new_text,
};
use openline_core::authentication::UnixTime;
use openline_core::key::{AccessKeyId, KEYS_MADE_MAX, KeyCredential, KeyRecord, KeyTerms};
use openline_core::name::KeyName;
use parking_lot::RwLock;

mod key;

pub use key::{Key, KeySource};

/// Keys that are gone and whose names the log still knows. The oldest are
/// forgotten first, and with a restart all: then they are unknown keys.
pub const REVOKED_MAX: usize = 1024;

/// All API keys.
#[derive(Debug, Default)]
pub struct Keys {
    /// The secret that the host keeps, of which those of pairs are derived.
    secret: OnceLock<[u8; 32]>,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_name: BTreeMap<KeyName, Arc<Key>>,
    by_credential: HashMap<KeyCredential, Arc<Key>>,
    gone: HashMap<KeyCredential, KeyName>,
    /// The same, in the order in which they went.
    order: VecDeque<KeyCredential>,
}

/// A key of the configuration, with its secret read.
#[derive(Clone, Debug)]
pub struct ConfiguredKey {
    /// What holds for it.
    pub terms: KeyTerms,
    /// How callers show it.
    pub credential: KeyCredential,
    /// The secret access key, if it is a pair.
    pub secret: Option<Secret>,
}

/// Keys of a configuration that go together with those that were made.
#[derive(Debug)]
pub struct PreparedKeys(Vec<ConfiguredKey>);

/// A key that was made and is not in force yet.
#[derive(Debug)]
pub struct NewKey {
    /// What is kept of it.
    pub record: KeyRecord,
    /// What is not: the text, or the secret access key.
    pub secret: Secret,
}

/// Why a key cannot be made, revoked or configured. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another key has the name.
    #[error("there is a key `{0}` already")]
    Name(KeyName),
    /// A key of the configuration has the name of one that was made.
    #[error(
        "the key `{0}` of the configuration has the name of one that was made in the running host"
    )]
    Made(KeyName),
    /// Two keys have one text, or one access key id.
    #[error("the keys `{0}` and `{1}` have the same {2}")]
    Same(KeyName, KeyName, &'static str),
    /// As many as there may be.
    #[error("the host has made {KEYS_MADE_MAX} keys, and makes no more")]
    Full,
    /// There is no such key.
    #[error("there is no key `{0}`")]
    None(KeyName),
    /// It is not this host that has made it.
    #[error("the key `{0}` is in the host's configuration")]
    Configured(KeyName),
    /// Its end is over.
    #[error("the key would have expired already")]
    Expired,
    /// No text can be made.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

impl Keys {
    /// Sets the secret that the host keeps. Only the first call has an effect.
    pub fn derive_from(&self, secret: [u8; 32]) {
        let _ = self.secret.set(secret);
    }

    // === callers ===

    /// The key with this text.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not good any more.
    pub fn authenticate(&self, text: &str, now: UnixTime) -> Result<Arc<Key>, KeyDenied> {
        let credential = credential(text);
        let credential = credential.ok_or(KeyDenied::of(KeyDenial::Unknown, None))?;
        self.find(&credential, now)
    }

    /// The key with this access key id, and its secret access key, with which the
    /// caller verifies a signature.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not good any more.
    pub fn secret_of(
        &self,
        access_key_id: &str,
        now: UnixTime,
    ) -> Result<(Arc<Key>, Secret), KeyDenied> {
        let unknown = KeyDenied::of(KeyDenial::Unknown, None);
        let Ok(id) = AccessKeyId::new(access_key_id) else {
            return Err(unknown);
        };
        let key = self.find(&KeyCredential::AccessKeyId(id.clone()), now)?;
        let derive = || Some(derived_secret(self.secret.get()?, &id));
        let secret = key.secret().cloned().or_else(derive);
        secret.map(|secret| (key, secret)).ok_or(unknown)
    }

    fn find(&self, credential: &KeyCredential, now: UnixTime) -> Result<Arc<Key>, KeyDenied> {
        let table = self.table.read();
        let Some(key) = table.by_credential.get(credential) else {
            let name = table.gone.get(credential).cloned();
            let denial = match name {
                Some(_) => KeyDenial::Revoked,
                None => KeyDenial::Unknown,
            };
            return Err(KeyDenied::of(denial, name));
        };
        let key = Arc::clone(key);
        drop(table);
        match key.denial(now) {
            Some(denied) => Err(denied),
            None => Ok(key),
        }
    }

    // === operators ===

    /// All keys by name.
    pub fn list(&self) -> Vec<Arc<Key>> {
        self.table.read().by_name.values().cloned().collect()
    }

    /// Makes a key, which is in force once it is [taken](Self::take).
    ///
    /// # Errors
    ///
    /// When its name is taken, when it has expired, when there are too many, and
    /// when the system has no random numbers.
    pub fn make(&self, terms: KeyTerms, aws: bool, now: UnixTime) -> Result<NewKey, KeyError> {
        if terms.has_expired(now) {
            return Err(KeyError::Expired);
        }
        self.table.read().has_room(&terms.name)?;
        let (credential, secret) = if aws {
            let id = new_access_key_id()?;
            // Without a secret of the host there is no data directory, either.
            let secret = self.secret.get().ok_or(NoRandom)?;
            let secret = derived_secret(secret, &id);
            (KeyCredential::AccessKeyId(id), secret)
        } else {
            let text = new_text(terms.scopes)?;
            (KeyCredential::of(&text), Secret::new(text))
        };
        let record = KeyRecord {
            terms,
            credential,
            created: now,
        };
        Ok(NewKey { record, secret })
    }

    /// Puts a key into force that was made and written.
    ///
    /// # Errors
    ///
    /// When its name is taken or there are too many, which the caller excludes by
    /// making one key at a time.
    pub fn take(&self, record: KeyRecord) -> Result<Arc<Key>, KeyError> {
        let KeyRecord {
            terms,
            credential,
            created,
        } = record;
        let mut table = self.table.write();
        table.has_room(&terms.name)?;
        let source = KeySource::Made(created);
        let key = Arc::new(Key::new(terms, credential, source, None));
        table.insert(&key);
        Ok(key)
    }

    /// Revokes a key that the host has made, and closes its connections. Returns
    /// it, and how many these were. Its name stays taken until it is
    /// [forgotten](Self::forget), so that a key whose end could not be written is
    /// not lost sight of: it can be revoked again. Looks at all its connections,
    /// so it is not for a thread that serves.
    ///
    /// # Errors
    ///
    /// When there is no such key, or the configuration has it.
    pub fn revoke(&self, name: &KeyName) -> Result<(Arc<Key>, usize), KeyError> {
        let mut table = self.table.write();
        let key = table.by_name.get(name);
        let key = Arc::clone(key.ok_or_else(|| KeyError::None(name.clone()))?);
        if key.source() == KeySource::Configuration {
            return Err(KeyError::Configured(name.clone()));
        }
        table.retire(&key);
        drop(table);
        let closed = key.revoke();
        Ok((key, closed))
    }

    /// Frees the name of a key that is revoked, and is not in the data directory
    /// any more.
    pub fn forget(&self, key: &Arc<Key>) {
        let mut table = self.table.write();
        let name = key.name();
        if table
            .by_name
            .get(&name)
            .is_some_and(|it| Arc::ptr_eq(it, key))
        {
            table.by_name.remove(&name);
        }
    }

    // === the configuration ===

    /// Checks the keys of a configuration against each other and those that were
    /// made.
    ///
    /// # Errors
    ///
    /// When two have one name, one text or one access key id.
    pub fn prepare(&self, configured: Vec<ConfiguredKey>) -> Result<PreparedKeys, KeyError> {
        let table = self.table.read();
        let made = table.by_name.values().filter(|it| it.is_made());
        let mut seen: HashMap<KeyCredential, KeyName> = made
            .map(|it| (it.credential().clone(), it.name()))
            .collect();
        for each in &configured {
            let name = &each.terms.name;
            if table.by_name.get(name).is_some_and(|it| it.is_made()) {
                return Err(KeyError::Made(name.clone()));
            }
            if let Some(other) = seen.insert(each.credential.clone(), name.clone()) {
                let what = match each.credential {
                    KeyCredential::Text(_) => "text",
                    KeyCredential::AccessKeyId(_) => "access key id",
                };
                return Err(KeyError::Same(other, name.clone(), what));
            }
        }
        Ok(PreparedKeys(configured))
    }

    /// Replaces the keys of the configuration. One with the same name and the
    /// same secret stays with its connections, under its new terms; the
    /// connections of others are closed. Looks at all of these, so it is not for a
    /// thread that serves. Returns how many were closed.
    pub fn put(&self, prepared: PreparedKeys) -> usize {
        let mut table = self.table.write();
        let before: Vec<_> = table.by_name.values().cloned().collect();
        let before = before.into_iter().filter(|it| !it.is_made());
        let mut before: HashMap<_, _> = before.map(|it| (it.name(), it)).collect();
        let (mut changed, mut added) = (Vec::new(), Vec::new());
        for each in prepared.0 {
            let known = before.remove(&each.terms.name);
            match known {
                Some(known) if known.is(&each) => changed.push((known, each.terms)),
                known => {
                    before.extend(known.map(|known| (each.terms.name.clone(), known)));
                    added.push(each);
                }
            }
        }
        for gone in before.values() {
            table.retire(gone);
            table.by_name.remove(&gone.name());
        }
        for each in added {
            let ConfiguredKey {
                terms,
                credential,
                secret,
            } = each;
            let key = Key::new(terms, credential, KeySource::Configuration, secret);
            table.insert(&Arc::new(key));
        }
        drop(table);
        for (key, terms) in changed {
            key.take(terms);
        }
        before.values().map(|gone| gone.revoke()).sum()
    }
}

impl Table {
    /// Whether one more can be made, with this name.
    fn has_room(&self, name: &KeyName) -> Result<(), KeyError> {
        if self.by_name.contains_key(name) {
            return Err(KeyError::Name(name.clone()));
        }
        let made = self.by_name.values().filter(|it| it.is_made()).count();
        if made >= KEYS_MADE_MAX {
            return Err(KeyError::Full);
        }
        Ok(())
    }

    fn insert(&mut self, key: &Arc<Key>) {
        let credential = key.credential().clone();
        // One that comes back, as a key of the configuration can.
        if self.gone.remove(&credential).is_some() {
            self.order.retain(|it| *it != credential);
        }
        self.by_name.insert(key.name(), Arc::clone(key));
        self.by_credential.insert(credential, Arc::clone(key));
    }

    /// Takes a key out of the index, so that nobody finds it by its credential.
    fn retire(&mut self, key: &Key) {
        let credential = key.credential();
        if self.by_credential.remove(credential).is_none() {
            return;
        }
        if self.order.len() == REVOKED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        self.order.push_back(credential.clone());
        self.gone.insert(credential.clone(), key.name());
    }
}

impl Key {
    fn is_made(&self) -> bool {
        matches!(self.source(), KeySource::Made(_))
    }

    /// Whether a key of the configuration is this one: callers would show the
    /// same.
    fn is(&self, configured: &ConfiguredKey) -> bool {
        *self.credential() == configured.credential && self.secret() == configured.secret.as_ref()
    }
}

#[cfg(test)]
mod tests;
