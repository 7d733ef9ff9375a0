//! Says which rule decides about a described request, and why.
//!
//! For `openline firewall test`. The description is normalised as a request of
//! the network is, so it shows what the rules would see.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::path;
use openline_core::trigger::Authority;
use openline_hint::Hinted;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::evaluation::{Decision, Effects, Evaluation, Outcome, Step};
use crate::request::{Certificate, Claims, Request, Tls, Verification, one_names};
use crate::rules::{FirewallId, Firewalls};
use crate::trace::Trace;

/// A request as a person describes it. Every part but the URL may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// The method; GET unless it is given.
    #[serde(default = "get")]
    pub method: String,
    /// The whole URL, `https://example.org/chat?room=1`; or a path, which leaves
    /// out scheme and host.
    pub url: String,
    /// The peer's address, with or without a port and a zone; 127.0.0.1 unless
    /// it is given.
    #[serde(default = "loopback")]
    pub peer: String,
    /// Names and values of headers, in order; a name may be repeated.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The TLS handshake. Without it, a URL of `https` or `wss` has one of
    /// TLS 1.3 without a certificate.
    #[serde(default)]
    pub tls: Option<DescribedTls>,
    /// The verified claims of a token.
    #[serde(default)]
    pub claims: Option<Map<String, Value>>,
}

/// A TLS handshake as a person describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DescribedTls {
    /// `TLSv1.2` or `TLSv1.3`, which it is unless it is given.
    pub protocol: Option<String>,
    /// The host name that the client asked for; that of the URL unless it is
    /// given.
    pub server_name: Option<String>,
    /// Whether the check of the client's certificate failed.
    pub failed: bool,
    /// The client's certificate.
    pub client: Option<DescribedCertificate>,
}

/// A certificate as a person describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DescribedCertificate {
    /// The subject's distinguished name.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// The serial number.
    pub serial: String,
    /// The fingerprint.
    pub fingerprint: String,
}

/// What would happen to a request, and why. `Display` writes it for people,
/// serde for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `pass`, `deny`, `drop`, `limit`, `respond`, or `refuse` if a rule cannot
    /// tell whether it is for the request.
    pub decision: &'static str,
    /// The status of the answer, if there is one.
    pub status: Option<u16>,
    /// Why a rule cannot tell, as `arg_id occurs more than once`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The firewall of the rule that decided.
    pub firewall: Option<String>,
    /// The rule that decided; none if no rule did.
    pub rule: Option<String>,
    /// What the rules saw: `GET https://example.org/chat?room=1 from 192.0.2.1`.
    pub request: String,
    /// The headers that rules set.
    pub headers: Vec<(String, String)>,
    /// The rules that log, as `firewall/rule`.
    pub logged: Vec<String>,
    /// The functions that would decide, too. The report takes them to allow the
    /// request.
    pub functions: Vec<String>,
    /// Every rule that was reached.
    pub trace: Trace,
}

/// A described request in the form that rules see.
struct Prepared {
    peer: IpAddr,
    peer_port: Option<u16>,
    scheme: &'static str,
    host: Option<String>,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

fn get() -> String {
    "GET".into()
}

fn loopback() -> String {
    "127.0.0.1".into()
}

/// Evaluates a described request. `host` is the host's firewall, `trigger` that
/// of the trigger; either may be missing. Functions are not called, and every
/// rate has its whole burst if the firewalls were made for this.
///
/// # Errors
///
/// When the description is not a request, or a host would refuse it before it
/// asks its firewall.
pub fn describe(
    firewalls: &Firewalls,
    host: Option<FirewallId>,
    trigger: Option<FirewallId>,
    described: &Described,
) -> Result<Report, Hinted> {
    let prepared = Prepared::new(described)?;
    let renamed = one_names(&prepared.headers);
    let tls = described.tls(prepared.scheme, prepared.host.as_deref());
    let mut request = Request {
        peer: prepared.peer,
        peer_is_unnamed: false,
        peer_port: prepared.peer_port,
        method: &described.method,
        scheme: prepared.scheme,
        host: prepared.host.as_deref(),
        path: &prepared.path,
        query: prepared.query.as_deref(),
        headers: renamed.as_ref().unwrap_or(&prepared.headers),
        tls,
        claims: Claims::Pending,
    };
    let mut trace = Trace::default();
    let mut functions = Vec::new();
    let mut evaluation = Evaluation::new(firewalls, host, trigger);
    let decision = loop {
        match evaluation.run(&request, Duration::ZERO, &mut trace) {
            Step::Authenticate => {
                let claims = described.claims.as_ref();
                request.claims = claims.map_or(Claims::Absent, Claims::Verified);
            }
            Step::Run(function) => functions.push(function.to_string()),
            // There are no other requests.
            Step::Pause => {}
            Step::Decided(decision) => break decision,
        }
    };
    let shown = prepared.shown(&described.method);
    Ok(Report::new(
        &decision,
        evaluation.effects(),
        shown,
        functions,
        trace,
    ))
}

impl Described {
    /// The host that the request names, and its path, in their one spelling: what
    /// finds its trigger.
    ///
    /// # Errors
    ///
    /// When the description is not a request.
    pub fn place(&self) -> Result<(Option<String>, String), Hinted> {
        let prepared = Prepared::new(self)?;
        Ok((prepared.host, prepared.path))
    }

    fn tls<'a>(&'a self, scheme: &str, host: Option<&'a str>) -> Option<Tls<'a>> {
        let Some(tls) = &self.tls else {
            return (scheme == "https").then_some(Tls {
                protocol: "TLSv1.3",
                server_name: host,
                verification: Verification::Missing,
                client: None,
            });
        };
        let client = tls.client.as_ref().map(|client| Certificate {
            subject: &client.subject,
            issuer: &client.issuer,
            serial: &client.serial,
            fingerprint: &client.fingerprint,
        });
        Some(Tls {
            protocol: tls.protocol.as_deref().unwrap_or("TLSv1.3"),
            server_name: tls.server_name.as_deref().or(host),
            verification: match (tls.failed, client) {
                (true, _) => Verification::Failed,
                (false, Some(_)) => Verification::Success,
                (false, None) => Verification::Missing,
            },
            client,
        })
    }
}

impl Prepared {
    fn new(described: &Described) -> Result<Self, Hinted> {
        let (peer, peer_port) = peer(&described.peer)?;
        let (scheme, rest) = match described.url.split_once("://") {
            Some(("http" | "ws", rest)) => ("http", Some(rest)),
            Some(("https" | "wss", rest)) => ("https", Some(rest)),
            Some((other, _)) => {
                let what = format!("`{other}` is not a scheme of requests");
                return Err(Hinted::new(what, "use http, https, ws or wss"));
            }
            None => ("http", None),
        };
        let (authority, target) = match rest {
            None => (None, &*described.url),
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &described.headers {
            let parsed = HeaderName::try_from(name).ok();
            let Some((name, value)) = parsed.zip(HeaderValue::from_str(value).ok()) else {
                let what = format!("`{name}: {value}` is not a header");
                let hint = "write a name and a value, as in `origin: https://example.org`";
                return Err(Hinted::new(what, hint));
            };
            if headers.try_append(name, value).is_err() {
                return Err(Hinted::new("there are too many headers", "leave some out"));
            }
        }
        let named = headers
            .get(http::header::HOST)
            .and_then(|it| it.to_str().ok());
        let host = match authority.or(named) {
            None => None,
            Some(text) => {
                let parsed = Authority::parse(text).ok_or_else(|| {
                    let what = format!("`{text}` is not a host");
                    Hinted::new(what, "write a name or an address, with or without a port")
                })?;
                Some(parsed.host().to_owned())
            }
        };
        let (written, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let written = if written.is_empty() { "/" } else { written };
        let path = path::normalise(written).map_err(|error| {
            let hint = "a host refuses such a request before it asks its firewall";
            Hinted::new(error.to_string(), hint)
        })?;
        Ok(Self {
            peer,
            peer_port,
            scheme,
            host,
            path: path.into_owned(),
            query,
            headers,
        })
    }

    fn shown(&self, method: &str) -> String {
        let origin = match &self.host {
            Some(host) => format!("{}://{host}", self.scheme),
            None => String::new(),
        };
        let query = self
            .query
            .as_ref()
            .map_or_else(String::new, |it| format!("?{it}"));
        format!("{method} {origin}{}{query} from {}", self.path, self.peer)
    }
}

/// The address of a peer. A zone says how a peer is reached and not which one
/// it is.
fn peer(text: &str) -> Result<(IpAddr, Option<u16>), Hinted> {
    let bare = match text.split_once('%') {
        Some((address, zone)) => {
            let after = zone.find(']').map_or("", |at| &zone[at..]);
            format!("{address}{after}")
        }
        None => text.to_owned(),
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok((address.to_canonical(), None));
    }
    let socket = bare.parse::<SocketAddr>().map_err(|_| {
        let hint =
            "write it as `192.0.2.1`, `192.0.2.1:5000`, `2001:db8::1` or `[2001:db8::1]:5000`";
        Hinted::new(format!("`{text}` is not an address"), hint)
    })?;
    Ok((socket.ip().to_canonical(), Some(socket.port())))
}

impl Report {
    fn new(
        decision: &Decision<'_>,
        effects: &Effects<'_>,
        request: String,
        functions: Vec<String>,
        trace: Trace,
    ) -> Self {
        let (word, status) = match &decision.outcome {
            Outcome::Pass => ("pass", None),
            Outcome::Deny(answer) => ("deny", Some(answer.status.as_u16())),
            Outcome::Drop => ("drop", None),
            Outcome::Limit(_) => ("limit", Some(429)),
            Outcome::Respond(answer) => ("respond", Some(answer.status.as_u16())),
            Outcome::Refuse(_) => ("refuse", Some(400)),
        };
        let why = match &decision.outcome {
            Outcome::Refuse(unclear) => Some(unclear.to_string()),
            _ => None,
        };
        let headers = effects.headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap_or_default();
            (name.as_str().to_owned(), value.to_owned())
        });
        let logged = effects.logged.iter();
        Self {
            decision: word,
            status,
            why,
            firewall: decision.by.map(|it| it.firewall.into()),
            rule: decision.by.map(|it| it.rule.into()),
            request,
            headers: headers.collect(),
            logged: logged
                .map(|it| format!("{}/{}", it.firewall, it.rule))
                .collect(),
            functions,
            trace,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.request)?;
        write!(f, "{}", self.trace)?;
        if !self.trace.rules.is_empty() {
            writeln!(f)?;
        }
        for (name, value) in &self.headers {
            writeln!(f, "sets {name}: {value}")?;
        }
        for function in &self.functions {
            writeln!(
                f,
                "asks the function `{function}`, which decides; here it is taken to allow the request"
            )?;
        }
        write!(f, "{}", self.decision)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        if let Some(why) = &self.why {
            write!(f, ", because {why}")?;
        }
        match (&self.firewall, &self.rule) {
            (Some(firewall), Some(rule)) => write!(f, ": rule `{rule}` of firewall `{firewall}`"),
            _ if !self.functions.is_empty() => {
                f.write_str(": no rule decides, if the functions allow the request")
            }
            _ => f.write_str(": no rule decides"),
        }
    }
}
