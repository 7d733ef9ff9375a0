//! API keys that a running host has made, as JSON by their credentials. Nothing
//! in them is secret. The caller bounds how many there are.

use openline_core::key::{KeyCredential, KeyRecord};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

/// By [`KeyCredential`] as text: a [`KeyRecord`]. Not by name, so that a removal
/// that comes late removes no other key that has the name by then.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");

/// Keeps one, in the place of one with the same credential.
pub(crate) fn keep(
    transaction: &WriteTransaction,
    credential: &str,
    json: &[u8],
) -> Result<(), redb::Error> {
    transaction.open_table(KEYS)?.insert(credential, json)?;
    Ok(())
}

/// Removes one, if it is there.
pub(crate) fn remove(
    transaction: &WriteTransaction,
    credential: &KeyCredential,
) -> Result<(), redb::Error> {
    let credential = credential.to_string();
    transaction.open_table(KEYS)?.remove(&*credential)?;
    Ok(())
}

/// All of them.
pub(crate) fn all(transaction: &ReadTransaction) -> Result<Vec<KeyRecord>, redb::Error> {
    let rows = match transaction.open_table(KEYS) {
        Ok(rows) => rows,
        // None was ever made.
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut keys = Vec::new();
    for row in rows.iter()? {
        let (credential, json) = row?;
        let key = serde_json::from_slice(json.value()).map_err(|error| {
            redb::Error::Corrupted(format!("the key `{}`: {error}", credential.value()))
        })?;
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use openline_core::authentication::UnixTime;
    use openline_core::key::{KeyTerms, Scope, Scopes};
    use openline_core::name::KeyName;

    use crate::{Store, StoreError};

    use super::*;

    fn record(name: &str, text: &str) -> KeyRecord {
        KeyRecord {
            terms: KeyTerms {
                name: KeyName::new(name).unwrap(),
                scopes: Scopes::new([Scope::Publish]).unwrap(),
                channels: KeyTerms::all_channels(),
                functions: None,
                expires: Some(UnixTime(7)),
            },
            credential: KeyCredential::of(text),
            created: UnixTime(1),
        }
    }

    #[tokio::test]
    async fn keys_are_kept_until_they_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(folder.path(), 1 << 20).unwrap();
        let (one, other) = (record("a", "one"), record("a", "other"));
        {
            let store = open();
            assert_eq!(store.keys().await, Ok(vec![]), "there is no table yet");
            store.put_key(&one).await.unwrap();
            store.put_key(&other).await.unwrap();
        }
        let store = open();
        assert_eq!(store.keys().await.unwrap().len(), 2);
        // The one that has the name now stays.
        store.remove_key(&one.credential).await.unwrap();
        store.remove_key(&one.credential).await.unwrap();
        assert_eq!(store.keys().await, Ok(vec![other]));
    }

    #[tokio::test]
    async fn a_row_that_is_no_key_is_said() {
        let store = Store::memory(1 << 20);
        let broken = |tables: &mut crate::tables::Tables<'_>| tables.keep_key("text:0", b"{}");
        store.write(broken).await.unwrap();
        let error = store.keys().await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert!(error.to_string().contains("the key `text:0`"), "{error}");
    }
}
