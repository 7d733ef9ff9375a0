//! API keys: reads those of the configuration, and makes, lists and revokes those
//! of the running host.
//!
//! A key is written first and then in force: what was shown to somebody is there
//! after a restart. A revocation is in force first and then written: a slow disk
//! lets no caller stay. Changes of deployments and new keys take one lock, so
//! names stay distinct; a revocation takes none.
//!
//! Files are read on threads that serve nothing, and waited for as long as the
//! data directory is.

use openline_admission::authenticate::now;
use openline_admission::keys::{ConfiguredKey, Keys, PreparedKeys};
use openline_authentication::Secret;
use openline_authentication::key::check_text;
use openline_core::config::{Config, key_warnings};
use openline_core::key::{KeyCredential, KeyTable, KeyTerms};
use openline_core::name::KeyName;
use openline_hint::Hinted;
use openline_store::{Store, StoreError};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::authenticators::read_secret;
use crate::deployer::Deployer;
use crate::error::{ChangeError, KeysError};
use crate::settle::{Claim, STORE_TIMEOUT, answered};

mod view;

pub use view::{KeyOrigin, KeyState, KeyView, NewKeyView, RevokedKeyView};

impl Deployer {
    /// All API keys, by name.
    pub fn keys(&self) -> Vec<KeyView> {
        let now = now().wall;
        let keys = self.services().keys().list();
        keys.iter().map(|key| KeyView::of(key, now)).collect()
    }

    /// What is allowed about the keys in force, and probably not meant.
    pub fn key_warnings(&self) -> Vec<Hinted> {
        let keys = self.services().keys().list();
        let terms: Vec<_> = keys.iter().map(|key| key.terms()).collect();
        let functions = self
            .inner
            .state
            .read()
            .functions
            .keys()
            .cloned()
            .collect::<Vec<_>>();
        key_warnings(terms.iter().map(|it| &**it), &functions, now().wall)
    }

    /// Makes an API key, and keeps it; `aws` makes a pair for AWS's tools. The
    /// answer is the only place where its secret is.
    ///
    /// # Errors
    ///
    /// When there is a key of this name, when it has expired, when there are too
    /// many, and when it cannot be written. Nothing has changed then.
    pub async fn make_key(&self, terms: KeyTerms, aws: bool) -> Result<NewKeyView, ChangeError> {
        let guard = self.lock_changes().await?;
        let keys = self.services().keys();
        let made = keys
            .make(terms, aws, now().wall)
            .map_err(ChangeError::Key)?;
        let (record, keys) = (made.record, keys.clone());
        let store = self.inner.loader.store.clone();
        let keeping = async move |claim: Claim, _| -> Result<_, ChangeError> {
            store.put_key(&record).await?;
            if !claim.take() {
                // Its asker has been told that there is no key.
                if let Err(error) = store.remove_key(&record.credential).await {
                    tracing::error!(%error, key = %record.terms.name, "a key was written too late: it is in force when the host starts again");
                }
                return Err(ChangeError::Stopping);
            }
            keys.take(record).map_err(ChangeError::Key)
        };
        let key = self.inner.changes.settle(&guard, keeping).await?;
        let view = KeyView::of(&key, now().wall);
        let (channels, functions) = (view.channels.join(" "), &view.functions);
        tracing::info!(key = %view.name, scopes = %key.terms().scopes, channels, ?functions, "a key is made");
        let secret = String::from_utf8_lossy(made.secret.bytes()).into_owned();
        let (text, secret_access_key) = match &view.access_key_id {
            None => (Some(secret), None),
            Some(_) => (None, Some(secret)),
        };
        Ok(NewKeyView {
            key: view,
            text,
            secret_access_key,
            kept: !self.is_in_memory(),
        })
    }

    /// Revokes an API key that the running host has made, closes the connections
    /// that it has let in, and removes it from the data directory.
    ///
    /// # Errors
    ///
    /// When there is no such key, or it is in the configuration. When it cannot be
    /// removed from the data directory; then it is revoked in this process, and
    /// can be revoked again.
    pub async fn revoke_key(&self, name: &KeyName) -> Result<RevokedKeyView, ChangeError> {
        let (keys, own) = (self.services().keys().clone(), name.clone());
        // It looks at all connections of the key.
        let revoking = spawn_blocking(move || keys.revoke(&own));
        let revoked = revoking.await.map_err(|_| ChangeError::Stopping)?;
        let (key, closed) = revoked.map_err(ChangeError::Key)?;
        tracing::info!(key = %name, closed, "a key is revoked");
        let removing = self.inner.loader.store.remove_key(key.credential());
        let removed = answered(removing).await;
        removed.map_err(|error| ChangeError::NotKept(error.to_string()))?;
        self.services().keys().forget(&key);
        Ok(RevokedKeyView {
            name: name.clone(),
            closed,
        })
    }
}

/// Puts the keys that earlier processes have made into force, before the host
/// serves.
///
/// # Errors
///
/// When the store does not answer, and when there are more keys than there may
/// be, or two of one name.
pub(crate) async fn restore(store: &Store, keys: &Keys) -> Result<(), StoreError> {
    let records = answered(store.keys()).await?;
    let count = records.len();
    for record in records {
        let taken = keys.take(record);
        taken.map_err(|error| StoreError::Damaged(error.to_string()))?;
    }
    if count > 0 {
        tracing::info!(keys = count, "keys that were made are in force");
    }
    Ok(())
}

/// The keys of a configuration that is about to be in force.
pub(crate) async fn prepare(keys: &Keys, tables: &[KeyTable]) -> Result<PreparedKeys, KeysError> {
    let Some(first) = tables.first() else {
        return Ok(keys.prepare(Vec::new())?);
    };
    let first = first.terms.name.clone();
    let tables = tables.to_vec();
    let reading = timeout(STORE_TIMEOUT, spawn_blocking(move || read(&tables))).await;
    let read = reading.ok().and_then(Result::ok).ok_or_else(|| {
        let what = "the secrets of the keys cannot be read in time";
        let hint = "look at the disks that their files are on";
        KeysError::Secret(first, Hinted::new(what, hint))
    })?;
    Ok(keys.prepare(read?)?)
}

/// Reads the secrets of a configuration's keys, and tells whether they would be
/// good. Waits for files.
///
/// # Errors
///
/// The first key whose secret is not good, or is that of another one.
pub fn check_keys(config: &Config) -> Result<(), KeysError> {
    Keys::default().prepare(read(&config.keys)?)?;
    Ok(())
}

/// Reads the text of a key of a configuration, as its bearer shows it: commands
/// that run where the secrets are need no other. Waits for files.
///
/// # Errors
///
/// When the secret cannot be read, or is no key.
pub fn key_text(table: &KeyTable) -> Result<String, KeysError> {
    let (_, text) = read_secret_of(table)?;
    Ok(text)
}

/// What is allowed about the keys of a configuration, and probably not meant.
pub fn configured_key_warnings(config: &Config) -> Vec<Hinted> {
    let functions: Vec<_> = config.functions.iter().map(|it| it.name.clone()).collect();
    let terms = config.keys.iter().map(|key| &key.terms);
    key_warnings(terms, &functions, now().wall)
}

fn read(tables: &[KeyTable]) -> Result<Vec<ConfiguredKey>, KeysError> {
    tables.iter().map(read_one).collect()
}

fn read_one(table: &KeyTable) -> Result<ConfiguredKey, KeysError> {
    let (secret, text) = read_secret_of(table)?;
    let (credential, secret) = match &table.access_key_id {
        None => (KeyCredential::of(&text), None),
        Some(id) => (KeyCredential::AccessKeyId(id.clone()), Some(secret)),
    };
    Ok(ConfiguredKey {
        terms: table.terms.clone(),
        credential,
        secret,
    })
}

/// The secret of a table, and its text.
fn read_secret_of(table: &KeyTable) -> Result<(Secret, String), KeysError> {
    let name = &table.terms.name;
    let wrong =
        |what: String, hint: &'static str| KeysError::Secret(name.clone(), Hinted::new(what, hint));
    let secret = Secret::read(&table.secret, &read_secret).map_err(|error| {
        let hint = "set the variable in the host's environment, or name a file that the host's user may read";
        wrong(error.to_string(), hint)
    })?;
    let text = check_text(secret.bytes()).map_err(|error| {
        let what = format!("the secret `{}`: {error}", table.secret);
        wrong(what, "make one with `openssl rand -hex 32`")
    })?;
    let text = text.to_owned();
    Ok((secret, text))
}
