//! The tables of the database, and the operations on them. Each operation is
//! part of a transaction of the writer, and so are the counts of stored bytes,
//! so that they always stay right.

use std::collections::BTreeMap;

use bytes::Bytes;
use openline_core::deployment::Deployment;
use openline_core::key::KeyCredential;
use openline_core::name::{AlarmName, FunctionName};
use redb::{
    AccessGuard, Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table, TableDefinition, TableError, WriteTransaction,
};

use crate::database::begin_read;
use crate::error::SaveError;
use crate::keys;
use crate::revocations::{self, StoredRevocation};
use crate::rows::{self, RowsTable};

/// How much each state, each alarm and each row of a channel counts in addition
/// to its names and its bytes: what the database needs to find it.
pub const ENTRY_BYTES: u64 = 64;

/// `format`, and the fields of [`Usage`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The format of a database that has rows of channels; without them it is 1.
const FORMAT_WITH_ROWS: u64 = 2;
/// By function, as JSON.
const DEPLOYMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("deployments");
/// By function and key: version and content.
const STATES: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("states");
/// By function, key and name: when it is due, and the attempt.
const ALARMS: TableDefinition<'_, (&str, &str, &str), (u64, u32)> = TableDefinition::new("alarms");
/// By owner, which is a function or [`rows::SHARED`]: the bytes of its states,
/// alarms and rows.
const SHARES: TableDefinition<'_, &str, u64> = TableDefinition::new("shares");

/// The last saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How often it has been saved.
    pub version: u64,
    /// Its content.
    pub bytes: Bytes,
}

/// An alarm that survives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlarm {
    /// Its function.
    pub function: FunctionName,
    /// Its affinity value.
    pub key: String,
    /// Its name.
    pub name: AlarmName,
    /// When it is due, in milliseconds since 1970.
    pub due_at: u64,
    /// How often it has been tried.
    pub attempt: u32,
}

/// How much functions have stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of states, alarms and rows of channels together, with their names
    /// and [`ENTRY_BYTES`].
    pub bytes: u64,
    /// How many states.
    pub states: u64,
    /// How many alarms.
    pub alarms: u64,
}

/// The tables in a transaction of the writer.
pub(crate) struct Tables<'t> {
    /// For tables that few operations need.
    transaction: &'t WriteTransaction,
    meta: Table<'t, &'static str, u64>,
    deployments: Table<'t, &'static str, &'static [u8]>,
    states: Table<'t, (&'static str, &'static str), (u64, &'static [u8])>,
    alarms: Table<'t, (&'static str, &'static str, &'static str), (u64, u32)>,
    shares: Table<'t, &'static str, u64>,
    usage: Usage,
    stored_bytes_max: u64,
    /// Once it was needed.
    pub(crate) rows: Option<RowsTable<'t>>,
    /// Whether there may be rows of channels, which older releases would leave
    /// to the next function of the same name.
    has_rows: bool,
}

/// The format that a database has, if it has one.
pub(crate) fn format(database: &impl ReadableDatabase) -> Result<Option<u64>, redb::Error> {
    match begin_read(database)?.open_table(META) {
        Ok(meta) => Ok(meta.get("format")?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the tables.
pub(crate) fn create(database: &Database, format: u64) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Tables::open(&transaction, 0)?
        .meta
        .insert("format", format)?;
    Ok(transaction.commit()?)
}

/// Counts each function's share again if the shares do not add up: an older
/// release, which did not count them, has written.
pub(crate) fn check_shares(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let is_whole = {
        let mut tables = Tables::open(&transaction, 0)?;
        let is_whole = tables.counted()? == tables.usage.bytes;
        if !is_whole {
            tables.count_anew()?;
        }
        is_whole
    };
    if is_whole {
        Ok(transaction.abort()?)
    } else {
        Ok(transaction.commit()?)
    }
}

/// How much an entry with these names and bytes counts.
fn cost(parts: &[&str], bytes: usize) -> u64 {
    let names: usize = parts.iter().map(|part| part.len()).sum();
    ENTRY_BYTES + (names + bytes) as u64
}

/// The first text that sorts after a name, none of which contains a zero.
pub(crate) fn behind(name: &str) -> String {
    format!("{name}\0")
}

/// Subtracts, and stops at 0, which a damaged file might otherwise pass.
fn subtract(count: &mut u64, less: u64) {
    *count = count.saturating_sub(less);
}

// === impl Tables ===

impl<'t> Tables<'t> {
    pub(crate) fn open(
        transaction: &'t WriteTransaction,
        stored_bytes_max: u64,
    ) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let usage = usage_in(&meta)?;
        Ok(Self {
            transaction,
            meta,
            deployments: transaction.open_table(DEPLOYMENTS)?,
            states: transaction.open_table(STATES)?,
            alarms: transaction.open_table(ALARMS)?,
            shares: transaction.open_table(SHARES)?,
            usage,
            stored_bytes_max,
            rows: None,
            has_rows: false,
        })
    }

    /// Writes the counts, as the last step of a transaction.
    pub(crate) fn finish(mut self) -> Result<(), redb::Error> {
        let Usage {
            bytes,
            states,
            alarms,
        } = self.usage;
        for (name, count) in [("bytes", bytes), ("states", states), ("alarms", alarms)] {
            self.meta.insert(name, count)?;
        }
        if self.has_rows {
            self.meta.insert("format", FORMAT_WITH_ROWS)?;
        }
        Ok(())
    }

    /// Takes the table of the channels' rows; who takes it puts it back.
    pub(crate) fn rows(
        &mut self,
        table: TableDefinition<'static, (&'static str, &'static str, &'static [u8]), &'static [u8]>,
    ) -> Result<RowsTable<'t>, redb::Error> {
        match self.rows.take() {
            Some(rows) => Ok(rows),
            None => Ok(self.transaction.open_table(table)?),
        }
    }

    /// Changes the counts for rows of an owner.
    pub(crate) fn change_rows(
        &mut self,
        owner: &str,
        less: u64,
        more: u64,
    ) -> Result<(), redb::Error> {
        self.has_rows |= more > 0;
        self.change(owner, less, more)
    }

    /// Whether a function's bytes may change in this way. They may always
    /// become less. A function that shares the host takes no more than it
    /// leaves free.
    pub(crate) fn has_room(
        &self,
        function: &str,
        less: u64,
        more: u64,
    ) -> Result<Result<(), SaveError>, redb::Error> {
        if more <= less {
            return Ok(Ok(()));
        }
        let after = self.usage.bytes.saturating_sub(less) + more;
        let Some(free) = self.stored_bytes_max.checked_sub(after) else {
            return Ok(Err(SaveError::Full));
        };
        let own = self.share_of(function)?.saturating_sub(less) + more;
        let alone = self.deployments.len()? <= 1;
        Ok(if alone || own <= free {
            Ok(())
        } else {
            Err(SaveError::Share)
        })
    }

    fn share_of(&self, function: &str) -> Result<u64, redb::Error> {
        let share = self.shares.get(function)?;
        Ok(share.map_or(0, |share| share.value()))
    }

    /// Changes the counts of a function, and the total.
    fn change(&mut self, function: &str, less: u64, more: u64) -> Result<(), redb::Error> {
        self.usage.bytes = self.usage.bytes.saturating_sub(less) + more;
        let share = self.share_of(function)?.saturating_sub(less) + more;
        if share == 0 {
            self.shares.remove(function)?;
        } else {
            self.shares.insert(function, share)?;
        }
        Ok(())
    }

    /// The bytes of all functions together.
    fn counted(&self) -> Result<u64, redb::Error> {
        let mut bytes = 0_u64;
        for entry in self.shares.iter()? {
            bytes = bytes.saturating_add(entry?.1.value());
        }
        Ok(bytes)
    }

    fn count_anew(&mut self) -> Result<(), redb::Error> {
        let mut shares = BTreeMap::<String, u64>::new();
        for entry in self.states.iter()? {
            let (at, state) = entry?;
            let ((function, key), (_, bytes)) = (at.value(), state.value());
            *shares.entry(function.into()).or_default() += cost(&[function, key], bytes.len());
        }
        for entry in self.alarms.iter()? {
            let at = entry?.0;
            let (function, key, name) = at.value();
            *shares.entry(function.into()).or_default() += cost(&[function, key, name], 0);
        }
        rows::count(self, &mut shares)?;
        self.shares.retain(|_, _| false)?;
        for (function, share) in shares {
            self.shares.insert(&*function, share)?;
        }
        Ok(())
    }

    pub(crate) fn put_deployment(&mut self, name: &str, json: &[u8]) -> Result<(), redb::Error> {
        self.deployments.insert(name, json)?;
        Ok(())
    }

    pub(crate) fn remove_deployment(&mut self, name: &str) -> Result<(), redb::Error> {
        self.deployments.remove(name)?;
        Ok(())
    }

    pub(crate) fn save_state(
        &mut self,
        function: &str,
        key: &str,
        bytes: &[u8],
        expected: Option<u64>,
    ) -> Result<Result<u64, SaveError>, redb::Error> {
        let found = self.states.get((function, key))?.map(|found| {
            let (version, bytes) = found.value();
            (version, cost(&[function, key], bytes.len()))
        });
        let (version, before) = found.unwrap_or_default();
        if expected.is_some_and(|expected| expected != version) {
            return Ok(Err(SaveError::Conflict(version)));
        }
        let after = cost(&[function, key], bytes.len());
        if let Err(error) = self.has_room(function, before, after)? {
            return Ok(Err(error));
        }
        let next = version.saturating_add(1);
        self.states.insert((function, key), (next, bytes))?;
        self.change(function, before, after)?;
        self.usage.states += u64::from(found.is_none());
        Ok(Ok(next))
    }

    pub(crate) fn clear_state(&mut self, function: &str, key: &str) -> Result<(), redb::Error> {
        let removed = self.states.remove((function, key))?;
        let removed = removed.map(|found| cost(&[function, key], found.value().1.len()));
        if let Some(less) = removed {
            self.change(function, less, 0)?;
            subtract(&mut self.usage.states, 1);
        }
        Ok(())
    }

    pub(crate) fn keep_alarm(
        &mut self,
        alarm: &StoredAlarm,
    ) -> Result<Result<(), SaveError>, redb::Error> {
        let names = (
            alarm.function.as_str(),
            alarm.key.as_str(),
            alarm.name.as_str(),
        );
        let after = cost(&[names.0, names.1, names.2], 0);
        let is_new = self.alarms.get(names)?.is_none();
        if is_new && let Err(error) = self.has_room(names.0, 0, after)? {
            return Ok(Err(error));
        }
        self.alarms.insert(names, (alarm.due_at, alarm.attempt))?;
        if is_new {
            self.change(names.0, 0, after)?;
            self.usage.alarms += 1;
        }
        Ok(Ok(()))
    }

    pub(crate) fn forget_alarm(
        &mut self,
        function: &str,
        key: &str,
        name: &str,
    ) -> Result<(), redb::Error> {
        if self.alarms.remove((function, key, name))?.is_some() {
            self.change(function, cost(&[function, key, name], 0), 0)?;
            subtract(&mut self.usage.alarms, 1);
        }
        Ok(())
    }

    pub(crate) fn keep_revocation(
        &mut self,
        function: &str,
        revocation: StoredRevocation,
        now: u64,
    ) -> Result<(), redb::Error> {
        revocations::keep(self.transaction, function, revocation, now)
    }

    /// Deletes the rows of channels of an owner.
    pub(crate) fn forget_rows(&mut self, owner: &str) -> Result<(), redb::Error> {
        let less = rows::forget(self, owner)?;
        self.change(owner, less, 0)
    }

    pub(crate) fn keep_key(&mut self, credential: &str, json: &[u8]) -> Result<(), redb::Error> {
        keys::keep(self.transaction, credential, json)
    }

    pub(crate) fn remove_key(&mut self, credential: &KeyCredential) -> Result<(), redb::Error> {
        keys::remove(self.transaction, credential)
    }

    /// Its revocations stay: credentials that the next function of its name gets
    /// may be the same.
    pub(crate) fn forget_function(&mut self, function: &str) -> Result<(), redb::Error> {
        self.deployments.remove(function)?;
        self.shares.remove(function)?;
        let less = rows::forget(self, function)?;
        subtract(&mut self.usage.bytes, less);
        let next = behind(function);
        let usage = &mut self.usage;
        self.states
            .retain_in((function, "")..(&next, ""), |(_, key), (_, bytes)| {
                subtract(&mut usage.bytes, cost(&[function, key], bytes.len()));
                subtract(&mut usage.states, 1);
                false
            })?;
        self.alarms
            .retain_in((function, "", "")..(&next, "", ""), |(_, key, name), _| {
                subtract(&mut usage.bytes, cost(&[function, key, name], 0));
                subtract(&mut usage.alarms, 1);
                false
            })?;
        Ok(())
    }
}

// === reading ===

fn usage_in(meta: &impl ReadableTable<&'static str, u64>) -> Result<Usage, redb::Error> {
    let count = |name: &str| -> Result<u64, redb::Error> {
        Ok(meta.get(name)?.map_or(0, |count| count.value()))
    };
    Ok(Usage {
        bytes: count("bytes")?,
        states: count("states")?,
        alarms: count("alarms")?,
    })
}

pub(crate) fn usage(transaction: &ReadTransaction) -> Result<Usage, redb::Error> {
    usage_in(&transaction.open_table(META)?)
}

pub(crate) fn deployments(transaction: &ReadTransaction) -> Result<Vec<Deployment>, redb::Error> {
    let mut deployments = Vec::new();
    for entry in transaction.open_table(DEPLOYMENTS)?.iter()? {
        let (name, json) = entry?;
        let deployment = serde_json::from_slice(json.value()).map_err(|error| {
            redb::Error::Corrupted(format!("the deployment of `{}`: {error}", name.value()))
        })?;
        deployments.push(deployment);
    }
    Ok(deployments)
}

pub(crate) fn state(
    transaction: &ReadTransaction,
    function: &str,
    key: &str,
) -> Result<Option<Snapshot>, redb::Error> {
    let found = transaction.open_table(STATES)?.get((function, key))?;
    Ok(found.map(|found| {
        let (version, bytes) = found.value();
        Snapshot {
            version,
            bytes: Bytes::copy_from_slice(bytes),
        }
    }))
}

pub(crate) fn alarms(transaction: &ReadTransaction) -> Result<Vec<StoredAlarm>, redb::Error> {
    let table = transaction.open_table(ALARMS)?;
    table.iter()?.map(|entry| stored_alarm(&entry?)).collect()
}

/// The alarms of one function.
pub(crate) fn alarms_of(
    transaction: &ReadTransaction,
    function: &str,
) -> Result<Vec<StoredAlarm>, redb::Error> {
    let table = transaction.open_table(ALARMS)?;
    let next = behind(function);
    let range = table.range((function, "", "")..(&next, "", ""))?;
    range.map(|entry| stored_alarm(&entry?)).collect()
}

/// A row of [`ALARMS`].
type AlarmRow<'a> = (
    AccessGuard<'a, (&'static str, &'static str, &'static str)>,
    AccessGuard<'a, (u64, u32)>,
);

fn stored_alarm((names, value): &AlarmRow<'_>) -> Result<StoredAlarm, redb::Error> {
    let (function, key, name) = names.value();
    let (due_at, attempt) = value.value();
    let damaged = |error| redb::Error::Corrupted(format!("an alarm of `{function}`: {error}"));
    Ok(StoredAlarm {
        function: FunctionName::new(function).map_err(damaged)?,
        key: key.into(),
        name: AlarmName::new(name).map_err(damaged)?,
        due_at,
        attempt,
    })
}
