//! The host's counts, of this moment and since it started, as JSON: for people
//! who look for a leak, and for tests that show that there is none.

use openline_control::{Deployer, schema};
use openline_engine::runtime;
use openline_gateway::gateway::Gateway;
use openline_gateway::tally::Counts;
use serde::Serialize;
use utoipa::ToSchema;

/// What the host holds at the moment, and what it has done since it started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct State {
    /// Tasks of the asynchronous runtime.
    tasks: usize,
    /// TCP connections, including the one of this request.
    sockets: usize,
    /// TCP connections that are not upgraded: places taken of `requests`.
    requests: usize,
    connections: Connections,
    /// Bytes that wait to be written to all connections. Only what exceeds 4
    /// KiB of a connection counts, in pieces of 64 KiB.
    outbox_bytes: usize,
    /// Bytes that were received on all connections and are not handled. Only
    /// what exceeds 16 KiB of a connection counts, in pieces of 64 KiB.
    received_bytes: usize,
    /// Bytes that connections keep with the host: attachments, tags, alarms and
    /// automatic responses.
    attached_bytes: usize,
    /// Bytes of the compressors that connections have for themselves.
    compression_bytes: usize,
    /// Instances of all functions.
    instances: u32,
    taken: Taken,
    handshakes: Handshakes,
    functions: Vec<FunctionState>,
}

/// How much is taken of the engine's limited resources.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateTaken)]
struct Taken {
    functions: usize,
    places: u32,
    alarms: usize,
    compilations: usize,
    trials: usize,
    long_runs: usize,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateConnections)]
struct Connections {
    open: u32,
    /// Idle connections, which keep no buffers.
    asleep: usize,
    opened: u64,
    /// By close reason, as `openline close-codes` lists them.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    ended: Counts,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateHandshakes)]
struct Handshakes {
    accepted: u64,
    /// By `openline-error-type`.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    refused: Counts,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FunctionState)]
struct FunctionState {
    #[schema(value_type = schema::FunctionName)]
    name: String,
    connections: u32,
    instances: u32,
}

impl State {
    pub(crate) fn of(deployer: &Deployer, gateway: &Gateway) -> Self {
        let (services, tally) = (gateway.services(), gateway.tally());
        let opened = tally.opened();
        Self {
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            sockets: gateway.sockets(),
            requests: gateway.requests(),
            connections: Connections {
                open: services.ledger().connections(),
                asleep: services.asleep(),
                opened,
                ended: tally.ended(),
            },
            outbox_bytes: services.budget().outboxes.used(),
            received_bytes: services.budget().received.used(),
            attached_bytes: services.budget().attached.used(),
            compression_bytes: services.budget().compressors.used(),
            instances: services.instances(),
            taken: deployer.taken().into(),
            handshakes: Handshakes {
                accepted: opened,
                refused: tally.refused(),
            },
            functions: services
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
        // Without `..`, so that a new field must be shown here.
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
