//! Revoked credentials, by function: they must not pass again after a restart.
//!
//! A row has marks instead of names, so each takes the same room, whoever chose
//! the name. Rows are found by their end as well, and each new one removes some
//! that have ended, so the table is no larger than what was in force at its
//! largest; the caller bounds that.

use openline_core::name::FunctionName;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

/// By function, kind and mark: the moment, and the end.
const REVOCATIONS: TableDefinition<'_, (&str, u8, [u8; 16]), (u64, u64)> =
    TableDefinition::new("revocations");
/// The same rows, by their ends.
const ENDS: TableDefinition<'_, (u64, &str, u8, [u8; 16]), ()> =
    TableDefinition::new("revocation_ends");

/// How many ended rows a new row removes at most: more than one, so that the
/// table shrinks, and few enough for a transaction of milliseconds.
const REMOVED_MAX: usize = 64;

/// A revocation. The caller knows what its numbers mean; times are in seconds
/// since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredRevocation {
    /// What its mark stands for.
    pub kind: u8,
    /// What is revoked.
    pub mark: [u8; 16],
    /// Credentials that were made before this moment are revoked.
    pub before: u64,
    /// From this moment on it need not be known any more.
    pub end: u64,
}

/// The revocations of each function.
pub type StoredRevocations = Vec<(FunctionName, Vec<StoredRevocation>)>;

/// Keeps one. Of two with the same kind and mark, the later times count.
pub(crate) fn keep(
    transaction: &WriteTransaction,
    function: &str,
    revocation: StoredRevocation,
    now: u64,
) -> Result<(), redb::Error> {
    let StoredRevocation { kind, mark, .. } = revocation;
    let mut rows = transaction.open_table(REVOCATIONS)?;
    let mut ends = transaction.open_table(ENDS)?;
    let known = rows.get((function, kind, mark))?.map(|it| it.value());
    let (mut before, mut end) = (revocation.before, revocation.end);
    if let Some(known) = known {
        before = before.max(known.0);
        end = end.max(known.1);
        ends.remove((known.1, function, kind, mark))?;
    }
    rows.insert((function, kind, mark), (before, end))?;
    ends.insert((end, function, kind, mark), ())?;
    for _ in 0..REMOVED_MAX {
        let Some((at, _)) = ends.first()? else { break };
        let (end, function, kind, mark) = at.value();
        if end > now {
            break;
        }
        rows.remove((function, kind, mark))?;
        drop(at);
        ends.pop_first()?;
    }
    Ok(())
}

/// All that have not ended.
pub(crate) fn all(
    transaction: &ReadTransaction,
    now: u64,
) -> Result<StoredRevocations, redb::Error> {
    let rows = match transaction.open_table(REVOCATIONS) {
        Ok(rows) => rows,
        // Nothing was ever revoked.
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = StoredRevocations::new();
    for row in rows.iter()? {
        let (at, times) = row?;
        let ((function, kind, mark), (before, end)) = (at.value(), times.value());
        if end <= now {
            continue;
        }
        if all.last().is_none_or(|(last, _)| last.as_str() != function) {
            let damaged =
                |error| redb::Error::Corrupted(format!("a revocation of `{function}`: {error}"));
            let function = FunctionName::new(function).map_err(damaged)?;
            all.push((function, Vec::new()));
        }
        if let Some((_, own)) = all.last_mut() {
            own.push(StoredRevocation {
                kind,
                mark,
                before,
                end,
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase, ReadableTableMetadata};

    use super::*;

    fn row(number: u64, end: u64) -> StoredRevocation {
        let mut mark = [0; 16];
        mark[..8].copy_from_slice(&number.to_le_bytes());
        StoredRevocation {
            kind: 0,
            mark,
            before: 0,
            end,
        }
    }

    fn memory() -> Database {
        let backend = redb::backends::InMemoryBackend::new();
        Database::builder().create_with_backend(backend).unwrap()
    }

    fn keep_all(database: &Database, rows: impl Iterator<Item = StoredRevocation>, now: u64) {
        let transaction = database.begin_write().unwrap();
        for row in rows {
            keep(&transaction, "chat", row, now).unwrap();
        }
        transaction.commit().unwrap();
    }

    fn rows(database: &Database) -> u64 {
        let transaction = database.begin_read().unwrap();
        let rows = transaction.open_table(REVOCATIONS).unwrap().len().unwrap();
        assert_eq!(transaction.open_table(ENDS).unwrap().len().unwrap(), rows);
        rows
    }

    #[test]
    fn the_later_times_count_and_each_function_has_its_own() {
        let database = memory();
        let read = |now| all(&database.begin_read().unwrap(), now).unwrap();
        assert!(read(0).is_empty(), "there is no table yet");
        let with = |before, end| StoredRevocation {
            before,
            ..row(1, end)
        };
        keep_all(
            &database,
            [with(10, 20), with(5, 30), with(7, 15)].into_iter(),
            0,
        );
        let transaction = database.begin_write().unwrap();
        keep(&transaction, "b", with(1, 2), 0).unwrap();
        transaction.commit().unwrap();
        let names = |name| FunctionName::new(name).unwrap();
        let own = (names("chat"), vec![with(10, 30)]);
        assert_eq!(read(0), [(names("b"), vec![with(1, 2)]), own.clone()]);
        assert_eq!(read(2), [own]);
        assert!(read(30).is_empty());
        assert_eq!(rows(&database), 2);
    }

    #[test]
    fn a_new_one_removes_more_than_it_adds() {
        let database = memory();
        let most = REMOVED_MAX as u64;
        keep_all(&database, (0..3 * most).map(|it| row(it, 10)), 0);
        assert_eq!(rows(&database), 3 * most);
        // At the last moment they are all in force.
        keep_all(&database, [row(1000, 20)].into_iter(), 9);
        assert_eq!(rows(&database), 3 * most + 1);
        for left in [2 * most + 2, most + 3, 4, 5] {
            let next = rows(&database) + 2000;
            keep_all(&database, [row(next, 20)].into_iter(), 10);
            assert_eq!(rows(&database), left);
        }
    }

    /// As many as one function may have are read in seconds; a tenth of them
    /// here, without optimisation.
    #[test]
    fn a_hundred_thousand_are_read_soon() {
        let database = memory();
        let many = 100_000;
        keep_all(&database, (0..many).map(|it| row(it, u64::MAX)), 0);
        let begun = tokio::time::Instant::now();
        let read = all(&database.begin_read().unwrap(), 0).unwrap();
        assert_eq!(read[0].1.len() as u64, many);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
