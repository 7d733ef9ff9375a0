//! Connections that were given something to write and must be told.
//!
//! A function sends many messages in one run; telling the owner of a socket
//! once, when the run pauses, makes one write of them. Bounded: past
//! [`WAKEUPS_MAX`] everybody who waits is told at once.

use std::sync::Arc;

use crate::connection::Connection;

/// Connections that wait to be told, at most: a run that reaches so many
/// gains nothing by gathering more.
pub const WAKEUPS_MAX: usize = 1024;

/// A list of connections to wake; wakes them all when it is dropped.
#[derive(Debug, Default)]
pub struct Wakeups {
    connections: Vec<Arc<Connection>>,
}

impl Wakeups {
    /// Notes a connection.
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
