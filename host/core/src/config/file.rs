//! The shape of a configuration file, and the hints for serde's errors when a
//! file does not have it. Unknown keys are errors everywhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::error::ConfigError;
use super::server::ServerConfigWritten;
use crate::authentication::{
    AuthMethod, FirstMessageConfig, JwtConfig, SignatureConfig, TicketConfig,
};
use crate::auto_response::MatchKind;
use crate::channel::{ChannelWritten, Subscription};
use crate::deployment::Migration;
use crate::dialect::DialectName;
use crate::key::KeyWritten;
use crate::limits::{
    FunctionLimitsMaximum, FunctionLimitsWritten, InstancePolicyMaximum, InstancePolicyWritten,
};
use crate::name::{AliasName, FunctionName, TriggerName};
use crate::outbound::OutboundWritten;
use crate::trigger::CorsWritten;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: ServerConfigWritten,
    #[serde(default)]
    pub(super) maximum: Maximum,
    #[serde(default)]
    pub(super) function: Vec<Function>,
    /// The channels that functions share.
    #[serde(default)]
    pub(super) channel: Vec<Spanned<ChannelWritten>>,
    /// The API keys.
    #[serde(default)]
    pub(super) key: Vec<Spanned<KeyWritten>>,
    /// The firewalls, of which only the names are read here; the package
    /// `openline-firewall` reads the rest, and reports what is wrong with it.
    pub(super) firewall: Option<toml::Value>,
    /// The lists of the firewalls, which that package reads.
    #[serde(rename = "list")]
    pub(super) _list: Option<IgnoredAny>,
}

/// `[maximum.limit]` and `[maximum.instance]`: upper bounds for every
/// function's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Maximum {
    pub(super) limit: FunctionLimitsMaximum,
    pub(super) instance: InstancePolicyMaximum,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub(super) name: Spanned<FunctionName>,
    pub(super) component: Option<Spanned<PathBuf>>,
    pub(super) route: Option<Spanned<String>>,
    pub(super) alias: Option<AliasName>,
    #[serde(default)]
    pub(super) migration: Migration,
    #[serde(default)]
    pub(super) trigger: Vec<Spanned<Trigger>>,
    #[serde(default)]
    pub(super) auto_response: Vec<Spanned<AutoResponse>>,
    #[serde(default)]
    pub(super) channel: Vec<Spanned<ChannelWritten>>,
    #[serde(default)]
    pub(super) subscription: Vec<Spanned<Subscription>>,
    #[serde(default)]
    pub(super) environment: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    /// Read as any value: an error of serde would repeat a secret that was
    /// written here by mistake.
    #[serde(default)]
    pub(super) secrets: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) outbound: OutboundWritten,
    #[serde(default)]
    pub(super) instance: InstancePolicyWritten,
    #[serde(default)]
    pub(super) limit: FunctionLimitsWritten,
}

/// `[[function.trigger]]`: a way to reach the function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trigger {
    pub(super) name: Option<Spanned<TriggerName>>,
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) route: Spanned<String>,
    pub(super) methods: Option<Spanned<Vec<String>>>,
    pub(super) alias: Option<AliasName>,
    pub(super) version: Option<Spanned<String>>,
    pub(super) dialect: Option<DialectName>,
    pub(super) internet: Option<bool>,
    pub(super) origins: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) origin_required: Option<bool>,
    pub(super) cors: Option<Spanned<CorsWritten>>,
    pub(super) firewall: Option<Spanned<String>>,
    pub(super) auth: Option<Spanned<AuthMethod>>,
    pub(super) jwt: Option<Spanned<Box<JwtConfig>>>,
    pub(super) signature: Option<Spanned<Box<SignatureConfig>>>,
    pub(super) ticket: Option<Spanned<Box<TicketConfig>>>,
    pub(super) first_message: Option<Spanned<Box<FirstMessageConfig>>>,
}

/// `[[function.auto_response]]`: what the host answers by itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AutoResponse {
    pub(super) text: Option<Spanned<String>>,
    pub(super) binary_hex: Option<Spanned<String>>,
    pub(super) reply: Option<Spanned<String>>,
    pub(super) reply_hex: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) r#match: MatchKind,
}

pub(super) fn read(text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().to_owned();
        let hint = hint_for(&message);
        let has_secret = message.contains("a secret is not written");
        let mut error = error_at(text, error.span(), shortened(message), hint);
        // The line may have the secret.
        let is_of_secrets = is_of_secrets(text, error.line);
        if has_secret || is_of_secrets {
            error.source.clear();
        }
        if is_of_secrets && error.hint == TOML_HINT {
            error.hint =
                "name the place of each secret in quotes, as in `API_TOKEN = \"env:API_TOKEN\"`"
                    .into();
        }
        error
    })
}

/// Whether a line belongs to `[function.secrets]`, as far as that can be seen in
/// a text that cannot be read.
fn is_of_secrets(text: &str, line: usize) -> bool {
    let lines = text.lines().take(line).map(str::trim_start);
    let headers = lines.clone().filter(|line| line.starts_with('['));
    let own = lines.last().unwrap_or_default();
    own.starts_with("secrets") || headers.last().is_some_and(|it| it.contains("secrets"))
}

/// An error that points at a place in the text.
pub(super) fn error_at(
    text: &str,
    span: Option<Range<usize>>,
    message: String,
    hint: String,
) -> ConfigError {
    let line = span.map_or(0, |span| line_of(text, span.start));
    let source = line
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
        .unwrap_or_default();
    ConfigError {
        line,
        source: source.trim().into(),
        message,
        hint,
    }
}

/// The line of a byte offset, counted from 1. The end of the text belongs to
/// the last line, not to one after it.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.bytes()
        .take(offset.min(end))
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// How many known keys an error about an unknown one lists at most; a whole
/// table of limits would not help.
const LISTED_MAX: usize = 8;

fn shortened(message: String) -> String {
    match message.split_once(", expected one of ") {
        Some((start, known))
            if message.starts_with("unknown field") && known.matches(',').count() >= LISTED_MAX =>
        {
            start.into()
        }
        _ => message,
    }
}

/// The hint of an error that has no better one.
const TOML_HINT: &str = "the file is TOML, as in docs/reference/configuration.md";

fn hint_for(message: &str) -> String {
    if message.starts_with("unknown field") {
        return match nearest(message) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "remove it; `openline limits` lists the keys of every table of limits".into(),
        };
    }
    if message.starts_with("missing field") {
        return "every [[function]] needs a `name`, every [[function.trigger]] a `route`, every `cors` table `allow_origins`, every [[key]] a `name`, `scopes` and a `secret`".into();
    }
    if message.contains("unknown variant") {
        return "use one of the values that the message lists".into();
    }
    if message.contains("is not a size") || message.contains("is not a time") {
        return "`openline limits` lists every limit with its unit and its default".into();
    }
    if message.contains("is not a function name") {
        return "the name is for people, logs and commands; the route may be anything".into();
    }
    if message.contains("is not the name of a trigger") {
        return "leave it out to name the trigger after its route".into();
    }
    if message.contains("is not one of `nobody`") {
        return "as in `subscribe = \"peers\"`, or \"claim:channels\" for the patterns of a claim"
            .into();
    }
    if message.contains("`subscribe`, `publish`") {
        return "as in `scopes = [\"subscribe\", \"read\"]`: none of them includes another".into();
    }
    if message.contains("is not the name of a key") {
        return "the name is for people, logs and commands; the text of the key may be anything"
            .into();
    }
    if message.contains("is not an affinity") {
        return "write a parameter of the route, as `room`, or \"header:x-room\", \"query:room\", \"cookie:NAME\" or \"claim:sub\"".into();
    }
    if message.contains("is not an alias") {
        return "the alias that serves unless something else is said is `live`".into();
    }
    if message.starts_with("duplicate key") {
        return "keep one of the two".into();
    }
    if message.starts_with("invalid type") || message.starts_with("invalid value") {
        return "docs/reference/configuration.md says what each key takes, and `openline limits` which unit each limit has".into();
    }
    TOML_HINT.into()
}

/// serde lists the known keys after the unknown one: the first word in
/// backquotes was written, the others are known.
fn nearest(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    nearest_word(words.next()?, words)
}

/// The known word that was probably meant, if one is near enough.
pub fn nearest_word<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let known = known.into_iter();
    let (distance, name) = known.map(|name| (distance(written, name), name)).min()?;
    (distance <= written.len().max(name.len()) / 2).then_some(name)
}

/// The Levenshtein distance, row by row. The words are keys of a few dozen
/// bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
