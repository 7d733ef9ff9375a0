//! The shape of names and words in JSON, for the description of the admin
//! interface. The types themselves belong to `openline-core`, which knows no
//! interface.

use std::borrow::Cow;

use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

fn described(object: ObjectBuilder, description: &str) -> RefOr<Schema> {
    let object: Object = object.description(Some(description)).build();
    RefOr::T(Schema::Object(object))
}

/// Named schemas of texts that match a pattern.
macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident = $pattern:literal;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let description = concat!($($doc),+).trim();
                described(string().pattern(Some($pattern)), description)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}

/// Named schemas of one word out of a list.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($word:literal),+];)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl $name {
            /// All words.
            pub const WORDS: &[&str] = &[$($word),+];
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let description = concat!($($doc),+).trim();
                let words = Self::WORDS.iter().copied();
                described(string().enum_values(Some(words)), description)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}

texts! {
    /// The SHA-256 digest of a component: the name of a version.
    Digest = "^[0-9a-f]{64}$";
    /// The name of a function.
    FunctionName = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    /// The name of an alias. It does not look like a digest.
    AliasName = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    /// The name of a trigger.
    TriggerName = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    /// The name of an API key.
    KeyName = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    /// The public half of a pair for AWS's tools.
    AccessKeyId = "^[A-Z0-9]{20}$";
    /// Names a connection.
    ConnectionId = "^[0-9a-f]{32}$";
}

words! {
    /// What happens to open connections when their alias moves: their next
    /// event goes to the new version (`migrate`), they stay with the version
    /// that took them (`pin`), or they are closed with 1012 at a bounded pace
    /// (`drain`).
    Migration = ["migrate", "pin", "drain"];
    /// How a handler is called: one call after the other in an instance (`plain`),
    /// or many in flight (`async`).
    CallStyle = ["plain", "async"];
    /// Who may open the page on `listen`.
    PageAccess = ["loopback", "everyone", "off"];
    /// Whether messages are compressed.
    Compression = ["off", "shared", "dedicated"];
    /// The header in which trusted hops name their peers.
    HopHeader = ["x-forwarded-for", "forwarded", "off"];
    /// Which TCP connections begin with a header of the PROXY protocol.
    ProxyProtocol = ["off", "hops", "required"];
    /// The oldest version of TLS that a client may speak.
    MinVersion = ["1.2", "1.3"];
    /// A listener of the host.
    Listener = ["listen", "admin", "probes", "api"];
    /// A protocol of publishers.
    ApiProtocol = ["openline", "pushflo", "grip", "aws", "centrifugo"];
    /// Whether clients show a certificate.
    ClientCertificates = ["off", "optional", "required"];
    /// How an ACME authority checks that the host serves a name.
    AcmeChallenge = ["tls-alpn-01", "http-01"];
    /// What happens when a connection's outbox is full.
    OutboxOverflow = ["close", "drop-newest", "drop-oldest"];
    /// What happens to a peer that sends too fast.
    RateExceeded = ["close", "pause"];
    /// How a connection ends whose time is up.
    TimeUp = ["close", "abort"];
    /// The three headers that Function Compute fills in.
    CorsWord = ["function-compute"];
    /// What an API key is for: to subscribe; to publish; to read history,
    /// presence, counts and connections; to manage channels and connections.
    KeyScope = ["subscribe", "publish", "read", "manage"];
    /// What happens to events while the host backs off from a function.
    Backoff = ["wait", "refuse"];
}

/// A part of an alias's connections.
#[derive(Clone, Copy, Debug, ToSchema)]
pub struct Share {
    /// The version.
    #[schema(value_type = Digest)]
    pub version: (),
    /// How many of a hundred.
    #[schema(minimum = 1, maximum = 100)]
    pub weight: u32,
}

/// What pages of other sites may do by ordinary requests.
#[derive(Clone, Copy, Debug)]
pub enum Cors {}

impl PartialSchema for Cors {
    fn schema() -> RefOr<Schema> {
        let either = OneOfBuilder::new()
            .item(CorsWord::schema())
            .item(CorsRules::schema())
            .description(Some("What pages of other sites may do by ordinary requests: the word `function-compute`, with which every page may read answers with its visitor's cookies, or rules."));
        RefOr::T(Schema::OneOf(either.build()))
    }
}

impl ToSchema for Cors {
    fn name() -> Cow<'static, str> {
        "Cors".into()
    }
}

/// Which pages of other sites may do what.
#[derive(Clone, Debug, ToSchema)]
pub struct CorsRules {
    /// The origins of these pages; `*` stands for all, without credentials.
    #[schema(min_items = 1, max_items = 64)]
    pub allow_origins: Vec<String>,
    /// The methods that they may use; without it, those of the trigger.
    pub allow_methods: Option<Vec<String>>,
    /// The headers that they may send.
    #[schema(required = false, max_items = 64)]
    pub allow_headers: Vec<String>,
    /// The headers that they may read.
    #[schema(required = false, max_items = 64)]
    pub expose_headers: Vec<String>,
    /// Whether they may ask with cookies; `false` by default.
    #[schema(required = false)]
    pub allow_credentials: bool,
    /// How long a browser may remember what it may ask, such as `1 h`.
    pub max_age: Option<String>,
}

#[cfg(test)]
mod tests {
    use openline_core::{config, deployment, limits};
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::*;

    /// Checks that the words are exactly those of the type.
    fn hold<T: DeserializeOwned + std::fmt::Debug>(words: &[&str]) {
        let read = |word: &str| serde_json::from_value::<T>(Value::from(word));
        for word in words {
            assert!(read(word).is_ok(), "{word}");
        }
        // serde's error lists all variants.
        let error = read("none of them").unwrap_err().to_string();
        let named = error.matches('`').count() / 2 - 1;
        assert_eq!(named, words.len(), "{error}");
    }

    #[test]
    fn words_are_those_of_the_types() {
        hold::<deployment::Migration>(Migration::WORDS);
        hold::<deployment::CallStyle>(CallStyle::WORDS);
        hold::<config::PageAccess>(PageAccess::WORDS);
        hold::<limits::Compression>(Compression::WORDS);
        hold::<config::HopHeader>(HopHeader::WORDS);
        hold::<config::ProxyProtocol>(ProxyProtocol::WORDS);
        hold::<config::MinVersion>(MinVersion::WORDS);
        hold::<config::Listener>(Listener::WORDS);
        hold::<config::ApiProtocol>(ApiProtocol::WORDS);
        hold::<config::ClientCertificates>(ClientCertificates::WORDS);
        hold::<config::AcmeChallenge>(AcmeChallenge::WORDS);
        hold::<limits::OutboxOverflow>(OutboxOverflow::WORDS);
        hold::<limits::RateExceeded>(RateExceeded::WORDS);
        hold::<limits::TimeUp>(TimeUp::WORDS);
        hold::<limits::BackoffPolicy>(Backoff::WORDS);
        hold::<openline_core::key::Scope>(KeyScope::WORDS);
    }
}
