//! `openline:state/state`: data that outlives instances.

use bytes::Bytes;
use openline_store::{SaveError as StoreSaveError, StoreError};
use wasmtime::Result;

use crate::contract::bindings::common::Error;
use crate::contract::bindings::state::{Host, SaveError, Snapshot};
use crate::instance::store::StoreData;

/// The error of a component that uses states in its trial.
const TRIAL: &str = "a trial keeps nothing";

impl Host for StoreData {
    async fn load(&mut self) -> Result<std::result::Result<Option<Snapshot>, Error>> {
        let Some(key) = &self.scope else {
            return Ok(Ok(None));
        };
        let store = self.program.reach.owner.store();
        let loaded = store.state(key).await;
        Ok(match loaded {
            Ok(found) => Ok(found.map(|snapshot| Snapshot {
                version: snapshot.version,
                bytes: snapshot.bytes.into(),
            })),
            Err(error) => {
                tracing::error!(function = %self.program.name, %error, "could not read a state");
                Err(Error::Limit("the host cannot read at the moment".into()))
            }
        })
    }

    async fn save(
        &mut self,
        bytes: Vec<u8>,
        expected: Option<u64>,
    ) -> Result<std::result::Result<u64, SaveError>> {
        let Some(key) = &self.scope else {
            return Ok(Err(SaveError::Limit(TRIAL.into())));
        };
        let most = self.program.limits.state_bytes;
        if bytes.len() > most {
            return Ok(Err(SaveError::Limit(format!(
                "a state has at most {most} bytes (state_bytes)"
            ))));
        }
        let store = self.program.reach.owner.store();
        let saved = store.save_state(key, Bytes::from(bytes), expected);
        Ok(saved.await.map_err(|error| match error {
            StoreSaveError::Conflict(version) => SaveError::Conflict(version),
            StoreSaveError::Full => {
                SaveError::Limit("the host keeps too much already (stored_bytes)".into())
            }
            StoreSaveError::Share => SaveError::Limit(
                "the function keeps as much as it leaves free for others (stored_bytes)".into(),
            ),
            StoreSaveError::Unavailable(StoreError::Forgotten) => SaveError::Unavailable,
            StoreSaveError::Unavailable(error) => {
                tracing::error!(function = %self.program.name, %error, "could not save a state");
                SaveError::Unavailable
            }
        }))
    }

    async fn clear(&mut self) -> Result<std::result::Result<(), Error>> {
        let Some(key) = &self.scope else {
            return Ok(Err(Error::Limit(TRIAL.into())));
        };
        let store = self.program.reach.owner.store();
        let cleared = store.clear_state(key).await;
        Ok(match cleared {
            // It is already cleared.
            Ok(()) | Err(StoreError::Forgotten) => Ok(()),
            Err(error) => {
                tracing::error!(function = %self.program.name, %error, "could not clear a state");
                Err(Error::Limit("the host cannot write at the moment".into()))
            }
        })
    }
}
