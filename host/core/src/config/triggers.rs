//! The rules of a function's triggers: each by itself, and all of them
//! together.

use openline_hint::Hint;
use toml::Spanned;

use super::hints::{ORIGIN_HINT, cors_hint, host_hint, methods_hint, route_hint, trigger_hint};
use super::validate::Check;
use super::{FunctionConfig, file};
use crate::authentication::{AuthMethod, Authentication};
use crate::dialect::DialectName;
use crate::digest::DIGEST_LETTERS_MIN;
use crate::name::{FunctionName, TriggerName};
use crate::route::Route;
use crate::trigger::{
    Cors, CorsWritten, HOSTS_MAX, HostPattern, Methods, ORIGINS_MAX, OriginPattern, TRIGGERS_MAX,
    Target, Trigger, TriggerPlace, TriggerTable,
};

impl Check<'_> {
    /// Reads the triggers of a function: the short form, `route`, first, and
    /// then the tables.
    pub(super) fn triggers(
        &mut self,
        name: &Spanned<FunctionName>,
        route: Option<&Spanned<String>>,
        written: Vec<Spanned<file::Trigger>>,
        known: &mut TriggerTable<()>,
        is_woken: bool,
    ) -> Vec<Trigger> {
        let has_none = route.is_none() && written.is_empty();
        if has_none && !is_woken && !self.inspects(name.get_ref()) {
            let message = format!("`{}` has no route and no trigger", name.get_ref());
            let hint = "give it a `route`, as in \"/chat/{room}\", or a [[function.trigger]]; have a rule of a firewall name it with `run_function`; or give it a [[function.subscription]]";
            self.error(Some(name.span()), &message, hint);
        }
        if let Some(past) = written.get(TRIGGERS_MAX) {
            let message = format!("a function has at most {TRIGGERS_MAX} triggers");
            let hint = "a parameter, as in \"/chat/{room}\", makes one route of many";
            self.error(Some(past.span()), &message, hint);
        }
        let given = written.iter().filter_map(|it| it.get_ref().name.as_ref());
        let given: Vec<TriggerName> = given.map(|name| name.get_ref().clone()).collect();
        let mut triggers: Vec<Trigger> = Vec::new();
        if let Some(written) = route
            && let Some(route) = self.route(written)
        {
            let mut trigger = Trigger::new(route);
            trigger.name = trigger.name.free(|name| given.contains(name));
            self.enter(name, &trigger, written.span().clone(), known);
            triggers.push(trigger);
        }
        for written in written {
            let place = written.get_ref().route.span();
            let Some(mut trigger) = self.trigger(&written) else {
                continue;
            };
            let taken = |name: &TriggerName| triggers.iter().any(|it| it.name == *name);
            match &written.get_ref().name {
                None => {
                    let used = |name: &TriggerName| taken(name) || given.contains(name);
                    trigger.name = trigger.name.free(used);
                }
                Some(name) if taken(name.get_ref()) => {
                    let message = format!("two triggers are named `{}`", name.get_ref());
                    self.error(Some(name.span()), &message, "rename one of them");
                }
                Some(_) => {}
            }
            self.enter(name, &trigger, place, known);
            triggers.push(trigger);
        }
        triggers
    }

    /// Checks that no trigger before it matches the same requests.
    fn enter(
        &mut self,
        function: &Spanned<FunctionName>,
        trigger: &Trigger,
        span: std::ops::Range<usize>,
        known: &mut TriggerTable<()>,
    ) {
        let place = TriggerPlace {
            function: function.get_ref().clone(),
            trigger: trigger.name.clone(),
        };
        if let Err(error) = known.insert(trigger, &place, &()) {
            self.error(Some(span), &error.to_string(), trigger_hint(&error));
        }
    }

    /// Checks a route.
    fn route(&mut self, written: &Spanned<String>) -> Option<Route> {
        let route = Route::new(written.get_ref());
        route
            .map_err(|error| {
                let hint = route_hint(&error);
                self.error(Some(written.span()), &error.to_string(), &hint);
            })
            .ok()
    }

    fn trigger(&mut self, written: &Spanned<file::Trigger>) -> Option<Trigger> {
        let trigger = written.get_ref();
        let route = self.route(&trigger.route);
        let hosts = self.hosts(trigger.hosts.as_ref());
        let methods = self.methods(trigger.methods.as_ref());
        let origins = self.origins(trigger.origins.as_ref());
        let target = self.target(written);
        let cors = self.cors(trigger.cors.as_ref(), methods);
        let firewall = self.firewall(trigger.firewall.as_ref());
        let auth = self.authentication(written);
        self.dialect(trigger, auth.as_deref());
        let trigger = Trigger {
            hosts,
            methods: methods?,
            target: target?,
            internet: trigger.internet.unwrap_or(true),
            origins,
            origin_required: trigger.origin_required.unwrap_or(false),
            cors,
            firewall,
            auth,
            dialect: trigger.dialect,
            ..Trigger::new(route?)
        };
        let name = written.get_ref().name.as_ref();
        Some(match name {
            Some(name) => Trigger {
                name: name.get_ref().clone(),
                ..trigger
            },
            None => trigger,
        })
    }

    fn hosts(&mut self, written: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<HostPattern> {
        let Some(written) = written else {
            return Vec::new();
        };
        let listed = written.get_ref();
        if listed.is_empty() {
            let hint = "leave it out for a trigger on all hosts";
            self.error(Some(written.span()), "`hosts` is empty", hint);
        }
        if let Some(past) = listed.get(HOSTS_MAX) {
            let message = format!("a trigger has at most {HOSTS_MAX} hosts");
            let hint = "a pattern, as in \"*.example.org\", stands for many";
            self.error(Some(past.span()), &message, hint);
        }
        self.host_patterns(listed)
    }

    /// Reads a list of hosts.
    pub(super) fn host_patterns(&mut self, listed: &[Spanned<String>]) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        for each in listed {
            match HostPattern::new(each.get_ref()) {
                Ok(host) => hosts.push(host),
                Err(error) => {
                    let hint = host_hint(each.get_ref());
                    self.error(Some(each.span()), &error.to_string(), hint);
                }
            }
        }
        hosts
    }

    fn origins(&mut self, written: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<OriginPattern> {
        let listed = written.map_or(&[][..], |written| written.get_ref());
        if let Some(past) = listed.get(ORIGINS_MAX) {
            let message = format!("a trigger has at most {ORIGINS_MAX} origins");
            let hint = "a pattern, as in \"https://*.example.org\", stands for many";
            self.error(Some(past.span()), &message, hint);
        }
        let mut origins = Vec::new();
        for each in listed {
            match OriginPattern::new(each.get_ref()) {
                Ok(origin) => origins.push(origin),
                Err(error) => {
                    self.error(Some(each.span()), &error.to_string(), ORIGIN_HINT);
                }
            }
        }
        origins
    }

    /// Reads what pages of other sites may do. Methods that are not right have
    /// an error of their own.
    fn cors(
        &mut self,
        written: Option<&Spanned<CorsWritten>>,
        methods: Option<Methods>,
    ) -> Option<Cors> {
        let written = written?;
        let cors = Cors::new(written.get_ref(), methods?);
        cors.map_err(|error| {
            self.error(Some(written.span()), &error.to_string(), &cors_hint(&error));
        })
        .ok()
    }

    /// Reads how a trigger authenticates: `auth` and its tables.
    fn authentication(&mut self, written: &Spanned<file::Trigger>) -> Option<Box<Authentication>> {
        let trigger = written.get_ref();
        let spans = [
            ("jwt", trigger.jwt.as_ref().map(Spanned::span)),
            ("signature", trigger.signature.as_ref().map(Spanned::span)),
            ("ticket", trigger.ticket.as_ref().map(Spanned::span)),
            (
                "first_message",
                trigger.first_message.as_ref().map(Spanned::span),
            ),
        ];
        if trigger.auth.is_none() && spans.iter().all(|(_, span)| span.is_none()) {
            return None;
        }
        fn inner<T: Clone>(table: Option<&Spanned<T>>) -> Option<T> {
            table.map(|table| table.get_ref().clone())
        }
        let auth = Authentication {
            method: inner(trigger.auth.as_ref()).unwrap_or_default(),
            jwt: inner(trigger.jwt.as_ref()),
            signature: inner(trigger.signature.as_ref()),
            ticket: inner(trigger.ticket.as_ref()),
            first_message: inner(trigger.first_message.as_ref()),
        };
        if let Err(error) = auth.check() {
            let table = error.key.split('.').next();
            let blamed = spans.into_iter().find(|(name, _)| Some(*name) == table);
            let blamed = blamed.and_then(|(_, span)| span);
            let own = trigger.auth.as_ref().map(Spanned::span);
            let span = blamed.or(own).unwrap_or_else(|| written.span());
            let hint = error.hint().unwrap_or_default();
            self.error(Some(span), &error.to_string(), &hint);
        }
        Some(Box::new(auth))
    }

    /// Checks that peers can authenticate in the words of the trigger's dialect.
    fn dialect(&mut self, trigger: &file::Trigger, auth: Option<&Authentication>) {
        let Some((dialect, auth)) = trigger.dialect.zip(auth) else {
            return;
        };
        let hint = match (dialect, auth.method) {
            (DialectName::Pushflo, _) => {
                "leave out `auth`: the key in the address is one of the [[key]] tables or of `openline keys`"
            }
            (DialectName::Centrifugo, AuthMethod::FirstMessage) => {
                "use `auth = \"jwt\"`: the first command of these clients has the token"
            }
            (DialectName::Centrifugo | DialectName::Events | DialectName::HeldEvents, _) => return,
        };
        let message = format!("peers of the dialect `{dialect}` cannot authenticate like this");
        let span = trigger.auth.as_ref().map(Spanned::span);
        let span = span.unwrap_or_else(|| trigger.route.span());
        self.error(Some(span), &message, hint);
    }

    fn methods(&mut self, written: Option<&Spanned<Vec<String>>>) -> Option<Methods> {
        let Some(written) = written else {
            return Some(Methods::default());
        };
        let methods = Methods::new(written.get_ref());
        methods
            .map_err(|error| {
                let hint = methods_hint(&error);
                self.error(Some(written.span()), &error.to_string(), &hint);
            })
            .ok()
    }

    fn target(&mut self, written: &Spanned<file::Trigger>) -> Option<Target> {
        let trigger = written.get_ref();
        match (&trigger.alias, &trigger.version) {
            (None, None) => Some(Target::Function),
            (Some(alias), None) => Some(Target::Alias(alias.clone())),
            (None, Some(version)) => {
                let letter = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let digest = version.get_ref();
                if !(DIGEST_LETTERS_MIN..=64).contains(&digest.len()) || !digest.bytes().all(letter)
                {
                    let message = format!(
                        "`version` is the beginning of a digest: {DIGEST_LETTERS_MIN} to 64 of 0-9a-f"
                    );
                    let hint = "`openline versions` lists the digests of a function's versions";
                    self.error(Some(version.span()), &message, hint);
                }
                Some(Target::Version(digest.clone()))
            }
            (Some(_), Some(_)) => {
                let message = "a trigger leads to one of `alias` and `version`";
                let hint = "as in `alias = \"beta\"` or `version = \"3f29ac\"`";
                self.error(Some(written.span()), message, hint);
                None
            }
        }
    }
}

impl FunctionConfig {
    /// Its first route, for commands that need one: that of the short form, if
    /// it has that.
    pub fn route(&self) -> Option<&Route> {
        self.triggers.first().map(|trigger| &trigger.route)
    }
}
