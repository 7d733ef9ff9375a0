//! What a firewall function does about a request, by the request's header `do`
//! with words and spaces between them, or else by its query, `?do=trap`:
//!
//! - `trap`, `compute`, `grow` fail: a panic, computing and taking memory without
//!   end; `sleep=MILLISECONDS` first waits;
//! - `deny=STATUS`, `respond=STATUS` and `drop` decide; without them the request
//!   is allowed, with a header `inspected` that counts the calls of the instance;
//! - `body=TEXT`, `bytes=N` and `type=TYPE` fill an answer, `header=NAME:VALUE`
//!   and `header_bytes=N` an allowance;
//! - `show` answers with the facts of the request.

use std::hint::black_box;
use std::time::Duration;

use openline_sdk::firewall::{Allow, Answer, Request, Verdict};

const MEBIBYTE: usize = 1024 * 1024;

#[derive(Default)]
pub(crate) struct Orders {
    calls: u64,
    held: Vec<Vec<u8>>,
}

/// The orders in a request.
fn of(request: &Request) -> String {
    match request.header("do") {
        Some(orders) => orders.into_owned(),
        None => request.query("do").unwrap_or_default().into_owned(),
    }
}

/// How long to wait before the request is decided about.
pub(crate) fn pause(request: &Request) -> Duration {
    let orders = of(request);
    let time = orders.split(' ').find_map(|it| it.strip_prefix("sleep="));
    let milliseconds = time.and_then(|time| time.parse().ok()).unwrap_or(0);
    Duration::from_millis(milliseconds)
}

impl Orders {
    pub(crate) fn obey(&mut self, request: &Request) -> Verdict {
        self.calls += 1;
        let mut allow = Allow::new().header("inspected", self.calls.to_string());
        let (mut answer, mut verdict): (Option<Answer>, fn(Answer) -> Verdict) =
            (None, Verdict::Respond);
        for order in of(request).split(' ') {
            let (word, value) = order.split_once('=').unwrap_or((order, ""));
            let number = value.parse().unwrap_or(0_u32);
            let status = u16::try_from(number).unwrap_or(0);
            match word {
                "trap" => panic!("this is the trap that was asked for"),
                "compute" => while black_box(true) {},
                "grow" => loop {
                    // Filled with ones: zeroed pages would not become resident.
                    self.held.push(vec![1; MEBIBYTE]);
                },
                "drop" => return Verdict::Drop,
                "deny" => (answer, verdict) = (Some(Answer::new(status)), Verdict::Deny),
                "respond" => answer = Some(Answer::new(status)),
                "body" => answer = answer.map(|it| it.body(value)),
                "bytes" => answer = answer.map(|it| it.body(vec![b'x'; number as usize])),
                "type" => answer = answer.map(|it| it.content_type(value)),
                "header" => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    allow = allow.header(name, value);
                }
                "header_bytes" => allow = allow.header("x", vec![b'x'; number as usize]),
                "show" => answer = Some(Answer::text(200, facts(request))),
                _ => {}
            }
        }
        match answer {
            Some(answer) => verdict(answer),
            None => Verdict::Allow(allow),
        }
    }
}

/// What the function sees, a line for each fact.
fn facts(request: &Request) -> String {
    let target = request
        .target()
        .map(|it| format!("{}/{}", it.function, it.trigger));
    let tls = request.tls().map(|tls| {
        let name = tls.server_name.as_deref().unwrap_or_default();
        let client = tls.certificate.as_ref().map(|it| it.subject.as_str());
        format!("{} {name} {}", tls.version, client.unwrap_or_default())
    });
    let headers = request.headers().map(|(name, value)| {
        let value = String::from_utf8_lossy(value);
        format!("{name}: {value}\n")
    });
    let headers: String = headers.collect();
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    format!(
        "method {}\nscheme {}\nhost {}\npath {}\nquery {}\npeer {} {}\ntls {}\nid {}\ntarget {}\nclaims {}\n{headers}",
        request.method(),
        request.scheme(),
        or_none(request.host()),
        request.path(),
        or_none(request.query_text()),
        request.peer_address(),
        request.peer_port().is_some(),
        or_none(tls.as_deref()),
        request.id(),
        or_none(target.as_deref()),
        or_none(request.claims()),
    )
}
