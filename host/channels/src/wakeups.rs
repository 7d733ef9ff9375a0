//! Connections that have something to write and must be woken.
//!
//! A function may send many messages in one run. Waking the owner of a socket
//! once, when the run pauses, makes one write of them. When the list has
//! [`WAKEUPS_MAX`] connections, all of them are woken at once.

use std::sync::Arc;

use crate::connection::Connection;

/// The most connections in the list: a run that reaches this many gains nothing
/// by gathering more.
pub const WAKEUPS_MAX: usize = 1024;

/// A list of connections to wake; wakes them all when it is dropped.
#[derive(Debug, Default)]
pub struct Wakeups {
    connections: Vec<Arc<Connection>>,
}

impl Wakeups {
    /// Notes a connection.
    #[inline]
    pub fn add(&mut self, connection: &Arc<Connection>) {
        if self
            .connections
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, connection))
        {
            return;
        }
        if self.connections.len() == WAKEUPS_MAX {
            self.flush();
        }
        self.connections.push(Arc::clone(connection));
    }

    /// Wakes all that were noted.
    pub fn flush(&mut self) {
        for connection in self.connections.drain(..) {
            connection.wake();
        }
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        self.flush();
    }
}
