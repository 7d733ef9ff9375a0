//! Reads the behaviours of a rule.
//!
//! A behaviour is its name, `"deny"`, or a table with its name as the only key:
//! `{ deny = { status_code = 404 } }`. Names and arguments are Azion's where
//! Azion has them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use openline_core::config::nearest_word;
use toml::de::{DeTable, DeValue};

use super::reader::{Node, Reader, listed};
use crate::behavior::{Answer, Behavior, TEXT, is_reserved, may_have_body};
use crate::function::FunctionRef;
use crate::limiter::{LimitBy, Limiter, Period, Rate};
use crate::limits::{
    BEHAVIORS_MAX, BODY_BYTES_MAX, HEADER_VALUE_BYTES_MAX, NAME_BYTES_MAX, RATE_LIMITS_MAX,
    RATE_MAX,
};
use crate::request::one_name;

const NAMES: [&str; 8] = [
    "allow",
    "deny",
    "drop",
    "log",
    "set_rate_limit",
    "set_custom_response",
    "set_header",
    "run_function",
];

/// Reads behaviours, and counts what is bounded.
pub(super) struct BehaviorsReader<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    /// Rate limits of all rules.
    pub(super) limits: &'r mut usize,
}

impl BehaviorsReader<'_, '_> {
    pub(super) fn behaviors(&mut self, node: Node<'_, '_>) -> Option<Vec<Behavior>> {
        let items = self.reader.array(node, "`behaviors`")?;
        if items.is_empty() {
            let hint = "set `active = false` for a rule that is to do nothing";
            self.reader
                .error(node.span(), "there is no behaviour", hint);
        }
        if let Some(past) = items.get(BEHAVIORS_MAX) {
            let message = format!("there are more than {BEHAVIORS_MAX} behaviours");
            self.reader.error(
                past.span(),
                &message,
                "write several rules with the same criteria",
            );
        }
        let mut behaviors: Vec<Behavior> = Vec::new();
        for item in items.iter().take(BEHAVIORS_MAX) {
            let Some(behavior) = self.behavior(item) else {
                continue;
            };
            if let Some(last) = behaviors.last().filter(|it| it.is_final()) {
                let message = format!("`{behavior}` never runs: `{last}` before it ends the rule");
                self.reader
                    .error(item.span(), &message, "change their order, or remove one");
            }
            behaviors.push(behavior);
        }
        Some(behaviors)
    }

    fn behavior(&mut self, node: Node<'_, '_>) -> Option<Behavior> {
        let none = DeTable::new();
        let (name, arguments) = match node.get_ref() {
            DeValue::String(name) => (&**name, None),
            DeValue::Table(table) if table.len() == 1 => {
                let (name, value) = table.iter().next()?;
                (&**name.get_ref(), Some(value))
            }
            _ => {
                let hint = "write `\"deny\"`, or `{ deny = { status_code = 404 } }`";
                self.reader
                    .error(node.span(), "this is not one behaviour", hint);
                return None;
            }
        };
        if !NAMES.contains(&name) {
            self.unknown(node, name);
            return None;
        }
        if name == "run_function" {
            return self.run(node, arguments);
        }
        // Without arguments, `true` is as good as nothing.
        let arguments = match arguments {
            Some(value) if value.get_ref().as_bool() != Some(true) => self
                .reader
                .table(value, &format!("the value of `{name}`"))?,
            _ => &none,
        };
        match name {
            "deny" => self.deny(node, arguments).map(Behavior::Deny),
            "set_custom_response" => self.respond(node, arguments).map(Behavior::Respond),
            "set_rate_limit" => self.limit(node, arguments),
            "set_header" => self.set_header(node, arguments),
            _ => {
                self.reader.keys(arguments, &[]);
                Some(match name {
                    "allow" => Behavior::Allow,
                    "drop" => Behavior::Drop,
                    _ => Behavior::Log,
                })
            }
        }
    }

    fn unknown(&mut self, node: Node<'_, '_>, name: &str) {
        let message = format!("there is no behaviour `{name}`");
        let hint = match nearest_word(name, NAMES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the behaviours are {}", listed(&NAMES)),
        };
        self.reader.error(node.span(), &message, &hint);
    }

    fn missing(&mut self, node: Node<'_, '_>, behavior: &str, key: &str) {
        let message = format!("`{behavior}` has no `{key}`");
        let example = match behavior {
            "set_header" => "{ set_header = { name = \"x-risk\", value = \"high\" } }",
            "set_custom_response" => {
                "{ set_custom_response = { status_code = 404, content_type = \"text/plain\", content_body = \"gone\" } }"
            }
            _ => {
                "{ set_rate_limit = { type = \"second\", limit_by = \"client_ip\", average_rate_limit = 5 } }"
            }
        };
        self.reader
            .error(node.span(), &message, &format!("as in `{example}`"));
    }

    fn deny(&mut self, node: Node<'_, '_>, arguments: &DeTable<'_>) -> Option<Answer> {
        self.answer(node, arguments, 400, Some(403))
    }

    fn respond(&mut self, node: Node<'_, '_>, arguments: &DeTable<'_>) -> Option<Answer> {
        if arguments.get("status_code").is_none() {
            self.missing(node, "set_custom_response", "status_code");
            return None;
        }
        self.answer(node, arguments, 200, None)
    }

    fn answer(
        &mut self,
        node: Node<'_, '_>,
        arguments: &DeTable<'_>,
        least: u64,
        default: Option<u16>,
    ) -> Option<Answer> {
        let keys = ["status_code", "content_type", "content_body"];
        self.reader.keys(arguments, &keys);
        let status = match arguments.get("status_code") {
            Some(value) => {
                let number = self.reader.number(value, "`status_code`", least, 499)?;
                u16::try_from(number).ok()
            }
            None => default,
        };
        let body = match arguments.get("content_body") {
            Some(value) => self.reader.text(value, "`content_body`", BODY_BYTES_MAX)?,
            None => "",
        };
        let content_type = match arguments.get("content_type") {
            Some(value) => {
                let text = self
                    .reader
                    .text(value, "`content_type`", HEADER_VALUE_BYTES_MAX)?;
                Some(self.header_value(value, text)?)
            }
            None if body.is_empty() => None,
            None => Some(TEXT),
        };
        let status = status.and_then(|it| StatusCode::from_u16(it).ok());
        let status = status.filter(|it| body.is_empty() || may_have_body(*it));
        let Some(status) = status else {
            let message = "an answer of this status has no body";
            self.reader
                .error(node.span(), message, "leave `content_body` out, or use 200");
            return None;
        };
        Some(Answer {
            status,
            content_type,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    fn header_value(&mut self, node: Node<'_, '_>, text: &str) -> Option<HeaderValue> {
        let value = HeaderValue::from_str(text)
            .ok()
            .filter(|it| it.to_str().is_ok());
        if value.is_none() {
            let message = "this cannot be the value of a header";
            let hint = "use visible ASCII characters and spaces";
            self.reader.error(node.span(), message, hint);
        }
        value
    }

    fn limit(&mut self, node: Node<'_, '_>, arguments: &DeTable<'_>) -> Option<Behavior> {
        let keys = [
            "type",
            "limit_by",
            "average_rate_limit",
            "maximum_burst_size",
        ];
        self.reader.keys(arguments, &keys);
        *self.limits += 1;
        if *self.limits > RATE_LIMITS_MAX {
            let message = format!("there are more than {RATE_LIMITS_MAX} rate limits");
            let hint = "one rule may have many criteria, and counts its requests together";
            self.reader.error(node.span(), &message, hint);
            return None;
        }
        let period = match arguments.get("type") {
            None => Period::Second,
            Some(value) => match self.reader.text(value, "`type`", NAME_BYTES_MAX)? {
                "second" => Period::Second,
                "minute" => Period::Minute,
                other => {
                    let message = format!("`{other}` is not the period of a rate");
                    self.reader
                        .error(value.span(), &message, "use `second` or `minute`");
                    return None;
                }
            },
        };
        let by = match arguments.get("limit_by") {
            None => LimitBy::Address,
            Some(value) => self.limit_by(value)?,
        };
        let Some(average) = arguments.get("average_rate_limit") else {
            self.missing(node, "set_rate_limit", "average_rate_limit");
            return None;
        };
        let average = self
            .reader
            .number(average, "`average_rate_limit`", 1, RATE_MAX)?;
        let burst = match arguments.get("maximum_burst_size") {
            // A period's worth, as the other rates of a host have it.
            None => average,
            Some(value) => self
                .reader
                .number(value, "`maximum_burst_size`", 1, RATE_MAX)?,
        };
        let rate = Rate {
            average,
            period,
            burst,
        };
        let limiter = Limiter::new(rate, &by).into();
        Some(Behavior::Limit(by, limiter))
    }

    fn limit_by(&mut self, node: Node<'_, '_>) -> Option<LimitBy> {
        let text = self.reader.text(node, "`limit_by`", NAME_BYTES_MAX)?;
        let header = |name: &str| {
            let name = HeaderName::try_from(name).ok()?;
            Some(LimitBy::Header(one_name(&name).into_owned()))
        };
        let by = match text.split_once(':') {
            None if text == "client_ip" => Some(LimitBy::Address),
            None if text == "global" => Some(LimitBy::All),
            Some(("header", name)) => header(name),
            Some(("claim", name)) if !name.is_empty() => Some(LimitBy::Claim(name.into())),
            _ => None,
        };
        if by.is_none() {
            let message = format!("a rate cannot be limited by `{text}`");
            let hint = "use `client_ip`, `global`, `header:NAME` or `claim:NAME`";
            self.reader.error(node.span(), &message, hint);
        }
        by
    }

    fn set_header(&mut self, node: Node<'_, '_>, arguments: &DeTable<'_>) -> Option<Behavior> {
        self.reader.keys(arguments, &["name", "value"]);
        let mut part = |key: &str, most| match arguments.get(key) {
            Some(value) => {
                let text = self.reader.text(value, &format!("`{key}`"), most);
                text.map(|text| (value, text))
            }
            None => {
                self.missing(node, "set_header", key);
                None
            }
        };
        let (name, value) = (
            part("name", NAME_BYTES_MAX),
            part("value", HEADER_VALUE_BYTES_MAX),
        );
        let ((name_node, name), (value_node, value)) = (name?, value?);
        let Ok(header) = HeaderName::try_from(name) else {
            let message = format!("`{name}` is not the name of a header");
            let hint = "use letters, digits and `-`, as in `x-risk`";
            self.reader.error(name_node.span(), &message, hint);
            return None;
        };
        if is_reserved(&header) {
            let message = format!("no rule may set `{name}`");
            let hint = "the host needs this header as the peer sent it: choose a name of your own, as `x-risk`";
            self.reader.error(name_node.span(), &message, hint);
            return None;
        }
        let value = self.header_value(value_node, value)?;
        Some(Behavior::SetHeader(header, value))
    }

    fn run(&mut self, node: Node<'_, '_>, value: Option<Node<'_, '_>>) -> Option<Behavior> {
        let Some(value) = value else {
            let hint = "as in `{ run_function = \"inspect\" }`";
            self.reader
                .error(node.span(), "`run_function` names no function", hint);
            return None;
        };
        let name = self
            .reader
            .text(value, "`run_function`", 2 * NAME_BYTES_MAX)?;
        match FunctionRef::new(name) {
            Ok(function) => Some(Behavior::Run(function)),
            Err(error) => {
                let hint = "the name of a [[function]] whose component exports `firewall`, with `@` and an alias behind it or not";
                self.reader.error(value.span(), &error.to_string(), hint);
                None
            }
        }
    }
}
