//! What a host is holding at the moment, and what it has done since it
//! started, as JSON: for people who look for a leak, and for tests that prove
//! that there is none.

use openline_engine::runtime;
use serde::Serialize;

use crate::gateway::Gateway;
use crate::tally::Counts;

/// The answer to a request for the state.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    /// Tasks of the asynchronous runtime.
    tasks: usize,
    /// TCP connections, the one that asks among them.
    sockets: usize,
    /// Those of them that are not upgraded: permits of `requests` taken.
    requests: usize,
    connections: Connections,
    /// What waits to be written to all connections, as far as it is counted:
    /// past 4 KiB of each, in pieces of 64 KiB.
    outbox_bytes: usize,
    /// What connections keep with the host: attachments, tags, alarms and
    /// automatic responses.
    attached_bytes: usize,
    /// Instances of all functions.
    instances: u32,
    /// Absent where no deployer has started the functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<Taken>,
    handshakes: Handshakes,
    functions: Vec<FunctionState>,
}

/// See [`runtime::Taken`].
#[derive(Debug, Serialize)]
struct Taken {
    functions: usize,
    places: u32,
    alarms: usize,
    compilations: usize,
    trials: usize,
    long_runs: usize,
}

#[derive(Debug, Serialize)]
struct Connections {
    open: u32,
    /// Those on which nothing happens: they keep no buffers.
    asleep: usize,
    opened: u64,
    /// By close reason, as `openline close-codes` lists them.
    ended: Counts,
}

#[derive(Debug, Serialize)]
struct Handshakes {
    accepted: u64,
    /// By `openline-error-type`.
    refused: Counts,
}

#[derive(Debug, Serialize)]
struct FunctionState {
    name: String,
    connections: u32,
    instances: u32,
}

impl State {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let opened = gateway.tally.opened();
        Self {
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            sockets: gateway.sockets(),
            requests: gateway.requests(),
            connections: Connections {
                open: gateway.ledger.connections(),
                asleep: gateway.asleep(),
                opened,
                ended: gateway.tally.ended(),
            },
            outbox_bytes: gateway.budget.outboxes.used(),
            attached_bytes: gateway.budget.attached.used(),
            instances: gateway.instances(),
            taken: gateway.taken().map(Taken::from),
            handshakes: Handshakes {
                accepted: opened,
                refused: gateway.tally.refused(),
            },
            functions: gateway
                .table()
                .services
                .iter()
                .map(|service| FunctionState {
                    name: service.alias.function().to_string(),
                    connections: service.ledger.connections(),
                    instances: service.alias.commons().instances(),
                })
                .collect(),
        }
    }
}

impl From<runtime::Taken> for Taken {
    fn from(taken: runtime::Taken) -> Self {
        // Whole, so that what is new there is shown here.
        let runtime::Taken {
            functions,
            places,
            alarms,
            compilations,
            trials,
            long_runs,
        } = taken;
        Self {
            functions,
            places,
            alarms,
            compilations,
            trials,
            long_runs,
        }
    }
}
