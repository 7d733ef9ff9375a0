//! The firewall of a running host: each behaviour over HTTP/1.1, HTTP/2 and TLS,
//! which requests it decides about, and what the function sees.

use std::net::SocketAddr;

use openline_core::config::{ClientCertificates, Config, FunctionConfig};
use openline_core::trigger::Trigger;
use openline_kit::head::Head;
use rcgen::DnType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::http2::Http2;
use crate::harness::tls::{Authority, connect};
use crate::harness::{Answer, HANDSHAKE, Host, Raw, within};

/// The host's firewall: what the query says happens.
const EDGE: &str = r#"
[[list]]
name = "blocked"
type = "networks"
items = ["127.0.0.9"]

[[firewall]]
name = "edge"

[[firewall.rule]]
name = "blocked addresses"
criteria = ["if remote_addr is_in_list blocked"]
behaviors = ["drop"]

[[firewall.rule]]
name = "denied"
criteria = ["if arg_stop is_equal deny"]
behaviors = ["deny"]

[[firewall.rule]]
name = "denied in other words"
criteria = ["if arg_stop is_equal hide"]
behaviors = [{ deny = { status_code = 404, content_type = "application/json", content_body = "{}" } }]

[[firewall.rule]]
name = "dropped"
criteria = ["if arg_stop is_equal drop"]
behaviors = ["drop"]

[[firewall.rule]]
name = "answered"
criteria = ["if arg_stop is_equal respond"]
behaviors = [{ set_custom_response = { status_code = 200, content_type = "text/html", content_body = "<p>soon</p>" } }]

[[firewall.rule]]
name = "rated"
criteria = ["if arg_stop is_equal rate"]
behaviors = [{ set_rate_limit = { type = "minute", limit_by = "client_ip", average_rate_limit = 1, maximum_burst_size = 2 } }]

[[firewall.rule]]
name = "marked"
criteria = ["if arg_mark exists"]
behaviors = [{ set_header = { name = "x-risk", value = "high" } }]

[[firewall.rule]]
name = "numbers"
criteria = ["if uri is_equal /nowhere", "and arg_id exists", "and arg_id does_not_match ^[0-9]+$"]
behaviors = ["deny"]

[[firewall.rule]]
name = "debugged"
criteria = ["if http_x_debug exists"]
behaviors = ["deny"]

[[firewall.rule]]
name = "costly"
criteria = ["if http_x_t matches (?i)(?:;|\\||&).{0,100}(?:cat|wget).{0,100}/0001"]
behaviors = ["deny"]

[[firewall.rule]]
name = "office"
criteria = ["if arg_office exists"]
behaviors = ["allow"]

[[firewall]]
name = "room"

[[firewall.rule]]
name = "guests stay out"
criteria = ["if arg_guest exists"]
behaviors = ["deny"]

[[firewall.rule]]
name = "with a certificate"
criteria = ["if ssl_client_s_dn contains CN=mallory", "and ssl_client_verify is_equal SUCCESS", "and ssl_protocol is_equal TLSv1.3", "and scheme is_equal https"]
behaviors = [{ deny = { status_code = 451 } }]

[[firewall]]
name = "staff"

[[firewall.rule]]
name = "no robots"
criteria = ["if user_agent is_equal robot"]
behaviors = ["drop"]

[[firewall.rule]]
name = "staff only"
criteria = ["if claim_role is_not_equal staff"]
behaviors = [{ deny = { status_code = 499 } }]
"#;

/// Triggers with a firewall of their own.
const TRIGGERS: &str = r#"
[[firewall]]
name = "room"
[[firewall]]
name = "staff"
[[function]]
name = "f"
component = "f.wasm"
[[function.trigger]]
route = "/open"
cors = { allow_origins = ["*"] }
methods = ["GET", "PUT"]
[[function.trigger]]
route = "/room"
firewall = "room"
[[function.trigger]]
route = "/staff"
firewall = "staff"
"#;

fn with_triggers(function: &mut FunctionConfig) {
    let config = Config::parse(TRIGGERS).unwrap();
    let triggers: &[Trigger] = &config.functions[0].triggers;
    function.triggers = triggers.to_vec();
}

async fn host() -> Host {
    Host::with(openline_guests::FAULT_REJECT, "/open")
        .function(with_triggers)
        .server(|server| server.firewall = Some("edge".into()))
        .firewalls(EDGE)
        .start()
        .await
}

/// A handshake's answer, read to its end where the host closes, and empty where
/// it closes without one.
async fn ask(host: &Host, head: Head) -> String {
    ask_from([127, 0, 0, 1], host.address, head).await
}

async fn ask_from(source: [u8; 4], address: SocketAddr, head: Head) -> String {
    let mut raw = Raw::connect_from(source, address).await;
    raw.send(head.text().as_bytes()).await;
    raw.head().await.to_ascii_lowercase()
}

/// Asks without an upgrade and reads the whole answer.
async fn plain(host: &Host, line: &str, headers: &[(&str, &str)]) -> Answer {
    let head = Head::line(line).with("host", "localhost").headers(headers);
    let mut raw = Raw::connect(host.address).await;
    let head = head.with("connection", "close");
    raw.send(head.text().as_bytes()).await;
    raw.answer().await
}

fn is_word(head: &str, status: u16, word: &str) {
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    let named = format!("openline-error-type: {word}\r\n");
    assert!(head.contains(&named), "{head}");
    assert!(head.contains("openline-request-id: "), "{head}");
}

#[tokio::test]
async fn each_behaviour_ends_a_request_in_its_own_way_and_is_counted() {
    let host = host().await;
    let stop = |what: &str| Head::right(&format!("/open?stop={what}"));
    let denied = ask(&host, stop("deny")).await;
    is_word(&denied, 403, "firewall_denied");
    assert!(
        denied.contains("openline-error-blame: peer\r\n"),
        "{denied}"
    );
    is_word(&ask(&host, stop("hide")).await, 404, "firewall_denied");
    is_word(&ask(&host, stop("respond")).await, 200, "firewall_answered");
    assert_eq!(ask(&host, stop("drop")).await, "");
    assert!(
        ask(&host, stop("nothing"))
            .await
            .starts_with("http/1.1 101 ")
    );

    let hidden = plain(&host, "GET /open?stop=hide HTTP/1.1", &[]).await;
    assert_eq!((hidden.status, &*hidden.body), (404, &b"{}"[..]));
    assert!(hidden.head.contains("content-type: application/json"));
    let soon = plain(&host, "GET /open?stop=respond HTTP/1.1", &[]).await;
    assert_eq!((soon.status, &*soon.body), (200, &b"<p>soon</p>"[..]));
    let state = host.state().await;
    let refused = &state["handshakes"]["refused"];
    assert_eq!(refused["firewall_denied"], 3, "{refused}");
    assert_eq!(refused["firewall_dropped"], 1, "{refused}");
    assert_eq!(refused["firewall_answered"], 2, "{refused}");
}

#[tokio::test]
async fn requests_that_are_no_handshakes_and_paths_that_lead_nowhere_are_decided_about() {
    let host = host().await;
    for (line, status) in [
        ("GET /open HTTP/1.1", 426),
        ("GET /open?stop=hide HTTP/1.1", 404),
        ("GET /nowhere?stop=deny HTTP/1.1", 403),
        ("GET /nowhere HTTP/1.1", 404),
        ("DELETE /open?stop=deny HTTP/1.1", 403),
        ("DELETE /open HTTP/1.1", 405),
    ] {
        let answer = plain(&host, line, &[]).await;
        assert_eq!(answer.status, status, "{line}");
    }
    let preflight = [
        ("origin", "https://app.example.org"),
        ("access-control-request-method", "PUT"),
    ];
    let answer = plain(&host, "OPTIONS /open HTTP/1.1", &preflight).await;
    assert_eq!(answer.status, 204, "{}", answer.head);
    let answer = plain(&host, "OPTIONS /open?stop=deny HTTP/1.1", &preflight).await;
    assert_eq!(answer.status, 403);
    // Nothing at all, whatever the request is.
    let nowhere = Head::line("GET /nowhere HTTP/1.1").with("host", "localhost");
    let dropped = ask_from([127, 0, 0, 9], host.address, nowhere).await;
    assert_eq!(dropped, "");
    // The host's own paths have no firewall: probes go on.
    let probe = Head::line("GET /.openline/live HTTP/1.1").with("host", "localhost");
    let probed = ask_from([127, 0, 0, 9], host.address, probe).await;
    assert!(probed.starts_with("http/1.1 200 "), "{probed}");
}

#[tokio::test]
async fn what_a_rule_cannot_tell_is_refused() {
    let host = host().await;
    let asked = |query: &str| Head::right(&format!("/nowhere?{query}"));
    let evil = ask(&host, asked("id=evil")).await;
    is_word(&evil, 403, "firewall_denied");
    for query in ["id=evil&id=1", "id=1&id=evil", "id=1&ID=1", "id=1&%69d=1"] {
        let answer = ask(&host, asked(query)).await;
        is_word(&answer, 400, "firewall_repeated");
    }
    let once = ask(&host, asked("id=1")).await;
    is_word(&once, 404, "not_found");
    // Nor does another spelling of a header's name hide it.
    for name in ["x-debug", "x_debug", "x.debug"] {
        let answer = ask(&host, Head::right("/open").with(name, "1")).await;
        is_word(&answer, 403, "firewall_denied");
    }
    // All states of the expression are busy all the time, in 7,000 bytes without
    // a pattern.
    let mut number = 12_345_u64;
    let words = std::iter::repeat_with(|| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        [";", "|", "cat", "&a", "wget", "b", "c"][usize::try_from(number % 7).unwrap()]
    });
    let costly: String = words.take(5_000).collect();
    let costly = &costly[..7_000];
    let answer = ask(&host, Head::right("/open").with("x-t", costly)).await;
    is_word(&answer, 400, "firewall_work");
    let state = host.state().await;
    let refused = &state["handshakes"]["refused"];
    assert_eq!(refused["firewall_repeated"], 4, "{refused}");
    assert_eq!(refused["firewall_work"], 1, "{refused}");
}

#[tokio::test]
async fn a_rate_refuses_what_exceeds_it_and_says_when_to_come_back() {
    let host = host().await;
    let rated = || Head::right("/open?stop=rate");
    for _ in 0..2 {
        assert!(ask(&host, rated()).await.starts_with("http/1.1 101 "));
    }
    let refused = ask(&host, rated()).await;
    is_word(&refused, 429, "firewall_rate_limit");
    let after = refused.split("retry-after: ").nth(1).unwrap();
    let after: u64 = after.split("\r\n").next().unwrap().parse().unwrap();
    // A minute, less what has passed, and up to ten seconds of spread.
    assert!((1..=71).contains(&after), "{after}");
    let other = ask_from([127, 0, 0, 2], host.address, rated()).await;
    assert!(other.starts_with("http/1.1 101 "), "{other}");
}

#[tokio::test]
async fn a_function_sees_the_headers_that_rules_set_and_none_of_those_that_a_peer_invents() {
    let host = host().await;
    let seen = async |path: &str| {
        let path = format!("{path}status=200&request_header=x-risk");
        let head = Head::right(&path).with("x-risk", "none at all");
        let head = head.with("x_risk", "none").with("x.risk", "none");
        let mut raw = Raw::connect(host.address).await;
        raw.send(head.with("connection", "close").text().as_bytes())
            .await;
        String::from_utf8(raw.answer().await.body).unwrap()
    };
    assert_eq!(seen("/open?mark&").await, "high");
    assert_eq!(seen("/open?").await, "");
}

#[tokio::test]
async fn the_triggers_firewall_comes_after_the_hosts_which_opens_nothing_there() {
    let host = host().await;
    let room = |query: &str| Head::right(&format!("/room?{query}"));
    assert!(ask(&host, room("")).await.starts_with("http/1.1 101 "));
    is_word(&ask(&host, room("guest")).await, 403, "firewall_denied");
    let both = ask(&host, room("office&guest")).await;
    is_word(&both, 403, "firewall_denied");
    // It is that trigger's alone.
    let open = ask(&host, Head::right("/open?guest")).await;
    assert!(open.starts_with("http/1.1 101 "), "{open}");
}

#[tokio::test]
async fn a_rule_about_claims_waits_until_the_page_that_asks_is_checked() {
    let host = host().await;
    let staff = || Head::right("/staff");
    // Without a token there are no claims.
    is_word(&ask(&host, staff()).await, 499, "firewall_denied");
    let other = staff().with("origin", "https://evil.example");
    is_word(&ask(&host, other).await, 403, "origin_refused");
    // The rule before it decides first.
    let robot = staff().with("origin", "https://evil.example");
    let robot = robot.with("user-agent", "robot");
    assert_eq!(ask(&host, robot).await, "");
    // So does the check of the handshake, which comes before that of origins.
    let plain = plain(&host, "GET /staff HTTP/1.1", &[]).await;
    assert_eq!(plain.status, 426);
}

#[tokio::test]
async fn a_peer_that_its_hop_does_not_name_is_in_no_network_and_in_no_list() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/open")
        .server(|server| {
            server.firewall = Some("office".into());
            server.trusted_hops = vec!["127.0.0.1/32".parse().unwrap()];
        })
        .firewalls(OFFICE)
        .start()
        .await;
    for (named, expected) in [
        ("127.0.0.7", 101),
        ("127.0.0.8", 403),
        ("10.0.0.1", 403),
        // The hop is of the network, and whoever is behind it may not be.
        ("unknown", 403),
        ("127.0.0.7, nonsense", 403),
    ] {
        let head = Head::right("/open").with("x-forwarded-for", named);
        let answer = ask(&host, head).await;
        let status = format!("http/1.1 {expected} ");
        assert!(answer.starts_with(&status), "{named}: {answer}");
    }
    let own = ask(&host, Head::right("/open")).await;
    assert!(own.starts_with("http/1.1 101 "), "{own}");
}

/// One address of the machine stays out, and so do all other networks.
const OFFICE: &str = r#"
[[list]]
name = "known"
type = "networks"
items = ["127.0.0.0/29"]

[[firewall]]
name = "office"

[[firewall.rule]]
name = "others"
criteria = ["if remote_addr is_not_equal 127.0.0.0/8", "or remote_addr is_not_in_list known", "or remote_addr does_not_exist"]
behaviors = ["deny"]
"#;

/// Long enough for an expression that tries all ways to split it.
const REPEATED: usize = 7 * 1024;

#[tokio::test]
async fn an_expression_that_takes_others_minutes_takes_no_time() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/open")
        .server(|server| server.firewall = Some("edge".into()))
        .firewalls(EXPRESSIONS)
        .start()
        .await;
    let text = "a".repeat(REPEATED);
    for _ in 0..20 {
        let head = Head::right(&format!("/open?v={text}!"));
        let answer = ask(&host, head).await;
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    }
    let head = Head::right(&format!("/open?v={text}"));
    is_word(&ask(&host, head).await, 403, "firewall_denied");
}

/// Expressions for which an engine that goes back takes longer with each letter.
const EXPRESSIONS: &str = r#"
[[firewall]]
name = "edge"

[[firewall.rule]]
name = "repeated"
criteria = ["if arg_v matches ^(a+)+$", "or arg_v matches ^(a|aa)+$", "or arg_v matches a*a*a*a*a*a*b", "or arg_v matches ^(([a-z])+.)+[A-Z]([a-z])+$"]
behaviors = ["deny"]
"#;

#[tokio::test]
async fn over_http2_a_drop_resets_its_stream_and_no_other() {
    let host = host().await;
    let mut peer = Http2::connect(host.address).await;
    let mut open = peer.open("/open").await.unwrap();
    let denied = peer.open("/open?stop=deny").await.err().unwrap();
    assert_eq!(denied.status(), 403);
    assert_eq!(denied.headers()["openline-error-type"], "firewall_denied");
    // More than a peer may cancel: the host's own resets are not counted as its.
    for _ in 0..150 {
        let (answer, _send) = peer.ask("/open?stop=drop", |_| {}).await.unwrap();
        let error = within("a reset", answer).await.unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{error:?}");
    }
    open.echo(b"still here").await;
    let (answer, _) = peer.get("/open?stop=respond").await.unwrap();
    assert_eq!(answer.status(), 200);
    // To a handshake, that status would be an open connection.
    let answered = peer.open("/open?stop=respond").await.err().unwrap();
    assert_eq!(answered.status(), 403);
    assert_eq!(
        answered.headers()["openline-error-type"],
        "firewall_answered"
    );
    drop(open);
    peer.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn rules_see_the_tls_handshake_and_the_certificate() {
    let authority = Authority::new();
    let host = Host::with(openline_guests::FAULT_REJECT, "/open")
        .function(with_triggers)
        .server(|server| {
            server.firewall = Some("edge".into());
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
            server.tls.client_certificates = ClientCertificates::Optional;
            server.tls.client_authorities = Some(authority.path("authority.pem"));
        })
        .firewalls(EDGE)
        .start()
        .await;
    let issue = |name: &'static str| {
        authority.issue(&["client"], |params| {
            params.distinguished_name.push(DnType::CommonName, name);
        })
    };
    for (client, path, expected) in [
        (
            authority.client_with(&issue("mallory")),
            "/room",
            "HTTP/1.1 451 ",
        ),
        (
            authority.client_with(&issue("ada")),
            "/room",
            "HTTP/1.1 101 ",
        ),
        (authority.client(&[]), "/room", "HTTP/1.1 101 "),
        (authority.client(&[]), "/room?stop=drop", ""),
    ] {
        let mut stream = connect(host.address, "localhost", client).await.unwrap();
        let request = HANDSHAKE.replace("{path}", path);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // An end without a goodbye is an error of the library, and an end.
            match within("an answer", stream.read_u8()).await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with(expected), "{path}: {head}");
        assert_eq!(head.is_empty(), expected.is_empty(), "{head}");
    }
}
