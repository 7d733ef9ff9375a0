//! Connections that a guest can name, through the contract's `connection`
//! resource.
//!
//! An index is reused once its handle is dropped. There is one handle for each
//! call in flight, and up to `handles` that the guest keeps.

use std::sync::Arc;

use openline_channels::connection::Connection;
use wasmtime::component::Resource;

/// The type behind the contract's `connection` resource.
#[expect(
    unreachable_pub,
    reason = "generated code re-exports it within a private module"
)]
#[derive(Debug)]
pub enum Handle {}

/// The connections that one guest can name, by index.
#[derive(Debug)]
pub(crate) struct Handles {
    entries: Vec<Option<Arc<Connection>>>,
    free: Vec<u32>,
    kept: usize,
    kept_max: usize,
}

/// A guest used a handle that does not exist, or took too many.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum HandleError {
    #[error("no such connection handle")]
    Unknown,
    #[error("more than {0} connection handles are held (handles)")]
    TooMany(usize),
}

// === impl Handles ===

impl Handles {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            kept: 0,
            kept_max,
        }
    }

    /// Makes a handle that lives as long as a call.
    pub(crate) fn lend(&mut self, connection: Arc<Connection>) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = Some(connection);
                index
            }
            None => {
                self.entries.push(Some(connection));
                // Far below the range, because calls in flight and kept handles
                // are both bounded.
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    /// Makes a handle that the guest keeps until it drops it.
    pub(crate) fn keep(
        &mut self,
        connection: Arc<Connection>,
    ) -> Result<Resource<Handle>, HandleError> {
        if self.kept == self.kept_max {
            return Err(HandleError::TooMany(self.kept_max));
        }
        self.kept += 1;
        Ok(Resource::new_own(self.lend(connection)))
    }

    pub(crate) fn get(&self, handle: &Resource<Handle>) -> Result<&Arc<Connection>, HandleError> {
        let entry = self.entries.get(handle.rep() as usize);
        entry.and_then(Option::as_ref).ok_or(HandleError::Unknown)
    }

    /// Drops a handle that the guest kept.
    pub(crate) fn drop_kept(&mut self, handle: &Resource<Handle>) -> Result<(), HandleError> {
        self.get(handle)?;
        self.kept -= 1;
        self.take_back(handle.rep());
        Ok(())
    }

    /// Drops a lent handle, because the call is over.
    pub(crate) fn take_back(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize)
            && entry.take().is_some()
        {
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use openline_channels::budget::HostBudget;
    use openline_channels::connection::{Facts, SocketOwner};

    use super::*;

    fn connection() -> Arc<Connection> {
        let budget = HostBudget::new(0, 0).function();
        let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
        Arc::clone(owner.connection())
    }

    #[test]
    fn at_its_limit_and_one_past_it() {
        let mut handles = Handles::new(2);
        let first = handles.keep(connection()).unwrap();
        handles.keep(connection()).unwrap();
        let refused = handles.keep(connection());
        assert!(matches!(refused, Err(HandleError::TooMany(2))));
        // Handles that a call is lent do not count.
        let lent = handles.lend(connection());
        handles.take_back(lent);
        handles.drop_kept(&first).unwrap();
        handles.keep(connection()).unwrap();
    }

    #[test]
    fn an_index_is_used_again_and_a_dropped_handle_names_nothing() {
        let mut handles = Handles::new(1);
        let (one, other) = (connection(), connection());
        let handle = handles.keep(Arc::clone(&one)).unwrap();
        assert!(Arc::ptr_eq(handles.get(&handle).unwrap(), &one));
        handles.drop_kept(&handle).unwrap();
        assert!(handles.get(&handle).is_err());
        assert!(handles.drop_kept(&handle).is_err());
        assert_eq!(handles.lend(Arc::clone(&other)), handle.rep());
        assert!(Arc::ptr_eq(handles.get(&handle).unwrap(), &other));
        handles.take_back(handle.rep());
        // A second time does nothing.
        handles.take_back(handle.rep());
        assert_eq!(handles.lend(one), handle.rep());
        assert_eq!(handles.lend(other), handle.rep() + 1);
    }
}
