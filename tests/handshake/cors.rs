//! Cross-origin requests: preflights, and what pages of other sites may read of
//! an answer; and the answers of hosts that several owners share.

use openline_core::config::{Config, FunctionConfig};
use openline_core::trigger::{HostPattern, Trigger};

use super::request::{Answer, Ask, Request};
use crate::harness::{AdminHost, Host, Raw};

const PAGE: &str = "https://app.example.org";
const OTHER: &str = "https://evil.example.com";

/// The triggers of a file.
fn triggers(tables: &str) -> Vec<Trigger> {
    let text = format!("[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\n{tables}");
    let config = Config::parse(&text).unwrap();
    config.functions[0].triggers.clone()
}

/// Triggers with rules, with Function Compute's, and with none.
const TABLES: &str = "
    [[function.trigger]]
    route = \"/rules\"
    methods = [\"GET\", \"PUT\"]
    [function.trigger.cors]
    allow_origins = [\"https://app.example.org\"]
    allow_headers = [\"X-Token\"]
    expose_headers = [\"x-why\"]
    allow_credentials = true
    max_age = \"10 min\"
    [[function.trigger]]
    route = \"/compute\"
    cors = \"function-compute\"
    [[function.trigger]]
    route = \"/own\"
    methods = [\"GET\", \"OPTIONS\"]
    cors = {allow_origins = [\"*\"]}
    [[function.trigger]]
    route = \"/inner\"
    internet = false
    cors = {allow_origins = [\"*\"]}
    [[function.trigger]]
    route = \"/none\"
";

fn with_rules(function: &mut FunctionConfig) {
    function.triggers = triggers(TABLES);
}

async fn host() -> Host {
    Host::with(openline_guests::FAULT_REJECT, "/reject")
        .function(with_rules)
        .server(|server| server.private_networks.clear())
        .start()
        .await
}

/// A request of a page that asks for no upgrade.
fn plain(method: &str, path: &str, origin: &str) -> Request {
    Request::line(&format!("{method} {path} HTTP/1.1"))
        .with("Host", "localhost")
        .with("Origin", origin)
}

fn preflight(path: &str, origin: &str, method: &str) -> Request {
    plain("OPTIONS", path, origin).with("Access-Control-Request-Method", method)
}

/// The headers of an answer that are about pages of other sites.
fn cors(answer: &Answer) -> Vec<(&str, &str)> {
    let own = answer.headers.iter();
    let own = own.filter(|(name, _)| name.starts_with("access-control-") || name == "vary");
    let mut own: Vec<_> = own.map(|(name, value)| (&**name, &**value)).collect();
    own.sort_unstable();
    own
}

const EXPOSED: &str = "openline-request-id, openline-error-type, openline-error-blame, retry-after";
const RULES: [(&str, &str); 4] = [
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-origin", PAGE),
    (
        "access-control-expose-headers",
        "openline-request-id, openline-error-type, openline-error-blame, retry-after, x-why",
    ),
    ("vary", "Origin"),
];
const COMPUTE: [(&str, &str); 4] = [
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-origin", OTHER),
    ("access-control-expose-headers", EXPOSED),
    ("vary", "Origin"),
];
const ALL: [(&str, &str); 2] = [
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", EXPOSED),
];

#[tokio::test]
async fn the_host_answers_a_preflight_as_the_trigger_says() {
    let host = host().await;
    let mut raw = Raw::connect(host.address).await;
    let answer = preflight("/rules", PAGE, "PUT")
        .with("Access-Control-Request-Headers", "x-token")
        .with("Access-Control-Request-Private-Network", "true");
    let answer = answer.ask_on(&mut raw).await;
    let expected = [
        RULES[0],
        ("access-control-allow-headers", "x-token"),
        ("access-control-allow-methods", "GET, PUT"),
        RULES[1],
        ("access-control-max-age", "600"),
        RULES[3],
    ];
    assert_eq!((answer.status, cors(&answer)), (204, expected.to_vec()));
    assert!(answer.header("openline-request-id").is_some());
    // The TCP connection goes on.
    let answer = preflight("/rules?a=b", PAGE, "GET").ask_on(&mut raw).await;
    assert_eq!(answer.status, 204);
    let answer = preflight("/compute", OTHER, "GET").ask_on(&mut raw).await;
    assert_eq!((answer.status, cors(&answer)), (204, COMPUTE.to_vec()));
    // No function has run, and nothing is counted.
    let state = host.state().await;
    assert_eq!(state["connections"]["open"], 0);
    assert_eq!(state["handshakes"]["refused"], serde_json::json!({}));
}

#[tokio::test]
async fn a_preflight_is_refused_where_the_page_or_the_peer_may_not_ask() {
    let host = host().await;
    for (path, origin) in [
        ("/rules", OTHER),
        ("/rules", "null"),
        ("/rules", "http://app.example.org"),
        // The host's own pages need none.
        ("/rules", "http://localhost"),
    ] {
        let refused = preflight(path, origin, "GET");
        let answer = refused.refused(&host, 403, "origin_refused").await;
        assert_eq!(cors(&answer), [("vary", "Origin")], "{origin}");
    }
    let twice = preflight("/rules", PAGE, "GET").with("Origin", OTHER);
    twice.refused(&host, 403, "origin_refused").await;
    let inner = preflight("/inner", PAGE, "GET");
    inner.refused(&host, 403, "internet_disabled").await;
    let method = async |request: Request| request.refused(&host, 405, "method_not_allowed").await;
    // No trigger takes the method, or the one that does has no `cors`.
    let answer = method(preflight("/rules", PAGE, "DELETE")).await;
    assert_eq!(answer.header("allow"), Some("GET, PUT"));
    method(preflight("/none", PAGE, "GET")).await;
    // These are no preflights.
    method(plain("OPTIONS", "/rules", PAGE)).await;
    method(preflight("/rules", PAGE, "GET").without("Origin")).await;
    let nothing = preflight("/nothing", PAGE, "GET");
    nothing.refused(&host, 404, "not_found").await;
    let long = preflight(&format!("/rules?{}", "a".repeat(9000)), PAGE, "GET");
    long.refused(&host, 400, "request_uri_bytes").await;
}

#[tokio::test]
async fn where_options_is_a_method_a_preflight_is_a_request_like_others() {
    let host = host().await;
    let answer = preflight("/own", OTHER, "GET");
    let answer = answer.refused(&host, 426, "upgrade_required").await;
    assert_eq!(cors(&answer), ALL);
}

#[tokio::test]
async fn a_page_that_may_ask_can_read_a_refusal() {
    let host = host().await;
    let refused = async |request: Request, status, word| request.refused(&host, status, word).await;
    let answer = refused(plain("GET", "/rules", PAGE), 426, "upgrade_required").await;
    assert_eq!(cors(&answer), RULES);
    let answer = refused(plain("GET", "/rules", OTHER), 426, "upgrade_required").await;
    assert_eq!(cors(&answer), [("vary", "Origin")]);
    let answer = refused(plain("GET", "/compute", OTHER), 426, "upgrade_required").await;
    assert_eq!(cors(&answer), COMPUTE);
    let answer = refused(plain("GET", "/none", PAGE), 426, "upgrade_required").await;
    assert_eq!(cors(&answer), []);
    // A WebSocket of the page is another matter.
    let socket = Request::right("/rules").with("Origin", PAGE);
    let answer = refused(socket, 403, "origin_refused").await;
    assert_eq!(cors(&answer), RULES);
    let inner = Request::right("/inner").with("Origin", "http://localhost");
    let answer = refused(inner, 403, "internet_disabled").await;
    assert_eq!(cors(&answer), ALL);
    host.deployer.services().begin_drain();
    let socket = Request::right("/compute").with("Origin", "http://localhost");
    let answer = refused(socket, 503, "draining").await;
    let origin = answer.header("access-control-allow-origin");
    assert_eq!(origin, Some("http://localhost"));
    // A page learns that as well, because its preflight is answered.
    let answer = preflight("/rules", PAGE, "GET").ask(&host).await;
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn preflights_take_nothing_of_the_rate_of_a_peer_and_do_not_wait_for_it() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .function(with_rules)
        .limit(|limit| limit.peer_handshakes_per_second = 1)
        .start()
        .await;
    let origin = "http://localhost";
    let socket = Request::right("/compute").with("Origin", origin);
    let mut refused = None;
    // The rate renews while a slow machine asks.
    for _ in 0..20 {
        for _ in 0..10 {
            let answer = preflight("/compute", origin, "GET").ask(&host).await;
            assert_eq!(answer.status, 204);
        }
        let answer = socket.ask(&host).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 101);
    }
    let answer = refused.expect("a handshake past the rate");
    let word = answer.header("openline-error-type");
    assert_eq!(word, Some("peer_handshakes_per_second"));
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some(origin));
}

#[tokio::test]
async fn an_accepted_handshake_has_no_headers_for_pages_and_a_rejection_has() {
    let host = host().await;
    let from = |path: &str| Request::right(path).with("Origin", "http://localhost");
    for path in ["/compute", "/own", "/none"] {
        let answer = from(path).ask(&host).await;
        assert_eq!((answer.status, cors(&answer)), (101, vec![]), "{path}");
    }
    let answer = from("/own?status=403&body=no").ask(&host).await;
    assert_eq!((answer.status, &*answer.body), (403, "no"));
    assert_eq!(cors(&answer), ALL);
    // What the function sets stands alone.
    let own = "/compute?status=200&header=Access-Control-Allow-Origin:http://www.fc.com";
    let answer = from(own).ask(&host).await;
    let expected = [
        ("access-control-allow-origin", "http://www.fc.com"),
        ("vary", "Origin"),
    ];
    assert_eq!((answer.status, cors(&answer)), (200, expected.to_vec()));
}

#[tokio::test]
async fn a_trigger_of_a_running_host_has_rules_as_well() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let path = "/v1/functions/echo/triggers/site";
    let set = async |cors: serde_json::Value| {
        let body = serde_json::json!({"route": "/site", "cors": cors});
        host.json("PUT", path, &body).await
    };
    let rules = serde_json::json!({"allow_origins": [PAGE], "max_age": "1 h"});
    let made = set(rules).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = serde_json::json!({
        "allow_origins": [PAGE], "allow_methods": ["GET"], "allow_headers": [],
        "expose_headers": [], "allow_credentials": false, "max_age": "1 h",
    });
    assert_eq!(made.value()["cors"], shown);
    let answer = preflight("/site", PAGE, "GET").ask(&host).await;
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    // What is shown can be set.
    assert_eq!(set(shown).await.status, 200);
    let wrong = set(serde_json::json!({"allow_origins": ["*"], "allow_credentials": true})).await;
    wrong.refused(422, "trigger");
    let problem = wrong.value();
    assert!(
        problem["message"]
            .to_string()
            .contains("do not go together")
    );
    assert!(problem["hint"].to_string().contains("list the origins"));
    let wrong = set(serde_json::json!("all")).await;
    wrong.refused(422, "trigger");
    let wrong = set(serde_json::json!({"origins": []})).await;
    wrong.refused(400, "bad_json");
    let word = set(serde_json::json!("function-compute")).await;
    assert_eq!(word.value()["cors"], "function-compute");
    let answer = preflight("/site", OTHER, "GET").ask(&host).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(OTHER));
}

#[tokio::test]
async fn answers_of_functions_on_a_shared_host_are_saved_and_not_shown() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .server(|server| {
            let shared = ["functions.example.org", "*.functions.example.org"];
            server.shared_hosts = shared.map(|it| HostPattern::new(it).unwrap()).into();
        })
        .start()
        .await;
    let page = "/reject?status=200&header=content-type:text/html&body=%3Cscript%3E";
    let on = |name: &str, path: &str| Request::right(path).changed("Host", name);
    let about = |answer: &Answer| {
        let header = |name: &str| answer.header(name).map(str::to_owned);
        (
            header("content-disposition"),
            header("x-content-type-options"),
        )
    };
    let saved = (Some("attachment".to_owned()), Some("nosniff".to_owned()));
    for name in ["functions.example.org", "A.FUNCTIONS.example.org.:8080"] {
        let answer = on(name, page).ask(&host).await;
        assert_eq!((answer.status, about(&answer)), (200, saved.clone()));
        assert_eq!(answer.header("content-type"), Some("text/html"));
        let inline = format!("{page}&header=content-disposition:inline");
        let answer = on(name, &inline).ask(&host).await;
        assert_eq!(answer.all("content-disposition"), ["attachment"]);
        // Neither a connection nor the host's own answers are a page.
        let answer = on(name, "/reject").ask(&host).await;
        assert_eq!((answer.status, about(&answer)), (101, (None, None)));
        let answer = on(name, "/nothing");
        let answer = answer.refused(&host, 404, "not_found").await;
        assert_eq!(about(&answer), (None, None));
    }
    for name in ["functions.example.org.evil.com", "example.org", "localhost"] {
        let answer = on(name, page).ask(&host).await;
        assert_eq!((answer.status, about(&answer)), (200, (None, None)));
    }
}
