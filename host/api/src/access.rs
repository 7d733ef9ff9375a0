//! Which key a request shows, what that key allows, and whose channels the request
//! means. All protocols ask here, and nowhere else.
//!
//! Keys come as `Authorization: Bearer KEY` or `apikey KEY`, as `X-API-Key: KEY`,
//! as a signature of AWS's version 4, as a token that is signed with a pair's
//! secret (GRIP), and, for streams and polls alone, as `key` in the query:
//! `EventSource` cannot send headers, but addresses end up in logs.
//!
//! Bounded: one rate for each key, and there are at most as many as keys.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use openline_admission::authenticate::{now, steady};
use openline_admission::keys::{Key, Keys};
use openline_admission::services::{Services, Table};
use openline_channels::space::Space;
use openline_core::channel::{PeerRights, Right};
use openline_core::config::ApiConfig;
use openline_core::key::Scope;
use openline_core::limits::FunctionLimits;
use openline_core::name::{ChannelName, FunctionName, KeyName};
use openline_core::rate::TokenBucket;
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use parking_lot::Mutex;

use crate::jwt;

/// Names of keys whose rate is known, before those that are full are forgotten.
const RATES_KEPT: usize = 4096;

/// The longest credential, in bytes, as headers may have.
const CREDENTIAL_BYTES_MAX: usize = 8 << 10;

/// Why a caller may not do something, in the words of no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// There is no credential.
    Missing,
    /// There is one, and it is not good.
    Invalid,
    /// A parameter of the query is there twice, too long, or not UTF-8.
    Query,
    /// The key may not do this.
    Scope,
    /// The key has asked too often; it may ask again after this time.
    Rate(Duration),
    /// The name is no channel's.
    Channel,
    /// There is no such function.
    Function,
    /// No function is named, and the channel is not one that functions share.
    NoFunction,
}

/// The rates of keys.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<KeyName, TokenBucket>>);

impl Rates {
    /// Takes one request of a key.
    pub(crate) fn take(&self, key: &Key, per_second: u32) -> Result<(), Denied> {
        let now = steady();
        let Some(fresh) = TokenBucket::new(per_second.into(), now) else {
            return Ok(());
        };
        let mut rates = self.0.lock();
        if rates.len() >= RATES_KEPT {
            rates.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = rates.entry(key.name()).or_insert_with(|| fresh.clone());
        if bucket.per_second() != u64::from(per_second) {
            *bucket = fresh;
        }
        match bucket.try_take(now) {
            true => Ok(()),
            false => Err(Denied::Rate(Duration::from_secs(1))),
        }
    }
}

/// The text of a key in the headers; `Invalid` where it is not clear which one
/// counts.
fn text_of(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut found = None;
    for (name, value) in headers {
        let text = match name.as_str() {
            "authorization" => {
                let value = value.to_str().map_err(|_| Denied::Invalid)?;
                let (scheme, text) = value.split_once(' ').ok_or(Denied::Invalid)?;
                let is_known = ["bearer", "apikey"]
                    .iter()
                    .any(|it| scheme.eq_ignore_ascii_case(it));
                if !is_known {
                    return Err(Denied::Invalid);
                }
                text.trim()
            }
            "x-api-key" => value.to_str().map_err(|_| Denied::Invalid)?,
            _ => continue,
        };
        if found.replace(text).is_some() || text.len() > CREDENTIAL_BYTES_MAX {
            return Err(Denied::Invalid);
        }
    }
    Ok(found)
}

/// Whether a request is signed in AWS's way.
pub(crate) fn signature(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    header.starts_with("AWS4-HMAC-SHA256").then_some(header)
}

/// The key of a request by its headers, or by its query where that may have it.
pub(crate) fn authenticate(
    keys: &Keys,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Key>, Denied> {
    let of_query = || {
        query
            .map(|query| parameter(query, "key"))
            .unwrap_or(Ok(None))
            .map_err(|_| Denied::Invalid)
    };
    let text = match text_of(headers)? {
        Some(text) => text.to_owned(),
        None => of_query()?.ok_or(Denied::Missing)?,
    };
    let found = if jwt::may_be(&text) {
        jwt::verify(keys, &text, now().wall)
    } else {
        keys.authenticate(&text, now().wall)
            .map_err(|denied| tracing::debug!(?denied, "a key is not valid"))
            .ok()
    };
    found.ok_or(Denied::Invalid)
}

/// A parameter of a query that is there at most once, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Result<Option<String>, Denied> {
    let mut found = None;
    for pair in query.split('&') {
        let (each, value) = pair.split_once('=').unwrap_or((pair, ""));
        if each != name {
            continue;
        }
        let value = percent_encoding::percent_decode_str(value).decode_utf8();
        let value = value.map_err(|_| Denied::Query)?.into_owned();
        if value.len() > CREDENTIAL_BYTES_MAX || found.replace(value).is_some() {
            return Err(Denied::Query);
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

/// Whose channels a request means: those of a function and those that it shares,
/// or only those that functions share.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) function: Option<Arc<Commons>>,
    shared: Arc<Space>,
    pub(crate) limits: Arc<FunctionLimits>,
}

impl Place {
    /// Finds the function of a request. It is the one that the request names
    /// (`?function=`, or the stage of AWS), else the first of these that the key
    /// may use: `function` in `[server.api]`, the only one that the key is for, the
    /// only one of the host. Else there is none.
    pub(crate) fn find(
        services: &Services,
        config: &ApiConfig,
        key: &Key,
        named: Option<&str>,
    ) -> Result<Self, Denied> {
        let named = named.map(|name| FunctionName::new(name).map_err(|_| Denied::Function));
        let terms = key.terms();
        let own = terms.functions.as_ref();
        let may = |name: &FunctionName| own.is_none_or(|own| own.contains(name));
        let name = match named.transpose()? {
            // Whoever may use no function of a name does not learn whether it is
            // there.
            Some(name) if !may(&name) => return Err(Denied::Scope),
            Some(name) => Some(name),
            None => {
                let configured = config.function.clone().filter(may);
                let of_key = || own.filter(|own| own.len() == 1)?.first().cloned();
                let of_host = || services.table().only_function().filter(may);
                configured.or_else(of_key).or_else(of_host)
            }
        };
        let shared = Arc::clone(services.shared());
        let Some(name) = name else {
            return Ok(Self {
                function: None,
                shared,
                limits: Arc::default(),
            });
        };
        let aliases = services.aliases();
        let alias = aliases.iter().find(|it| *it.function() == name);
        let alias = alias.ok_or(Denied::Function)?;
        Ok(Self {
            function: Some(Arc::clone(alias.commons())),
            shared,
            limits: alias.limits(),
        })
    }

    /// Whether its function is still one that the host has. `seen` is where it was
    /// found last: there may be a million streams, which do not all look through
    /// the same configuration once a second.
    pub(crate) fn is_there(&self, services: &Services, seen: &mut Weak<Table>) -> bool {
        let Some(function) = &self.function else {
            return true;
        };
        let table = services.table();
        if seen.as_ptr() == Arc::as_ptr(&table) {
            return true;
        }
        if table.has(function) {
            *seen = Arc::downgrade(&table);
            return true;
        }
        // Its connections may outlive its triggers, and use its channels.
        let is_it = |alias: &Arc<Alias>| Arc::ptr_eq(alias.commons(), function);
        services.aliases().iter().any(is_it)
    }

    /// A number that is another one when its channels may have other terms than
    /// before, or be others.
    pub(crate) fn generation(&self) -> u64 {
        match &self.function {
            // Its own table says which channels it shares.
            Some(function) => function.hub().own().generation(),
            None => self.shared.generation(),
        }
    }

    /// The channel of a name with its space, if the key gives a scope on it.
    pub(crate) fn channel(
        &self,
        key: &Key,
        scope: Scope,
        name: &str,
    ) -> Result<(ChannelName, Arc<Space>), Denied> {
        let name = ChannelName::new(name).map_err(|_| Denied::Channel)?;
        let space = self.space(key, scope, &name)?;
        Ok((name, space))
    }

    /// The space of a channel, if the key gives a scope on it.
    pub(crate) fn space(
        &self,
        key: &Key,
        scope: Scope,
        name: &ChannelName,
    ) -> Result<Arc<Space>, Denied> {
        let hub = self.function.as_ref().map(|function| function.hub());
        let found = match hub {
            Some(hub) => hub.terms(name),
            None => self.shared.find(name),
        };
        let gives = |scope| match self.function.as_ref().filter(|_| !found.is_shared) {
            Some(function) => key.allows(scope, name, function.name()),
            None => key.allows_shared(scope, name),
        };
        if !gives(scope) {
            return Err(Denied::Scope);
        }
        let space = match hub {
            Some(hub) => hub.space(name),
            None if found.is_shared => &self.shared,
            None => return Err(Denied::NoFunction),
        };
        // A key is the operator's word on what its bearer may publish and read.
        // A channel that is nobody's is the operator's alone, and whether peers
        // choose to subscribe, the channel says, as for connections.
        let (terms, pattern) = (&found.terms, found.pattern.as_deref());
        let may = match scope {
            Scope::Subscribe => {
                terms
                    .subscribe
                    .allows_peer(Right::Subscribe, name, pattern, &ByKey)
            }
            Scope::Publish => terms.publish.allows_function(),
            Scope::Read | Scope::Manage => true,
        };
        match may || gives(Scope::Manage) {
            true => Ok(Arc::clone(space)),
            false => Err(Denied::Scope),
        }
    }

    /// All spaces that the request means.
    pub(crate) fn spaces(&self) -> Vec<(Arc<Space>, bool)> {
        let own = self.function.as_ref().map(|it| Arc::clone(it.hub().own()));
        let own = own.map(|own| (own, false));
        own.into_iter()
            .chain([(Arc::clone(&self.shared), true)])
            .collect()
    }
}

/// A key whose patterns match.
#[derive(Debug)]
struct ByKey;

impl PeerRights for ByKey {
    fn claims(&self, _: &str, _: &mut dyn FnMut(&str) -> bool) -> bool {
        false
    }

    fn key_allows(&self, _: &ChannelName, _: Right) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn there_is_one_credential_or_none() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let headers = headers(pairs);
            text_of(&headers).map(|text| text.map(str::to_owned))
        };
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(of(&[("authorization", "Bearer k")]), some("k"));
        assert_eq!(of(&[("authorization", "apikey k")]), some("k"));
        assert_eq!(of(&[("x-api-key", "k")]), some("k"));
        assert_eq!(of(&[("x-other", "k")]), Ok(None));
        for wrong in [
            &[("authorization", "Basic k")][..],
            &[("authorization", "k")],
            &[("authorization", "Bearer k"), ("x-api-key", "k")],
            &[("x-api-key", "k"), ("x-api-key", "k")],
        ] {
            assert_eq!(of(wrong), Err(Denied::Invalid), "{wrong:?}");
        }
    }

    #[test]
    fn a_parameter_is_there_once_and_decoded() {
        assert_eq!(parameter("a=1&key=x%2Fy", "key"), Ok(Some("x/y".into())));
        assert_eq!(parameter("a=1&key=", "key"), Ok(None));
        assert_eq!(parameter("", "key"), Ok(None));
        assert_eq!(parameter("key=1&key=1", "key"), Err(Denied::Query));
        assert_eq!(parameter("key=%ff", "key"), Err(Denied::Query));
        let long = |bytes: usize| parameter(&format!("key={}", "k".repeat(bytes)), "key").is_ok();
        assert!(long(CREDENTIAL_BYTES_MAX) && !long(CREDENTIAL_BYTES_MAX + 1));
    }
}
