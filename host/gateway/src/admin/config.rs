//! The configuration in force: every limit with its value, as the host and each
//! function have it now. Never the token.

use std::collections::BTreeMap;

use http::StatusCode;
use openline_core::config::PageAccess;
use openline_core::limits::{
    Backoff, FunctionLimits, InstancePolicy, OutboxOverflow, RateExceeded, Row, TimeUp, Unit,
};
use openline_core::name::FunctionName;
use serde::Serialize;

use super::serve::{Call, json};
use crate::gateway::Service;
use crate::rescue::Answer;

#[derive(Serialize)]
struct ConfigView {
    server: ServerView,
    functions: Vec<FunctionConfigView>,
}

/// `[server]`.
#[derive(Serialize)]
struct ServerView {
    listen: String,
    admin: String,
    /// There is one; it is told to nobody.
    admin_token: bool,
    page: PageAccess,
    data: Option<String>,
    cache: Option<String>,
    limits: Vec<LimitView>,
}

/// `[[function]]`.
#[derive(Serialize)]
struct FunctionConfigView {
    name: FunctionName,
    limit: FunctionLimitsView,
    /// None as long as nothing is deployed.
    instance: Option<InstancePolicyView>,
}

/// `[function.limit]`.
#[derive(Serialize)]
struct FunctionLimitsView {
    outbox_overflow: OutboxOverflow,
    rate_exceeded: RateExceeded,
    time_up: TimeUp,
    time_warning_message: String,
    limits: Vec<LimitView>,
}

/// `[function.instance]`.
#[derive(Serialize)]
struct InstancePolicyView {
    affinity: Option<String>,
    backoff: Backoff,
    limits: Vec<LimitView>,
}

/// A row of a table of limits, with its value in force.
#[derive(Serialize)]
struct LimitView {
    name: &'static str,
    value: u64,
    unit: &'static str,
    /// As it is written in a configuration; `none` where there is no such limit.
    text: String,
    default: u64,
}

pub(super) fn config(call: &Call<'_>) -> Answer {
    let context = call.context;
    let table = context.gateway.table();
    let server = &table.config;
    // One for each function, whatever the number of its routes.
    let services: BTreeMap<_, _> = table
        .services
        .iter()
        .map(|service| (service.alias.function().clone(), service))
        .collect();
    let shown =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let view = ConfigView {
        server: ServerView {
            listen: context.listen.to_string(),
            admin: context.admin.to_string(),
            admin_token: context.token.is_some(),
            page: server.page,
            data: shown(&server.data),
            cache: shown(&server.cache),
            limits: limits(server.values()),
        },
        functions: services
            .into_iter()
            .map(|(name, service)| function(name, service))
            .collect(),
    };
    json(StatusCode::OK, &view)
}

fn function(name: FunctionName, service: &Service) -> FunctionConfigView {
    let split = service.alias.split();
    let policy = split.shares.first().map(|(version, _)| version.policy());
    FunctionConfigView {
        name,
        limit: limit(&split.limits),
        instance: policy.map(instance),
    }
}

fn limit(of: &FunctionLimits) -> FunctionLimitsView {
    FunctionLimitsView {
        outbox_overflow: of.outbox_overflow,
        rate_exceeded: of.rate_exceeded,
        time_up: of.time_up,
        time_warning_message: of.time_warning_message.clone(),
        limits: limits(of.values()),
    }
}

fn instance(of: &InstancePolicy) -> InstancePolicyView {
    InstancePolicyView {
        affinity: of.affinity.clone(),
        backoff: of.backoff,
        limits: limits(of.values()),
    }
}

fn limits(values: Vec<(&'static Row, u64)>) -> Vec<LimitView> {
    let view = |(row, value): (&'static Row, u64)| LimitView {
        name: row.name,
        value,
        unit: match row.unit {
            Unit::Bytes => "bytes",
            Unit::Time => "milliseconds",
            Unit::Count => "count",
        },
        text: row.show(value),
        default: row.default,
    };
    values.into_iter().map(view).collect()
}
