//! The rules between the parts of a configuration: what serde cannot see.
//! All errors are collected, so that one run shows them all.

use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::error::ConfigError;
use super::file::{self, File, Maximum, error_at, line_of, nearest_word};
use super::hints::trigger_hint;
use super::public_url::PublicUrl;
use super::server::{ServerConfigMaximum, ServerConfigWritten};
use super::{Config, FunctionConfig, ServerConfig};
use crate::channel::ChannelTable;
use crate::limits::{FunctionLimits, FunctionLimitsWritten, InstancePolicy, InstancePolicyWritten};
use crate::name::{AliasName, FunctionName};
use crate::trigger::{Trigger, TriggerTable};
use crate::units::{ByteSize, Period};

/// The longest `time_warning_message`, in bytes: a sentence.
const WARNING_BYTES_MAX: usize = 4 * 1024;

pub(super) fn validate(text: &str, file: File) -> Result<Config, Vec<ConfigError>> {
    let mut check = Check {
        text,
        firewalls: firewalls(file.firewall.as_ref()),
        inspecting: inspecting(file.firewall.as_ref()),
        errors: Vec::new(),
    };
    let server = check.server(file.server);
    check.maximum(&file.maximum);
    let channels = check.shared_channels(file.channel);
    let keys = check.keys(file.key);
    let mut triggers = TriggerTable::default();
    let mut functions: Vec<FunctionConfig> = Vec::new();
    // A host with a data directory may start without functions.
    if file.function.is_empty() && server.data.is_none() {
        check.error(
            None,
            "no function is configured",
            "add a [[function]] table, or a data directory to deploy to: `data` in [server]",
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
        let others = (&file.maximum, &channels[..]);
        functions.push(check.function(function, others, &mut triggers));
    }
    if check.errors.is_empty() {
        Ok(Config {
            server,
            channels,
            functions,
            keys,
        })
    } else {
        Err(check.errors)
    }
}

pub(super) struct Check<'a> {
    text: &'a str,
    /// The names of the firewalls.
    firewalls: Vec<String>,
    /// The functions that rules of firewalls name.
    inspecting: Vec<String>,
    errors: Vec<ConfigError>,
}

impl Check<'_> {
    /// The file's text.
    pub(super) fn text(&self) -> &str {
        self.text
    }

    pub(super) fn error(&mut self, span: Option<Range<usize>>, message: &str, hint: &str) {
        self.errors
            .push(error_at(self.text, span, message.into(), hint.into()));
    }

    /// An error about a secret: it has the line's number but not its text.
    pub(super) fn secret_error(&mut self, span: Range<usize>, message: &str, hint: &str) {
        self.error(Some(span), message, hint);
        if let Some(error) = self.errors.last_mut() {
            error.source.clear();
        }
    }

    /// Collects the errors that a table of limits reports.
    pub(super) fn report(&mut self) -> impl FnMut(Range<usize>, String, String) {
        |span, message, hint| self.error(Some(span), &message, &hint)
    }

    fn server(&mut self, mut server: ServerConfigWritten) -> ServerConfig {
        let listen = server.listen.take();
        let public_url = server.public_url.take();
        let admin = server.admin.take();
        let probes = server.probes.take();
        let acme_listen = server.acme_listen.take();
        let api = server.api.take();
        let certificates = server.certificate.take();
        let tls = server.tls.take();
        let hops = server.trusted_hops.take();
        let proxy_protocol = server.proxy_protocol.clone();
        let private = server.private_networks.take();
        let shared = server.shared_hosts.take();
        let firewall = server.firewall.take();
        let exit = server.watchdog_exit_timeout.as_ref().map(Spanned::span);
        self.admin_token(server.admin_token.as_ref());
        for folder in [&server.data, &server.cache].into_iter().flatten() {
            if folder
                .get_ref()
                .as_ref()
                .is_some_and(|it| it.as_os_str().is_empty())
            {
                let hint = "name a folder, or leave the key out";
                self.error(Some(folder.span()), "the path is empty", hint);
            }
        }
        let mut config = server.resolve(&ServerConfigMaximum::default(), &mut self.report());
        if let Some(address) = self.listens(listen.as_ref()) {
            config.listen = address;
        }
        if let Some(url) = public_url {
            config.public_url = self.public_url(&url);
        }
        if let Some(admin) = admin {
            config.admin = self.admin(&admin, &config);
        }
        if let Some(probes) = probes {
            config.probes = self.probes(&probes, &config);
        }
        if let Some(written) = &acme_listen {
            config.acme_listen = self.acme_listen(written, &config);
        }
        if let Some(api) = api {
            config.api = self.api(api.into_inner());
        }
        if let Some(certificates) = certificates {
            config.certificate = self.certificates(certificates.into_inner(), &config);
        }
        if let Some(tls) = tls {
            config.tls = self.tls(tls, &config);
        }
        if let Some(written) = &acme_listen {
            self.acme_listens(written, &config);
        }
        if let Some(hops) = hops {
            config.trusted_hops = self.networks("trusted_hops", &hops);
        }
        self.proxy_protocol(proxy_protocol.as_ref(), &config);
        config.firewall = self.firewall(firewall.as_ref());
        if let Some(private) = private {
            config.private_networks = self.networks("private_networks", &private);
        }
        if let Some(shared) = shared {
            config.shared_hosts = self.shared_hosts(&shared);
        }
        self.watchdog(exit, &config);
        config
    }

    /// Reads the address of a listener.
    pub(super) fn listens(&mut self, written: Option<&Spanned<String>>) -> Option<SocketAddr> {
        let written = written?;
        let address = written.get_ref().parse().ok();
        if address.is_none() {
            let message = format!("`{}` is not an address to listen on", written.get_ref());
            let hint = "write address and port, as in \"127.0.0.1:8080\" or \"[::]:8080\"";
            self.error(Some(written.span()), &message, hint);
        }
        address
    }

    /// Checks that the host ends no sooner than it is taken for hanging.
    fn watchdog(&mut self, exit: Option<Range<usize>>, config: &ServerConfig) {
        let (timeout, ends) = (config.watchdog_timeout, config.watchdog_exit_timeout);
        if !ends.is_zero() && ends < timeout {
            let message = format!(
                "`watchdog_exit_timeout` is {} and must be at least `watchdog_timeout`, which is {}",
                Period(ends),
                Period(timeout)
            );
            self.error(exit, &message, "raise it, or lower `watchdog_timeout`");
        }
    }

    /// Reads the address to give away.
    fn public_url(&mut self, written: &Spanned<String>) -> Option<PublicUrl> {
        let url = PublicUrl::parse(written.get_ref());
        url.map_err(|error| {
            let message = format!("`public_url`: {error}");
            self.error(Some(written.span()), &message, error.hint());
        })
        .ok()
    }

    /// Reads the name of a firewall, of which there must be one.
    pub(super) fn firewall(&mut self, written: Option<&Spanned<String>>) -> Option<String> {
        let written = written?;
        let name = written.get_ref();
        if !self.firewalls.contains(name) {
            let message = format!("there is no firewall `{name}`");
            let known = self.firewalls.iter().map(String::as_str);
            let hint = match nearest_word(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a [[firewall]] with `name = {name:?}`"),
            };
            self.error(Some(written.span()), &message, &hint);
        }
        Some(name.clone())
    }

    /// Whether a rule of a firewall names the function.
    pub(super) fn inspects(&self, function: &FunctionName) -> bool {
        let mut named = self.inspecting.iter();
        named.any(|name| name == function.as_str())
    }

    fn maximum(&mut self, maximum: &Maximum) {
        maximum.limit.check(&mut self.report());
        maximum.instance.check(&mut self.report());
    }

    fn function(
        &mut self,
        function: file::Function,
        (maximum, shared): (&Maximum, &[ChannelTable]),
        known: &mut TriggerTable<()>,
    ) -> FunctionConfig {
        let (name, route) = (&function.name, function.route.as_ref());
        let is_woken = !function.subscription.is_empty();
        let triggers = self.triggers(name, route, function.trigger, known, is_woken);
        let instance = self.instance(function.instance, maximum, &triggers);
        let limit = self.limit(function.limit, maximum);
        let auto_responses = self.auto_responses(function.auto_response, limit.auto_responses);
        let channels = self.own_channels(name.get_ref(), function.channel, shared);
        let has_callers = !triggers.is_empty() || self.inspects(name.get_ref());
        let subscriptions = self.subscriptions(function.subscription, &instance, has_callers);
        let environment = self.environment(function.environment, function.secrets);
        let outbound = self.outbound(function.outbound);
        let place = match &function.component {
            Some(component) => component.span(),
            None => function.name.span(),
        };
        FunctionConfig {
            name: function.name.into_inner(),
            component_line: line_of(self.text, place.start),
            component: function.component.map(Spanned::into_inner),
            alias: function.alias.unwrap_or_else(AliasName::live),
            migration: function.migration,
            triggers,
            auto_responses,
            channels,
            subscriptions,
            environment,
            outbound,
            instance,
            limit,
        }
    }

    fn instance(
        &mut self,
        instance: InstancePolicyWritten,
        maximum: &Maximum,
        triggers: &[Trigger],
    ) -> InstancePolicy {
        if let Some(written) = &instance.affinity
            && let Some(affinity) = written.get_ref()
        {
            for trigger in triggers {
                if let Err(error) = trigger.check_affinity(Some(affinity)) {
                    let hint = trigger_hint(&error);
                    self.error(Some(written.span()), &error.to_string(), hint);
                }
            }
        }
        let time = instance.backoff_time.as_ref().map(Spanned::span);
        let mut policy = instance.resolve(&maximum.instance, &mut self.report());
        match time {
            None => policy.backoff_time = policy.backoff_time.min(policy.backoff_time_max),
            Some(span) if policy.backoff_time > policy.backoff_time_max => {
                let message = format!(
                    "`backoff_time` is {} and can be at most `backoff_time_max`, which is {}",
                    Period(policy.backoff_time),
                    Period(policy.backoff_time_max)
                );
                self.error(
                    Some(span),
                    &message,
                    "lower it, or raise `backoff_time_max`",
                );
            }
            Some(_) => {}
        }
        policy
    }

    fn limit(&mut self, limit: FunctionLimitsWritten, maximum: &Maximum) -> FunctionLimits {
        let outbox = limit.outbox_bytes.as_ref().map(Spanned::span);
        let cpu = limit.cpu_timeout.as_ref().map(Spanned::span);
        let warning = limit.time_warning.as_ref().map(Spanned::span);
        let text = limit.time_warning_message.as_ref().map(Spanned::span);
        let mut limits = limit.resolve(&maximum.limit, &mut self.report());
        // The largest message must fit. An outbox that is not configured grows
        // with it.
        match outbox {
            None => limits.outbox_bytes = limits.outbox_bytes.max(limits.message_bytes),
            Some(span) if limits.outbox_bytes < limits.message_bytes => {
                let message = format!(
                    "`outbox_bytes` is {} and must hold at least one message, `message_bytes` is {}",
                    bytes(limits.outbox_bytes),
                    bytes(limits.message_bytes)
                );
                self.error(Some(span), &message, "raise it, or lower `message_bytes`");
            }
            Some(_) => {}
        }
        match cpu {
            None => limits.cpu_timeout = limits.cpu_timeout.min(limits.handler_timeout),
            Some(span) if limits.cpu_timeout > limits.handler_timeout => {
                let message = format!(
                    "`cpu_timeout` is {} and can be at most `handler_timeout`, which is {}",
                    Period(limits.cpu_timeout),
                    Period(limits.handler_timeout)
                );
                self.error(Some(span), &message, "the default is 200 ms");
            }
            Some(_) => {}
        }
        if !limits.time_warning.is_zero() && limits.time_warning >= limits.connection_time {
            let message = format!(
                "`time_warning` is {} and must be less than `connection_time`, which is {}",
                Period(limits.time_warning),
                if limits.connection_time.is_zero() {
                    "none".into()
                } else {
                    Period(limits.connection_time).to_string()
                }
            );
            let hint = "the peer is warned that long before the end of its `connection_time`";
            self.error(warning, &message, hint);
        }
        if limits.time_warning_message.len() > WARNING_BYTES_MAX {
            let most = bytes(WARNING_BYTES_MAX);
            let message = format!("`time_warning_message` has more than {most}");
            self.error(text, &message, "a sentence is enough");
        }
        limits
    }
}

/// The names of all `[[firewall]]` tables. What has no name has an error, which
/// the package of firewalls reports.
fn firewalls(written: Option<&toml::Value>) -> Vec<String> {
    let tables = written.and_then(toml::Value::as_array);
    let names = tables.into_iter().flatten();
    let names = names.filter_map(|table| table.get("name")?.as_str());
    names.map(str::to_owned).collect()
}

/// The functions that the rules of all firewalls name. It passes over rules that
/// are wrong: the package of firewalls reports them.
fn inspecting(written: Option<&toml::Value>) -> Vec<String> {
    fn tables<'a>(of: &'a toml::Value, name: &str) -> impl Iterator<Item = &'a toml::Value> {
        let tables = of.get(name).and_then(toml::Value::as_array);
        tables.into_iter().flatten()
    }
    let firewalls = written.and_then(toml::Value::as_array);
    let firewalls = firewalls.into_iter().flatten();
    let rules = firewalls.flat_map(|firewall| tables(firewall, "rule"));
    let behaviors = rules.flat_map(|rule| tables(rule, "behaviors"));
    let named = behaviors.filter_map(|it| it.get("run_function")?.as_str());
    let function = |named: &str| named.split('@').next().map(str::to_owned);
    named.filter_map(function).collect()
}

pub(super) fn bytes(bytes: usize) -> ByteSize {
    ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX))
}
