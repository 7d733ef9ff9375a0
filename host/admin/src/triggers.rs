//! Triggers of a function: lists, sets and removes them.

use http::StatusCode;
use openline_control::{TriggerView, schema};
use openline_core::authentication::{
    AuthMethod, Authentication, FirstMessageConfig, JwtConfig, SignatureConfig, TicketConfig,
};
use openline_core::config::{ORIGIN_HINT, cors_hint, host_hint, methods_hint, route_hint};
use openline_core::name::{AliasName, TriggerName};
use openline_core::route::Route;
use openline_core::trigger::{
    Cors, CorsWritten, HOSTS_MAX, HostPattern, Methods, ORIGINS_MAX, OriginPattern, Target, Trigger,
};
use openline_hint::Hint;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::change::to_its_end;
use crate::json::json;
use crate::problem::{Answered, Problem, nothing};
use crate::responses::{BadBody, NotChanged, NotFound, Unprocessable};

/// The triggers of a function.
#[derive(Serialize, ToSchema)]
struct Triggers {
    /// Those of the configuration or of a deploy first, in their order; then
    /// those that were made in the running host, by name.
    triggers: Vec<TriggerView>,
}

/// A trigger that is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetTrigger {
    /// The hosts that it is on, without ports: names, and `*.example.org` for
    /// all below one. Without it, all hosts.
    #[serde(default)]
    #[schema(max_items = 64)]
    hosts: Vec<String>,
    /// The paths that it matches, such as `/chat/{room}` or `/files/{*path}`.
    route: String,
    /// The methods that it takes; without it, GET.
    methods: Option<Vec<String>>,
    /// The alias that it leads to; without it and `version`, the function's
    /// own.
    #[schema(value_type = Option<schema::AliasName>)]
    alias: Option<AliasName>,
    /// The version that it leads to instead: the beginning of its digest, at
    /// least 6 letters.
    version: Option<String>,
    /// Whether it takes peers outside of the host's private networks; `true`
    /// by default.
    internet: Option<bool>,
    /// The origins of web pages that it takes besides those of the host itself,
    /// such as `https://app.example.org` or `https://*.example.org`; `*` stands
    /// for all.
    #[serde(default)]
    #[schema(max_items = 64)]
    origins: Vec<String>,
    /// Whether it refuses requests without an origin; `false` by default.
    origin_required: Option<bool>,
    /// What pages of other sites may do by ordinary requests; nothing without
    /// it.
    #[schema(value_type = Option<schema::Cors>)]
    cors: Option<CorsWritten>,
    /// The firewall of the configuration that its requests have to pass after
    /// the host's; none without it.
    firewall: Option<String>,
    /// How it authenticates requests: `none`, `jwt`, `first-message`, `signature`
    /// or `ticket`. Without it, it takes all.
    #[schema(value_type = Option<String>)]
    auth: Option<AuthMethod>,
    /// The table of `jwt` and `first-message`, with the keys that
    /// `[function.trigger.jwt]` has in a configuration. Secrets are places on the
    /// host, `env:NAME` or `file:/PATH`, and paths begin at `/`.
    #[schema(value_type = Option<Object>)]
    jwt: Option<Box<JwtConfig>>,
    /// The table of `signature`; as above.
    #[schema(value_type = Option<Object>)]
    signature: Option<Box<SignatureConfig>>,
    /// The table of `ticket`.
    #[schema(value_type = Option<Object>)]
    ticket: Option<Box<TicketConfig>>,
    /// The table of `first-message`.
    #[schema(value_type = Option<Object>)]
    first_message: Option<Box<FirstMessageConfig>>,
}

impl SetTrigger {
    /// How it authenticates; checked like a configuration.
    fn authentication(&mut self) -> Result<Option<Box<Authentication>>, Problem> {
        let auth = Authentication {
            method: self.auth.unwrap_or_default(),
            jwt: self.jwt.take(),
            signature: self.signature.take(),
            ticket: self.ticket.take(),
            first_message: self.first_message.take(),
        };
        let checked = auth.check().and_then(|()| auth.check_remote());
        checked.map_err(|error| {
            let message = format!("{}: {error}", error.key);
            let hint = error.hint().unwrap_or_default().into_owned();
            Problem::new(422, "authentication", message).hint(hint)
        })?;
        let is_empty = self.auth.is_none();
        Ok((!is_empty).then(|| Box::new(auth)))
    }

    fn check(mut self, name: TriggerName) -> Result<Trigger, Problem> {
        let auth = self.authentication()?;
        let wrong = |error: &dyn std::error::Error| Problem::new(422, "trigger", error.to_string());
        let route = Route::new(&self.route);
        let route = route.map_err(|error| wrong(&error).hint(route_hint(&error)))?;
        if self.hosts.len() > HOSTS_MAX {
            let message = format!("a trigger has at most {HOSTS_MAX} hosts");
            let hint = "a pattern, as in \"*.example.org\", stands for many";
            return Err(Problem::new(422, "trigger", message).hint(hint));
        }
        let host = |text: &String| {
            let host = HostPattern::new(text);
            host.map_err(|error| wrong(&error).hint(host_hint(text)))
        };
        let hosts = self.hosts.iter().map(host).collect::<Result<_, _>>()?;
        if self.origins.len() > ORIGINS_MAX {
            let message = format!("a trigger has at most {ORIGINS_MAX} origins");
            let hint = "a pattern, as in \"https://*.example.org\", stands for many";
            return Err(Problem::new(422, "trigger", message).hint(hint));
        }
        let origin = |text: &String| {
            OriginPattern::new(text).map_err(|error| wrong(&error).hint(ORIGIN_HINT))
        };
        let origins = self.origins.iter().map(origin).collect::<Result<_, _>>()?;
        let methods = match self.methods {
            None => Methods::default(),
            Some(words) => {
                Methods::new(&words).map_err(|error| wrong(&error).hint(methods_hint(&error)))?
            }
        };
        let cors = self.cors.map(|written| {
            let cors = Cors::new(&written, methods);
            cors.map_err(|error| wrong(&error).hint(cors_hint(&error)))
        });
        let target = match (self.alias, self.version) {
            (None, None) => Target::Function,
            (Some(alias), None) => Target::Alias(alias),
            (None, Some(version)) => Target::Version(version),
            (Some(_), Some(_)) => {
                let message = "a trigger leads to one of `alias` and `version`";
                return Err(Problem::new(422, "trigger", message).hint("leave one of them out"));
            }
        };
        Ok(Trigger {
            name,
            hosts,
            methods,
            target,
            internet: self.internet.unwrap_or(true),
            origins,
            origin_required: self.origin_required.unwrap_or(false),
            cors: cors.transpose()?,
            firewall: self.firewall,
            auth,
            ..Trigger::new(route)
        })
    }
}

impl Call {
    /// The trigger that the path names.
    pub(crate) fn trigger(&self) -> Result<TriggerName, Problem> {
        Ok(TriggerName::new(&self.values[1])?)
    }
}

#[utoipa::path(
    get,
    path = "/v1/functions/{name}/triggers",
    operation_id = "triggers",
    tag = "triggers",
    summary = "The triggers of a function",
    params(("name" = schema::FunctionName, Path, description = "The function.")),
    responses(
        (status = 200, description = "The triggers.", body = Triggers),
        NotFound
    )
)]
pub(crate) async fn list(call: Call) -> Answered {
    let triggers = call.context.deployer.triggers_of(&call.function()?)?;
    Ok(json(StatusCode::OK, &Triggers { triggers }))
}

#[utoipa::path(
    get,
    path = "/v1/functions/{name}/triggers/{trigger}",
    operation_id = "trigger",
    tag = "triggers",
    summary = "A trigger of a function",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("trigger" = schema::TriggerName, Path, description = "The trigger.")
    ),
    responses(
        (status = 200, description = "The trigger.", body = TriggerView),
        NotFound
    )
)]
pub(crate) async fn show(call: Call) -> Answered {
    let name = call.trigger()?;
    let mut triggers = call
        .context
        .deployer
        .triggers_of(&call.function()?)?
        .into_iter();
    match triggers.find(|trigger| trigger.name == name) {
        Some(trigger) => Ok(json(StatusCode::OK, &trigger)),
        None => Err(Problem::no_trigger(&name)),
    }
}

#[utoipa::path(
    put,
    path = "/v1/functions/{name}/triggers/{trigger}",
    operation_id = "setTrigger",
    tag = "triggers",
    summary = "Make or change a trigger",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("trigger" = schema::TriggerName, Path, description = "The trigger.")
    ),
    description = "The first request after the answer meets the new trigger; open connections stay. It is kept with the function's deployment. Secrets of its authentication are read at once, and again with the configuration. A name that the configuration or the function's deploy has cannot be set.",
    request_body = SetTrigger,
    responses(
        (status = 200, description = "The trigger that was changed.", body = TriggerView),
        (status = 201, description = "The trigger that was made.", body = TriggerView),
        NotChanged,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn set(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, trigger) = (call.function()?, call.trigger()?);
    let written: SetTrigger = call.body.json().await?;
    let trigger = written.check(trigger)?;
    let setting = async move { deployer.set_trigger(&name, trigger).await };
    let (view, is_new) = to_its_end(setting).await??;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(json(status, &view))
}

#[utoipa::path(
    delete,
    path = "/v1/functions/{name}/triggers/{trigger}",
    operation_id = "removeTrigger",
    tag = "triggers",
    summary = "Remove a trigger that was made in the running host",
    params(
        ("name" = schema::FunctionName, Path, description = "The function."),
        ("trigger" = schema::TriggerName, Path, description = "The trigger.")
    ),
    description = "Connections that came by it stay.",
    responses(
        (status = 204, description = "The trigger is removed."),
        NotChanged
    )
)]
pub(crate) async fn remove(call: Call) -> Answered {
    let deployer = call.context.deployer.clone();
    let (name, trigger) = (call.function()?, call.trigger()?);
    to_its_end(async move { deployer.remove_trigger(&name, &trigger).await }).await??;
    Ok(nothing())
}
