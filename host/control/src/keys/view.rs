//! The views of API keys. None of them has a text or a digest of one.

use openline_admission::keys::{Key, KeySource};
use openline_authentication::key::KeyDenial;
use openline_core::authentication::UnixTime;
use openline_core::name::{FunctionName, KeyName};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema;

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// Its name, unique in the host.
    #[schema(value_type = schema::KeyName)]
    pub name: KeyName,
    /// What it is for. None includes another.
    #[schema(value_type = Vec<schema::KeyScope>)]
    pub scopes: Vec<&'static str>,
    /// Patterns of the channels that it is for; `*` stands for all.
    pub channels: Vec<String>,
    /// The functions whose channels it is for; all without it. Channels that
    /// functions share are decided by `channels` alone.
    #[schema(value_type = Option<Vec<schema::FunctionName>>)]
    pub functions: Option<Vec<FunctionName>>,
    /// When it ends, as in `2026-12-31T23:59:59Z`.
    pub expires: Option<String>,
    /// The public half of a pair for AWS's tools. Such a key has no text.
    #[schema(value_type = Option<schema::AccessKeyId>)]
    pub access_key_id: Option<String>,
    /// Where it was made: in the configuration or in the running host. Only the
    /// latter can be revoked here.
    pub source: KeyOrigin,
    /// When it was made, if the running host has made it.
    pub created: Option<String>,
    /// Whether it is good.
    pub state: KeyState,
    /// The open connections that it has let in.
    pub connections: usize,
}

/// Where a key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyOrigin {
    /// In the configuration.
    Configuration,
    /// By the admin interface.
    Interface,
}

/// Whether a key is good. A revoked one is listed only while the data directory
/// still has it: revoke it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is good.
    InForce,
    /// Its time is over.
    Expired,
    /// It is revoked, and still in the data directory.
    Revoked,
}

/// A key that was made. Its text, or its secret access key, is shown this one
/// time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NewKey)]
pub struct NewKeyView {
    /// The key.
    pub key: KeyView,
    /// Its text, which callers show; none for a pair for AWS's tools.
    pub text: Option<String>,
    /// The secret half of such a pair.
    pub secret_access_key: Option<String>,
    /// Whether it is there after a restart: the host has a data directory.
    pub kept: bool,
}

/// A key that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RevokedKey)]
pub struct RevokedKeyView {
    /// Its name.
    #[schema(value_type = schema::KeyName)]
    pub name: KeyName,
    /// How many connections were closed.
    pub closed: usize,
}

impl KeyView {
    /// The view of a key at a moment.
    pub(super) fn of(key: &Key, now: UnixTime) -> Self {
        let terms = key.terms();
        let id = key.credential().access_key_id();
        let (source, created) = match key.source() {
            KeySource::Configuration => (KeyOrigin::Configuration, None),
            KeySource::Made(at) => (KeyOrigin::Interface, Some(at.to_string())),
        };
        let state = match key.denial(now).map(|denied| denied.denial) {
            None => KeyState::InForce,
            Some(KeyDenial::Expired) => KeyState::Expired,
            Some(KeyDenial::Revoked | KeyDenial::Unknown) => KeyState::Revoked,
        };
        Self {
            name: terms.name.clone(),
            scopes: terms.scopes.iter().map(|it| it.as_str()).collect(),
            channels: terms.channels.iter().map(ToString::to_string).collect(),
            functions: terms.functions.clone(),
            expires: terms.expires.map(|end| end.to_string()),
            access_key_id: id.map(ToString::to_string),
            source,
            created,
            state,
            connections: key.connections(),
        }
    }
}
