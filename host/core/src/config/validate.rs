//! The rules between the parts of a configuration: what serde cannot see.
//! All errors are collected, so that one run shows them all.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::file::{self, File, error_at, line_of};
use super::{Config, ConfigError, FunctionConfig, ServerConfig};
use crate::limits::{EPOCH_TICK, FunctionLimits, INSTANCES_MAX, InstancePolicy};
use crate::route::{Route, RouteError, RouteTable};
use crate::units::{ByteSize, Period};

/// The smallest and largest memory of an instance, in bytes: a page of Wasm
/// and what 32-bit memories can have.
const MEMORY_BYTES: (u64, u64) = (64 * 1024, 4 << 30);
/// The smallest and largest message, in bytes. The largest is what the frame
/// decoder may have to hold in one piece for each connection.
const MESSAGE_BYTES: (u64, u64) = (1, 64 << 20);
/// The largest outbox, in bytes.
const OUTBOX_BYTES_MAX: u64 = 1 << 30;
/// The longest call.
const HANDLER_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn validate(text: &str, file: File) -> Result<Config, Vec<ConfigError>> {
    let mut check = Check {
        text,
        errors: Vec::new(),
    };
    let server = check.server(file.server);
    let mut routes = RouteTable::default();
    let mut functions: Vec<FunctionConfig> = Vec::new();
    if file.function.is_empty() {
        check.error(
            None,
            "no function is configured",
            "add a [[function]] table",
        );
    }
    for function in file.function {
        let span = function.name.span();
        if functions
            .iter()
            .any(|other| &other.name == function.name.get_ref())
        {
            let message = format!("two functions are named `{}`", function.name.get_ref());
            check.error(Some(span), &message, "rename one of them");
        }
        functions.extend(check.function(function, &mut routes));
    }
    let instances: u64 = functions
        .iter()
        .map(|function| u64::from(function.instance.instances.get()))
        .sum();
    if instances > u64::from(INSTANCES_MAX) {
        let message =
            format!("all functions together may have {INSTANCES_MAX} instances, not {instances}");
        check.error(
            None,
            &message,
            "lower `instances`, or raise `concurrency` to need fewer",
        );
    }
    if check.errors.is_empty() {
        Ok(Config { server, functions })
    } else {
        Err(check.errors)
    }
}

struct Check<'a> {
    text: &'a str,
    errors: Vec<ConfigError>,
}

impl Check<'_> {
    fn error(&mut self, span: Option<Range<usize>>, message: &str, hint: &str) {
        self.errors
            .push(error_at(self.text, span, message.into(), hint.into()));
    }

    fn server(&mut self, server: file::Server) -> ServerConfig {
        let default = ServerConfig::default();
        let listen = server
            .listen
            .and_then(|listen| match listen.get_ref().parse() {
                Ok(address) => Some(address),
                Err(_) => {
                    let message = format!("`{}` is not an address to listen on", listen.get_ref());
                    let hint = "write address and port, as in \"127.0.0.1:8080\" or \"[::]:8080\"";
                    self.error(Some(listen.span()), &message, hint);
                    None
                }
            });
        ServerConfig {
            listen: listen.unwrap_or(default.listen),
            page: server.page.unwrap_or(default.page),
            connections: server
                .connections
                .and_then(|connections| usize::try_from(connections.get()).ok())
                .unwrap_or(default.connections),
            cache: server.cache,
            request_timeout: self.timeout(server.request_timeout, default.request_timeout),
            close_timeout: self.timeout(server.close_timeout, default.close_timeout),
            drain_timeout: server
                .drain_timeout
                .map_or(default.drain_timeout, |period| period.0),
        }
    }

    fn function(
        &mut self,
        function: file::Function,
        routes: &mut RouteTable<()>,
    ) -> Option<FunctionConfig> {
        let span = function.route.span();
        let route = Route::new(function.route.get_ref())
            .and_then(|route| routes.insert(&route, ()).map(|()| route));
        let route = match route {
            Ok(route) => route,
            Err(error) => {
                self.error(Some(span), &error.to_string(), route_hint(&error));
                return None;
            }
        };
        let instance = self.instance(function.instance, &route);
        let limit = self.limit(function.limit);
        Some(FunctionConfig {
            name: function.name.into_inner(),
            component_line: line_of(self.text, function.component.span().start),
            component: function.component.into_inner(),
            route,
            instance,
            limit,
        })
    }

    fn instance(&mut self, instance: file::Instance, route: &Route) -> InstancePolicy {
        let default = InstancePolicy::default();
        if let Some(affinity) = &instance.affinity
            && !route.parameters().contains(affinity.get_ref())
        {
            let message = format!(
                "the route `{route}` has no parameter `{}`",
                affinity.get_ref()
            );
            let hint = "affinity names a parameter of the route, as `room` in \"/chat/{room}\"";
            self.error(Some(affinity.span()), &message, hint);
        }
        InstancePolicy {
            concurrency: instance.concurrency.unwrap_or(default.concurrency),
            instances: instance.instances.unwrap_or(default.instances),
            affinity: instance.affinity.map(Spanned::into_inner),
            idle_timeout: instance
                .idle_timeout
                .map_or(default.idle_timeout, |period| period.0),
            memory_bytes: self.size(instance.memory_bytes, MEMORY_BYTES, default.memory_bytes),
        }
    }

    fn limit(&mut self, limit: file::Limit) -> FunctionLimits {
        let default = FunctionLimits::default();
        let message_bytes = self.size(limit.message_bytes, MESSAGE_BYTES, default.message_bytes);
        // A largest message must fit; without a word about the outbox it
        // grows with the message.
        let smallest = u64::try_from(message_bytes).unwrap_or(u64::MAX);
        let outbox_default = default.outbox_bytes.max(message_bytes);
        let outbox_bytes = self.size(
            limit.outbox_bytes,
            (smallest, OUTBOX_BYTES_MAX),
            outbox_default,
        );
        let cpu_span = limit.cpu_timeout.as_ref().map(Spanned::span);
        let handler_span = limit.handler_timeout.as_ref().map(Spanned::span);
        let handler_timeout = self.timeout(limit.handler_timeout, default.handler_timeout);
        let cpu_timeout = self.timeout(limit.cpu_timeout, default.cpu_timeout.min(handler_timeout));
        let tick = EPOCH_TICK.as_millis();
        if handler_timeout < EPOCH_TICK {
            let message = format!("handler_timeout is at least {tick} ms");
            self.error(
                handler_span,
                &message,
                "time is measured in steps of that; the default is 10 s",
            );
        } else if cpu_timeout < EPOCH_TICK || cpu_timeout > handler_timeout {
            let message = format!(
                "cpu_timeout is {} ms and must be at least {tick} ms and at most handler_timeout",
                cpu_timeout.as_millis()
            );
            self.error(cpu_span, &message, "the default is 200 ms");
        }
        let fuel_per_event = limit.fuel_per_event.map(|fuel| {
            if *fuel.get_ref() == 0 {
                self.error(
                    Some(fuel.span()),
                    "with a fuel_per_event of 0 no call can run",
                    "leave it out to run without fuel; an echo uses a few thousand",
                );
            }
            fuel.into_inner()
        });
        FunctionLimits {
            message_bytes,
            outbox_bytes,
            handler_timeout,
            cpu_timeout,
            fuel_per_event,
        }
    }

    fn size(
        &mut self,
        size: Option<Spanned<ByteSize>>,
        (smallest, largest): (u64, u64),
        default: usize,
    ) -> usize {
        let Some(size) = size else { return default };
        let ByteSize(bytes) = *size.get_ref();
        match usize::try_from(bytes) {
            Ok(fits) if (smallest..=largest).contains(&bytes) => fits,
            _ => {
                let message = format!("{bytes} bytes is outside of {smallest} to {largest} bytes");
                self.error(Some(size.span()), &message, "choose a size in between");
                default
            }
        }
    }

    fn timeout(&mut self, period: Option<Spanned<Period>>, default: Duration) -> Duration {
        let Some(period) = period else { return default };
        let Period(time) = *period.get_ref();
        if time.is_zero() || time > HANDLER_TIMEOUT_MAX {
            let message = "a time-out is at least 1 ms and at most 1 d";
            self.error(Some(period.span()), message, "leave it out for the default");
            return default;
        }
        time
    }
}

fn route_hint(error: &RouteError) -> &'static str {
    match error {
        RouteError::Syntax(_) => "only visible ASCII; percent-encode everything else",
        RouteError::Parameter(_) => {
            "as in \"/chat/{room}\"; a name has letters, digits, `-` and `_`"
        }
        RouteError::Reserved => "choose another first segment",
        RouteError::Conflict(..) => "each function has a route of its own",
    }
}
