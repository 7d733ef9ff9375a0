//! The rows of durable channels, in tables: by owner, channel and name.
//!
//! A group is measured before it is written, so a group for which there is no
//! room leaves nothing behind in a transaction that has others, too. Measuring
//! takes memory for the names that the group changes or deletes, which the terms
//! of the channel bound.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use openline_core::name::ChannelName;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError};

use crate::error::SaveError;
use crate::tables::{ENTRY_BYTES, Tables, behind};

/// A change of one channel's rows. Names are the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Writes a row, whether or not there is one.
    Put(Box<[u8]>, Bytes),
    /// Deletes a row, if there is one.
    Delete(Box<[u8]>),
    /// Deletes the rows from the first name on, and before the second.
    DeleteRange(Box<[u8]>, Box<[u8]>),
    /// Deletes all rows of the channel.
    Clear,
}

/// By owner (see [`SHARED`]), channel and row.
const ROWS: TableDefinition<'_, (&str, &str, &[u8]), &[u8]> = TableDefinition::new("channel_rows");

/// The owner of channels that functions share. No function has this name.
pub(crate) const SHARED: &str = "";

/// A name of a row, and its content.
pub type StoredRow = (Box<[u8]>, Bytes);

pub(crate) type RowsTable<'t> =
    Table<'t, (&'static str, &'static str, &'static [u8]), &'static [u8]>;

/// What a group does to one row.
struct Effect {
    /// How much the row counts now.
    before: u64,
    after: Option<Bytes>,
}

type Effects = BTreeMap<Box<[u8]>, Effect>;

fn cost(owner: &str, channel: &str, row: &[u8], bytes: usize) -> u64 {
    ENTRY_BYTES + (owner.len() + channel.len() + row.len() + bytes) as u64
}

/// Writes all changes of a group, or none of them.
pub(crate) fn write(
    tables: &mut Tables<'_>,
    owner: &str,
    channel: &ChannelName,
    group: Vec<RowChange>,
) -> Result<Result<(), SaveError>, redb::Error> {
    if group.is_empty() {
        return Ok(Ok(()));
    }
    let mut rows = tables.rows(ROWS)?;
    let channel = channel.as_str();
    let effects = effects(&rows, owner, channel, group)?;
    let (mut less, mut more) = (0, 0);
    for (name, effect) in &effects {
        less += effect.before;
        let after = effect.after.as_ref();
        more += after.map_or(0, |bytes| cost(owner, channel, name, bytes.len()));
    }
    let room = tables.has_room(owner, less, more)?;
    if room.is_ok() {
        for (name, effect) in effects {
            let at = (owner, channel, &*name);
            match effect.after {
                Some(bytes) => drop(rows.insert(at, &*bytes)?),
                None => drop(rows.remove(at)?),
            }
        }
        tables.change_rows(owner, less, more)?;
    }
    tables.rows = Some(rows);
    Ok(room)
}

/// What all changes do together.
fn effects(
    rows: &RowsTable<'_>,
    owner: &str,
    channel: &str,
    group: Vec<RowChange>,
) -> Result<Effects, redb::Error> {
    let mut effects = Effects::new();
    for change in group {
        match change {
            RowChange::Put(name, bytes) => {
                set(&mut effects, rows, (owner, channel), name, Some(bytes))?
            }
            RowChange::Delete(name) => set(&mut effects, rows, (owner, channel), name, None)?,
            RowChange::DeleteRange(from, to) if from < to => {
                let range = (owner, channel, &*from)..(owner, channel, &*to);
                delete(&mut effects, rows.range(range)?)?;
                for (_, effect) in effects.range_mut(from..to) {
                    effect.after = None;
                }
            }
            RowChange::DeleteRange(..) => {}
            RowChange::Clear => {
                let next = behind(channel);
                let range = (owner, channel, &[][..])..(owner, &*next, &[][..]);
                delete(&mut effects, rows.range(range)?)?;
                effects.values_mut().for_each(|it| it.after = None);
            }
        }
    }
    Ok(effects)
}

fn set(
    effects: &mut Effects,
    rows: &RowsTable<'_>,
    (owner, channel): (&str, &str),
    name: Box<[u8]>,
    after: Option<Bytes>,
) -> Result<(), redb::Error> {
    match effects.entry(name) {
        Entry::Occupied(mut known) => known.get_mut().after = after,
        Entry::Vacant(new) => {
            let found = rows.get((owner, channel, &**new.key()))?;
            let before = found.map_or(0, |it| cost(owner, channel, new.key(), it.value().len()));
            new.insert(Effect { before, after });
        }
    }
    Ok(())
}

fn delete(
    effects: &mut Effects,
    found: redb::Range<'_, (&'static str, &'static str, &'static [u8]), &'static [u8]>,
) -> Result<(), redb::Error> {
    for row in found {
        let (at, bytes) = row?;
        let (owner, channel, name) = at.value();
        let before = cost(owner, channel, name, bytes.value().len());
        let after = None;
        effects
            .entry(name.into())
            .or_insert(Effect { before, after });
    }
    Ok(())
}

/// Deletes all rows of an owner. Answers how much they counted.
pub(crate) fn forget(tables: &mut Tables<'_>, owner: &str) -> Result<u64, redb::Error> {
    let mut rows = tables.rows(ROWS)?;
    let next = behind(owner);
    let mut less = 0;
    rows.retain_in(
        (owner, "", &[][..])..(&*next, "", &[][..]),
        |(_, channel, name), bytes| {
            less += cost(owner, channel, name, bytes.len());
            false
        },
    )?;
    tables.rows = Some(rows);
    Ok(less)
}

/// Adds what each owner's rows count.
pub(crate) fn count(
    tables: &mut Tables<'_>,
    shares: &mut BTreeMap<String, u64>,
) -> Result<(), redb::Error> {
    let rows = tables.rows(ROWS)?;
    for row in rows.iter()? {
        let (at, bytes) = row?;
        let (owner, channel, name) = at.value();
        let share = shares.entry(owner.into()).or_default();
        *share += cost(owner, channel, name, bytes.value().len());
    }
    tables.rows = Some(rows);
    Ok(())
}

/// All rows of a channel, by name.
pub(crate) fn all(
    transaction: &ReadTransaction,
    owner: &str,
    channel: &str,
) -> Result<Vec<StoredRow>, redb::Error> {
    let rows = match transaction.open_table(ROWS) {
        Ok(rows) => rows,
        // No channel was ever durable.
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let next = behind(channel);
    let range = rows.range((owner, channel, &[][..])..(owner, &*next, &[][..]))?;
    let row = |row: Result<(redb::AccessGuard<'_, _>, redb::AccessGuard<'_, &[u8]>), _>| {
        let (at, bytes) = row?;
        let at: redb::AccessGuard<'_, (&str, &str, &[u8])> = at;
        Ok((at.value().2.into(), Bytes::copy_from_slice(bytes.value())))
    };
    range.map(row).collect()
}

/// The channels of an owner that have rows, by name, after one of them.
pub(crate) fn channels(
    transaction: &ReadTransaction,
    owner: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ChannelName>, redb::Error> {
    let rows = match transaction.open_table(ROWS) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let end = behind(owner);
    let mut found = Vec::new();
    let mut from = after.map_or_else(String::new, behind);
    while found.len() < limit {
        let mut range = rows.range((owner, &*from, &[][..])..(&*end, "", &[][..]))?;
        let Some(next) = range.next() else { break };
        let at = next?.0;
        let channel = at.value().1;
        let name = ChannelName::new(channel)
            .map_err(|error| redb::Error::Corrupted(format!("a channel of `{owner}`: {error}")))?;
        // One read for each channel, however many rows it has.
        from = behind(channel);
        found.push(name);
    }
    Ok(found)
}
