//! Answers requests below `/.openline/` from peers that may see the page.
//!
//! By default these are peers on this machine that also address it by a
//! loopback name. A request for a page of another site whose name points at
//! 127.0.0.1 names another host, and so does one that a proxy on this machine
//! passes on.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{HOST, HeaderValue, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use openline_admission::peer::Peer;
use openline_admission::services::{Service, Services};
use openline_control::Deployer;
use openline_core::config::PageAccess;
use openline_engine::CallStyle;
use openline_gateway::answer_body::AnswerBody;
use openline_gateway::gateway::Gateway;
use openline_gateway::rescue::Refusal;
use openline_gateway::reserved::{Answer, RequestBody, Reserved, check_method, reserved_response};

use super::development::{self, DEVELOPMENT_PATH};
use super::state::State;
use super::{FunctionEntry, INDEX_PATH, LISTING_PATH, Listing, STATE_PATH, asset};
use crate::development::Development;

/// The listener through which a request for the page came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageListener {
    /// The listener of the connections.
    Main,
    /// The listener of the admin interface, where the page can do more.
    Admin,
}

/// The page of one host, and everything below its path.
#[derive(Debug)]
pub struct Page {
    deployer: Deployer,
    gateway: Arc<Gateway>,
    development: Option<Arc<Development>>,
}

/// For the listener of connections. A peer that may not see the page gets 404.
impl Reserved for Page {
    fn answer(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
    ) -> BoxFuture<'_, Response<AnswerBody>> {
        let (parts, _body) = request.into_parts();
        let allowed = match self.gateway.services().table().config.page {
            PageAccess::Everyone => true,
            PageAccess::Off => false,
            PageAccess::Loopback => {
                peer.is_loopback() && names_loopback(&parts.uri, &parts.headers)
            }
        };
        let answered = if allowed {
            self.content(&parts, PageListener::Main)
        } else {
            Err(Refusal::not_found())
        };
        let answer = answered.unwrap_or_else(|refusal| refusal.answer());
        std::future::ready(answer.map(Into::into)).boxed()
    }
}

impl Page {
    /// Makes the page of a host; with `development` it also shows builds and
    /// printed lines.
    pub fn new(
        deployer: Deployer,
        gateway: Arc<Gateway>,
        development: Option<Arc<Development>>,
    ) -> Self {
        Self {
            deployer,
            gateway,
            development,
        }
    }

    pub(crate) fn deployer(&self) -> &Deployer {
        &self.deployer
    }

    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The response to a request that may see the page.
    pub(crate) fn content(&self, parts: &Parts, listener: PageListener) -> Result<Answer, Refusal> {
        check_method(&parts.method)?;
        let path = parts.uri.path();
        if path == INDEX_PATH.trim_end_matches('/') {
            let text = Bytes::from_static(b"the page is at /.openline/\n");
            let mut response = reserved_response("text/plain; charset=utf-8", text);
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response
                .headers_mut()
                .insert(LOCATION, HeaderValue::from_static(INDEX_PATH));
            return Ok(response);
        }
        if path == LISTING_PATH {
            let listing = listing(self.gateway.services(), listener);
            let body =
                serde_json::to_vec(&listing).expect("a listing has only strings and numbers");
            return Ok(reserved_response("application/json", body.into()));
        }
        if path == STATE_PATH {
            let body = serde_json::to_vec(&State::of(&self.deployer, &self.gateway))
                .expect("a state has only strings and numbers");
            return Ok(reserved_response("application/json", body.into()));
        }
        let developed = self.development.as_deref();
        if let Some(development) = developed.filter(|_| path == DEVELOPMENT_PATH) {
            return Ok(reserved_response(
                "application/json",
                development.json().into(),
            ));
        }
        let asset = developed
            .and_then(|_| development::asset(path))
            .or_else(|| asset(path))
            .ok_or(Refusal::not_found())?;
        Ok(reserved_response(
            asset.content_type,
            Bytes::from_static(asset.body.as_bytes()),
        ))
    }
}

/// One entry for each function: its first trigger on all hosts, or else its
/// first.
fn listing(services: &Services, listener: PageListener) -> Listing {
    let table = services.table();
    let mut shown: Vec<&Arc<Service>> = Vec::new();
    for service in &table.services {
        let same = |other: &&Arc<Service>| other.alias.function() == service.alias.function();
        match shown.iter().position(same) {
            None => shown.push(service),
            Some(place) => {
                let other = &shown[place].trigger.hosts;
                if !other.is_empty() && service.trigger.hosts.is_empty() {
                    shown[place] = service;
                }
            }
        }
    }
    let url = table.config.public_url.as_ref();
    let entry = |service: &&Arc<Service>| {
        let (route, alias) = (&service.trigger.route, &service.alias);
        let split = alias.split();
        let first = split.shares.first();
        let handler = first.map_or(CallStyle::Plain, |(version, _)| version.call_style());
        FunctionEntry {
            name: alias.function().to_string(),
            route: route.to_string(),
            urls: url.map_or_else(Vec::new, |url| {
                url.of_trigger(&service.trigger, alias.takes_connections())
            }),
            handler,
            parameters: route.parameters().to_vec(),
            connections: u64::try_from(alias.hub().connections()).unwrap_or(u64::MAX),
            instances: alias.commons().instances().into(),
        }
    };
    Listing {
        version: env!("CARGO_PKG_VERSION"),
        admin: listener == PageListener::Admin,
        functions: shown.iter().map(entry).collect(),
    }
}

/// Whether a request addresses this machine by a loopback name or address, and
/// no proxy has passed it on.
pub(crate) fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    if headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for") {
        return false;
    }
    // RFC 9112 section 3.2: there is one `Host`, and an authority in the target
    // takes precedence. Over HTTP/2 there need not be one beside `:authority`.
    let target = uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = headers.get_all(HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(is_loopback),
        (None, _) => target.is_some(),
        (Some(_), Some(_)) => false,
    };
    named && target.is_none_or(is_loopback)
}

/// Whether a host, perhaps followed by a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let number = |text: &str| text.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    // RFC 3986 section 3.2.2: only an IPv6 address has brackets, and colons
    // within them.
    let (is_here, behind) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, behind)) => (number(address), behind),
            None => return false,
        },
        None => {
            let (name, behind) = host.split_at(host.find(':').unwrap_or(host.len()));
            let is_here = name.eq_ignore_ascii_case("localhost") || number(name);
            (is_here, behind)
        }
    };
    let port = behind.strip_prefix(':').unwrap_or(behind);
    is_here && (behind.is_empty() || behind.starts_with(':')) && is_digits(port)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        names_loopback(&Uri::from_static("/"), &headers)
    }

    #[test]
    fn only_this_machine_by_its_own_names() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(names(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8080",
            "10.0.0.1",
            "",
            "[::2]:80",
            "localhost:80@evil.example",
            "localhost:evil.example",
            "127.0.0.1:80:80",
            "[::1].evil.example",
            "[::1]80",
            "[::1",
            "[localhost]",
            "::1",
        ] {
            assert!(!names(host), "{host}");
        }
        let here = Uri::from_static("/");
        assert!(!names_loopback(&here, &HeaderMap::new()));
    }

    #[test]
    fn a_second_host_and_another_target_are_not_this_machine() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("localhost"));
        for (target, is_here) in [
            ("/v1/functions", true),
            ("http://localhost:18080/v1/functions", true),
            ("http://evil.example/v1/functions", false),
        ] {
            let target = Uri::from_static(target);
            assert_eq!(names_loopback(&target, &headers), is_here, "{target}");
        }
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert!(!names_loopback(&Uri::from_static("/"), &headers));
        // Over HTTP/2.
        let none = HeaderMap::new();
        assert!(names_loopback(
            &Uri::from_static("https://localhost/"),
            &none
        ));
        assert!(!names_loopback(
            &Uri::from_static("https://evil.example/"),
            &none
        ));
    }
}
