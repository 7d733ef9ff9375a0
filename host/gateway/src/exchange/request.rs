//! What a function gets of a request: the peer's headers without those of its hop,
//! and what the host knows of the peer, in headers that a peer cannot send.

use std::sync::Arc;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme, Uri};
use openline_admission::admit::{Admitted, Places, is_https};
use openline_admission::authenticate::edited;
use openline_admission::normalise::Normal;
use openline_admission::services::{Service, Table};
use openline_authentication::Identity;
use openline_core::event::{RouteParams, UpgradeRequest};
use openline_core::headers;
use openline_core::tls::TlsFacts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::Values;
use crate::gateway::Gateway;
use crate::held::Caller;
use crate::request_id::{Asked, REQUEST_ID, RequestId};
use crate::upgrade::{claim, sticky};

const PEER: HeaderName = HeaderName::from_static("openline-peer");
const ROUTE_PARAMS: HeaderName = HeaderName::from_static("openline-route-params");
const CLAIMS: HeaderName = HeaderName::from_static("openline-claims");
const TLS: HeaderName = HeaderName::from_static("openline-tls");

/// What a form leaves as it is (the URL standard, section 1.3): letters, digits and
/// these.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// A request that may ask its function for an answer.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) service: Arc<Service>,
    /// What the function gets.
    pub(super) parts: Parts,
    pub(super) is_https: bool,
    pub(super) values: Values,
    pub(super) places: Places,
    /// What the body must hash to, because it is signed.
    pub(super) body_sha256: Option<[u8; 32]>,
    /// The cookie for a peer that has none.
    pub(super) set_cookie: Option<HeaderValue>,
    /// Who asks, for an answer that is held.
    pub(super) caller: Caller,
}

impl Ready {
    pub(crate) fn new(
        gateway: &Gateway,
        table: &Table,
        normal: &Normal,
        asked: &Asked<'_>,
        admitted: Admitted,
    ) -> Self {
        let Asked { id, parts, peer } = *asked;
        let Admitted {
            service,
            params,
            identity,
            places,
            edits,
        } = admitted;
        let own = identity.as_ref();
        let edited = edited(&edits, own, parts);
        let (target, mut headers) = match edited {
            Some(edited) => (Some(edited.target), edited.headers),
            None => (None, parts.headers.clone()),
        };
        headers::strip(&mut headers);
        headers.remove(HOST);
        let claims = own.and_then(Identity::claims_json);
        tell(
            &mut headers,
            (id, &peer.to_string()),
            &params,
            peer.tls().map(|it| &**it),
            claims,
        );
        let is_https = is_https(table, peer);
        let uri = uri(parts, normal, target.as_deref(), is_https);
        let has_affinity = service.alias.split().affinity.is_some();
        let sticky = sticky(gateway, &service, asked);
        let values = match has_affinity {
            true => UpgradeRequest {
                uri: uri.path_and_query().map_or("/", |it| it.as_str()).into(),
                headers: listed(&headers),
                route_params: params.clone(),
                sticky: sticky.as_ref().map(|sticky| sticky.value.clone()),
                claim: own.and_then(|identity| claim(&service, identity)),
                ..UpgradeRequest::default()
            },
            false => UpgradeRequest::default(),
        };
        let (mut of_function, ()) = http::Request::new(()).into_parts();
        of_function.method = parts.method.clone();
        of_function.version = parts.version;
        of_function.uri = uri;
        of_function.headers = headers;
        Self {
            parts: of_function,
            is_https,
            values: Values(values),
            places,
            body_sha256: own.and_then(|identity| identity.body_sha256),
            set_cookie: sticky.and_then(|sticky| sticky.set),
            caller: Caller::of(asked, params, identity),
            service,
        }
    }
}

/// Adds what the host knows. A peer cannot send such headers: see `reserved` in
/// admission.
fn tell(
    headers: &mut HeaderMap,
    (id, peer): (RequestId, &str),
    params: &RouteParams,
    tls: Option<&TlsFacts>,
    claims: Option<String>,
) {
    headers.insert(REQUEST_ID, id.header());
    let mut insert = |name: HeaderName, value: String| {
        // ASCII without control characters, so it is a value.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    insert(PEER, peer.to_owned());
    if !params.is_empty() {
        let encoded = |text| utf8_percent_encode(text, FORM);
        let pairs = params.iter();
        let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        insert(ROUTE_PARAMS, pairs.collect::<Vec<_>>().join("&"));
    }
    if let Some(claims) = claims {
        insert(CLAIMS, ascii(&claims));
    }
    if let Some(tls) = tls {
        insert(TLS, ascii(&of_tls(tls).to_string()));
    }
}

/// The facts of a TLS handshake, as the contract names them.
fn of_tls(tls: &TlsFacts) -> Value {
    let mut facts = Map::new();
    facts.insert("version".into(), tls.version.number().into());
    if let Some(name) = &tls.server_name {
        facts.insert("server_name".into(), (&**name).into());
    }
    if let Some(client) = &tls.client {
        let certificate = serde_json::json!({
            "subject": client.subject,
            "issuer": client.issuer,
            "serial": client.serial,
            "fingerprint": client.fingerprint,
        });
        facts.insert("certificate".into(), certificate);
    }
    facts.into()
}

/// JSON whose texts have only ASCII in them, which every reader of headers takes.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    let mut units = [0; 2];
    for char in json.chars() {
        match char {
            ' '..='~' => escaped.push(char),
            _ => {
                for unit in char.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

/// The target as functions have it: with scheme and host. A peer that names no
/// host, as HTTP/1.0 allows, asks `localhost`.
fn uri(parts: &Parts, normal: &Normal, target: Option<&str>, is_https: bool) -> Uri {
    let host = normal.authority().map(ToString::to_string);
    let host = host.and_then(|host| Authority::try_from(host).ok());
    let target = match target {
        Some(target) => target.parse().ok(),
        None => parts.uri.path_and_query().cloned(),
    };
    let scheme = if is_https {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(host.unwrap_or_else(|| Authority::from_static("localhost")));
    uri.path_and_query = Some(target.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")));
    Uri::from_parts(uri).unwrap_or_default()
}

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let listed = headers.iter();
    let listed = listed.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_become_values_of_headers() {
        assert_eq!(
            ascii("{\"a\":\"é\\n𝄞\u{7f}\"}"),
            "{\"a\":\"\\u00e9\\n\\ud834\\udd1e\\u007f\"}"
        );
        let read: Value = serde_json::from_str(&ascii("\"é𝄞\"")).unwrap();
        assert_eq!(read, "é𝄞");
        let mut told = HeaderMap::new();
        let params = vec![
            ("room".into(), "a b/é&=".into()),
            ("x".into(), String::new()),
        ];
        let id = crate::request_id::RequestIds::default().next();
        tell(&mut told, (id, "[::1]:1"), &params, None, Some("{}".into()));
        assert_eq!(
            told["openline-route-params"],
            "room=a%20b%2F%C3%A9%26%3D&x="
        );
        assert_eq!(told["openline-peer"], "[::1]:1");
        assert_eq!(told["openline-claims"], "{}");
        assert!(!told.contains_key("openline-tls"));
        assert_eq!(told["openline-request-id"], id.to_string().as_str());
    }
}
