//! Answers the request for a connection as its query says, validly or not:
//! `status` refuses with that status, anything else accepts.
//! `header=NAME:VALUE` (repeatable), `body=TEXT`, `body_bytes=N`, `uri` (the
//! body is the request's), `request_header=NAME` (the body is its value),
//! `subprotocol=NAME`, `attachment_bytes=N`, `channel=NAME` (repeatable) fill
//! the answer. `show=peer`, `show=method`, `show=tls`, `show=claims` and
//! `show=host` put that part of the request into the answer's header `shown`;
//! `greet=` and the same names send it as the first message of an accepted
//! connection. Messages come back.

use openline_sdk::prelude::*;

/// What an attachment begins with that is to be sent.
const GREETING: &str = "greet:";

#[derive(Default)]
struct Reject;

impl Handler for Reject {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let status = request
            .query("status")
            .map(|status| status.parse().unwrap_or(0));
        let mut acceptance = Acceptance::new();
        let mut rejection = Rejection::new(status.unwrap_or(0));
        for (key, value) in request.query_pairs() {
            let bytes = || vec![b'x'; value.parse().unwrap_or(0)];
            let (name, text) = value.split_once(':').unwrap_or((&value, ""));
            match &*key {
                "header" => {
                    acceptance = acceptance.header(name, text);
                    rejection = rejection.header(name, text);
                }
                "show" => {
                    let shown = shown(request, &value);
                    acceptance = acceptance.header("shown", &*shown);
                    rejection = rejection.header("shown", &*shown);
                }
                "greet" => {
                    let greeting = format!("{GREETING}{}", shown(request, &value));
                    acceptance = acceptance.attachment(greeting);
                }
                "body" => rejection = rejection.body(value.as_bytes()),
                "body_bytes" => rejection = rejection.body(bytes()),
                "uri" => rejection = rejection.body(request.uri().as_bytes()),
                "request_header" => {
                    let found = request.header(&value).unwrap_or_default();
                    rejection = rejection.body(found.as_bytes());
                }
                "subprotocol" => acceptance = acceptance.subprotocol(value),
                "attachment_bytes" => acceptance = acceptance.attachment(bytes()),
                "channel" => acceptance = acceptance.channel(value),
                _ => {}
            }
        }
        if status.is_some() {
            Err(rejection)
        } else {
            Ok(acceptance)
        }
    }

    fn open(&mut self, connection: &Connection) {
        let attachment = connection.attachment();
        if let Some(greeting) = attachment.strip_prefix(GREETING.as_bytes()) {
            connection.send(Message::Text(String::from_utf8_lossy(greeting).into()));
        }
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        connection.send(message);
    }
}

/// A part of the request.
fn shown(request: &UpgradeRequest, part: &str) -> String {
    match part {
        "peer" => request.peer().to_owned(),
        "method" => request.method().to_owned(),
        "tls" => tls(request),
        "claims" => request.claims().unwrap_or("none").to_owned(),
        "target" => request.uri().to_owned(),
        name => request.header(name).unwrap_or_default().to_owned(),
    }
}

/// The facts of the handshake, each behind a slash.
fn tls(request: &UpgradeRequest) -> String {
    let Some(facts) = request.tls() else {
        return "none".to_owned();
    };
    let name = facts.server_name.as_deref().unwrap_or_default();
    let certificate = facts.certificate.as_ref();
    let certificate = certificate.map_or_else(String::new, |it| {
        let (subject, issuer) = (&it.subject, &it.issuer);
        format!("{subject}/{issuer}/{}/{}", it.serial, it.fingerprint)
    });
    format!("{}/{name}/{certificate}", facts.version)
}

openline_sdk::export!(Reject);
