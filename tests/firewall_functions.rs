//! Firewall functions of a running host: what they see and decide, how they fail,
//! which version decides, and what the host refuses to serve.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use openline_control::{ChangeError, DeployOptions, HandlerError};
use openline_core::component::Component;
use openline_core::limits::{FunctionLimits, InstancePolicy, REQUEST_HEADERS_MAX};
use openline_core::name::{AliasName, FunctionName};
use openline_hint::Hint;
use openline_kit::head::Head;
use serde_json::json;
use tempfile::TempDir;

use crate::authentication::{Files, JWT, now, token};
use crate::harness::{
    Answer, Client, Host, HostBuilder, Raw, Serving, deploy_options as options, eventually,
    openline, variant,
};

/// The host's firewall: requests with orders are given to the function.
const EDGE: &str = r#"
[[firewall]]
name = "edge"
debug_rules = true

[[firewall.rule]]
name = "marked before"
criteria = ["if arg_do exists"]
behaviors = [{ set_header = { name = "x-before", value = "by a rule" } }]

[[firewall.rule]]
name = "asked"
criteria = ["if arg_do exists"]
behaviors = [{ run_function = "fault-firewall" }]

[[firewall.rule]]
name = "asked of the next version"
criteria = ["if arg_next exists"]
behaviors = [{ run_function = "fault-firewall@next" }]

[[firewall.rule]]
name = "decided afterwards"
criteria = ["if arg_after exists"]
behaviors = [{ deny = { status_code = 410 } }]
"#;

/// Nothing ends during a test unless something has it end.
const LONG: Duration = Duration::from_secs(600);

fn name() -> FunctionName {
    FunctionName::new("fault-firewall").unwrap()
}

/// A host with a function at `/open` that answers as it is asked, and a firewall
/// function.
fn host_of(firewall: &str) -> HostBuilder {
    Host::with(openline_guests::FAULT_REJECT, "/open")
        .and(firewall, "/unused")
        .function(|function| {
            function.name = name();
            function.triggers.clear();
        })
        .server(|server| server.firewall = Some("edge".into()))
        .firewalls(EDGE)
}

fn host() -> HostBuilder {
    host_of(openline_guests::FAULT_FIREWALL)
}

/// Sends a handshake that is not accepted, and reads the answer.
async fn ask(host: &Host, path: &str, headers: &[(&str, &str)]) -> Answer {
    let head = Head::right(path).headers(headers);
    let head = head.changed("Connection", "Upgrade, close");
    let mut raw = Raw::connect(host.address).await;
    raw.send(head.text().as_bytes()).await;
    raw.answer().await
}

/// The status of the answer to a handshake with these orders.
async fn status(host: &Host, orders: &str) -> u16 {
    match Client::open(host.address, &format!("/open?do={orders}"), &[]).await {
        Ok(_) => 101,
        Err(refused) => refused.status,
    }
}

/// Whether the request was denied because the function did not decide.
fn is_failed(answer: &Answer, blame: &str) {
    let Answer { status, head, .. } = answer;
    assert_eq!(*status, 503, "{head}");
    for line in [
        "openline-error-type: firewall_failed\r\n",
        &format!("openline-error-blame: {blame}\r\n"),
        "cache-control: no-store\r\n",
        "retry-after: ",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

/// What the connection's function sees of a header, once it is accepted.
async fn seen(host: &Host, query: &str, header: &str) -> String {
    let path = format!("/open?{query}&status=200&request_header={header}");
    let answer = ask(host, &path, &[("inspected", "invented by the peer")]).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn a_function_lets_requests_pass_with_headers_or_answers_them() {
    let host = host().start().await;
    assert_eq!(status(&host, "").await, 101);
    // It counts in its memory, and what a peer sends by its header is replaced.
    assert_eq!(seen(&host, "do", "inspected").await, "2");
    assert_eq!(seen(&host, "do", "inspected").await, "3");
    assert_eq!(seen(&host, "do", "x-before").await, "by a rule");
    // Rules after it still decide.
    assert_eq!(ask(&host, "/open?do&after", &[]).await.status, 410);
    let denied = ask(&host, "/open?do=deny=418+type=a/b+body=teapot", &[]).await;
    assert_eq!((denied.status, &*denied.body), (418, &b"teapot"[..]));
    assert!(denied.head.contains("content-type: a/b\r\n"));
    let word = "openline-error-type: firewall_denied\r\n";
    assert!(denied.head.contains(word), "{}", denied.head);
    let answered = ask(&host, "/open?do=respond=200+body=soon", &[]).await;
    assert_eq!((answered.status, &*answered.body), (200, &b"soon"[..]));
    let kind = "content-type: text/plain; charset=utf-8\r\n";
    assert!(answered.head.contains(kind), "{}", answered.head);
    // A denial without a body gets the host's sentence.
    let bare = ask(&host, "/open?do=deny=403", &[]).await;
    assert!(!bare.body.is_empty(), "{}", bare.head);
    let mut raw = Raw::connect(host.address).await;
    raw.send(Head::right("/open?do=drop").text().as_bytes())
        .await;
    assert_eq!(raw.head().await, "");
    let state = host.state().await;
    let refused = &state["handshakes"]["refused"];
    assert_eq!(refused["firewall_denied"], 3, "{refused}");
    assert_eq!(refused["firewall_answered"], 1, "{refused}");
    assert_eq!(refused["firewall_dropped"], 1, "{refused}");
}

#[tokio::test]
async fn a_function_sees_the_request_and_where_it_leads() {
    let host = host().start().await;
    let shown = async |path: &str| {
        let answer = ask(&host, path, &[("x-own", "1")]).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        let head = answer.head;
        let id = head.split("openline-request-id: ").nth(1).unwrap();
        let id = id.split("\r\n").next().unwrap().to_owned();
        (String::from_utf8(answer.body).unwrap(), id)
    };
    let (facts, id) = shown("/open?do=show").await;
    for line in [
        "method GET",
        "scheme http",
        "host localhost",
        "path /open",
        "query do=show",
        "peer 127.0.0.1 true",
        "tls none",
        &format!("id {id}"),
        "target fault-reject/open",
        "claims none",
        "host: localhost",
        "x-own: 1",
        "x-before: by a rule",
    ] {
        assert!(facts.lines().any(|it| it == line), "{line}: {facts}");
    }
    let (facts, _) = shown("/x/../nowhere?do=show").await;
    for line in ["path /nowhere", "target none"] {
        assert!(facts.lines().any(|it| it == line), "{line}: {facts}");
    }
}

#[tokio::test]
async fn a_function_that_fails_denies_and_the_next_request_is_asked_about_again() {
    for firewall in [
        openline_guests::FAULT_FIREWALL,
        openline_guests::FAULT_FIREWALL_ASYNC,
    ] {
        let host = host_of(firewall)
            .limit(|limit| {
                limit.handler_timeout = Duration::from_secs(2);
                limit.cpu_timeout = Duration::from_millis(500);
            })
            .instance(|instance| instance.memory_bytes = 8 << 20)
            .start()
            .await;
        // It traps, computes or takes memory without end, or waits too long and
        // then allows everything.
        for orders in ["trap", "compute", "grow", "sleep=600000"] {
            let path = format!("/open?do={orders}&status=200");
            is_failed(&ask(&host, &path, &[]).await, "function");
            assert_eq!(status(&host, "").await, 101, "{orders}");
        }
        // Requests that it is not asked about go on.
        assert_eq!(ask(&host, "/open?after", &[]).await.status, 410);
        assert_eq!(ask(&host, "/nowhere?do=trap", &[]).await.status, 503);
    }
}

#[tokio::test]
async fn one_that_allows_everything_after_a_second_has_that_second() {
    let host = host().start().await;
    assert_eq!(status(&host, "sleep=1000").await, 101);
}

#[tokio::test]
async fn answers_at_the_bounds_and_past_them() {
    let bounded = |limit: &mut FunctionLimits| {
        limit.rejection_body_bytes = 100;
        limit.response_header_bytes = 50;
    };
    let host = host().limit(bounded).start().await;
    for (orders, expected) in [
        // `inspected` and its digit are ten bytes, `x` is one.
        ("header_bytes=39", 101),
        ("header_bytes=40", 503),
        ("deny=400", 400),
        ("deny=499", 499),
        ("respond=200", 200),
        ("respond=204", 204),
        ("respond=499", 499),
        ("deny=403+bytes=100", 403),
    ] {
        assert_eq!(status(&host, orders).await, expected, "{orders}");
    }
    for orders in [
        "deny=0",
        "deny=200",
        "deny=399",
        "deny=500",
        "respond=101",
        "respond=199",
        "respond=500",
        "respond=65535",
        "respond=204+body=x",
        "respond=304+body=x",
        "deny=403+bytes=101",
        "deny=403+type=a%0Db",
        "header_bytes=60",
        "header=host:evil.example",
        "header=openline-request-id:1",
        "header=x-forwarded-for:192.0.2.1",
        "header=sec-websocket-key:1",
        "header=a%40b:1",
    ] {
        let failed = ask(&host, &format!("/open?do={orders}"), &[]).await;
        is_failed(&failed, "function");
    }
    // None of these was the end of the instance.
    assert_ne!(seen(&host, "do", "inspected").await, "1");
}

#[tokio::test]
async fn calls_wait_as_long_as_there_are_seats_and_the_next_request_is_denied() {
    let narrow = |instance: &mut InstancePolicy| {
        instance.instances = 1;
        instance.concurrency = 2;
    };
    let host = host()
        .instance(narrow)
        .limit(|limit| {
            limit.handler_timeout = LONG;
            limit.upgrade_timeout = LONG;
        })
        .start()
        .await;
    let hold = async || {
        let mut raw = Raw::connect(host.address).await;
        let head = Head::right("/open?do=sleep=600000");
        raw.send(head.text().as_bytes()).await;
        raw
    };
    let (busy, waiting) = (hold().await, hold().await);
    eventually("both seats to be taken", || calls(&host) == 2).await;
    is_failed(&ask(&host, "/open?do=deny=403", &[]).await, "host");
    // The peer that waits for its turn goes: its seat is free, and it is counted.
    drop(waiting);
    host.until("the peer that left to be counted", |state| {
        state["handshakes"]["refused"]["peer_gone"] == 1
    })
    .await;
    drop(busy);
}

#[tokio::test]
async fn requests_that_make_it_fail_are_denied_and_no_others() {
    let host = host()
        .instance(|instance| {
            instance.faults_in_a_row = 1;
            instance.backoff_time = LONG;
            instance.backoff_time_max = LONG;
        })
        .start()
        .await;
    for orders in ["trap", "trap", "trap", "", "trap", "trap", ""] {
        let expected = if orders.is_empty() { 101 } else { 503 };
        assert_eq!(status(&host, orders).await, expected);
    }
    is_failed(&ask(&host, "/open?do", &[("do", "trap")]).await, "function");
    assert_eq!(ask(&host, "/open?after", &[]).await.status, 410);
}

/// Two functions that set headers, and a rule that sets one more.
const HEADERS: &str = r#"
[[firewall]]
name = "edge"

[[firewall.rule]]
name = "first"
behaviors = [{ run_function = "fault-firewall" }]

[[firewall.rule]]
name = "one more"
criteria = ["if arg_more exists"]
behaviors = [{ set_header = { name = "x-more", value = "1" } }]

[[firewall.rule]]
name = "second"
behaviors = [{ run_function = "fault-firewall" }]
"#;

#[tokio::test]
async fn headers_of_several_functions_and_rules_have_one_bound() {
    let host = host().firewalls(HEADERS).start().await;
    // Each call sets `inspected`, too.
    let orders = vec!["header=a:"; REQUEST_HEADERS_MAX / 2 - 1].join(" ");
    let most = ask(&host, "/open?status=200", &[("do", &orders)]).await;
    assert_eq!(most.status, 200, "{}", most.head);
    let past = ask(&host, "/open?status=200&more", &[("do", &orders)]).await;
    is_failed(&past, "function");
}

/// The calls in flight of the firewall function, in all versions.
fn calls(host: &Host) -> u32 {
    let function = host.deployer.function(&name()).unwrap();
    function
        .versions
        .iter()
        .map(|version| version.connections)
        .sum()
}

fn component(path: &str, number: u8) -> Component {
    variant(&fs::read(path).unwrap(), number).into()
}

#[tokio::test]
async fn a_deploy_in_the_middle_of_a_call_and_a_rule_that_names_an_alias() {
    let host = host().start().await;
    assert_eq!(seen(&host, "do", "inspected").await, "1");
    let next = component(openline_guests::FAULT_FIREWALL, 1);
    let prepared = host
        .deployer
        .prepare(&name(), next, options())
        .await
        .unwrap();
    let held = async {
        let path = "/open?do=sleep=2000&status=200&request_header=inspected";
        String::from_utf8(ask(&host, path, &[]).await.body).unwrap()
    };
    let deploy = async {
        eventually("the call to begin", || calls(&host) == 1).await;
        host.deployer.deploy_prepared(prepared).await.unwrap();
        seen(&host, "do", "inspected").await
    };
    let (held, new) = tokio::join!(held, deploy);
    assert_eq!(held, "2", "it ends in the version in which it began");
    assert_eq!(new, "1", "and the new version decides meanwhile");

    // A rule may name an alias before it leads anywhere: then the rule denies.
    is_failed(&ask(&host, "/open?next", &[]).await, "function");
    let alias = AliasName::new("next").unwrap();
    let to_next = DeployOptions {
        alias: alias.clone(),
        ..options()
    };
    let next = component(openline_guests::FAULT_FIREWALL, 2);
    host.deployer.deploy(&name(), next, to_next).await.unwrap();
    assert_eq!(seen(&host, "next", "inspected").await, "1");
    let refused = host.deployer.remove_alias(&name(), &alias).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, ChangeError::Ruled(_)), "{refused}");
    assert!(refused.hint().is_some());
}

#[tokio::test]
async fn a_deploy_that_takes_a_handler_away_is_refused() {
    let host = host().start().await;
    let echo = component(openline_guests::ECHO, 1);
    let refused = host.deployer.deploy(&name(), echo, options()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, ChangeError::Handler(HandlerError::Firewall { .. })),
        "{refused}"
    );
    assert!(refused.hint().unwrap().contains("export_firewall!"));
    assert_eq!(status(&host, "").await, 101, "nothing has changed");

    let serves = FunctionName::new("fault-reject").unwrap();
    let gate = component(openline_guests::GATE, 1);
    let refused = host.deployer.deploy(&serves, gate, options()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(
            refused,
            ChangeError::Handler(HandlerError::WebSocket { .. })
        ),
        "{refused}"
    );
    assert!(refused.hint().unwrap().contains("run_function"));
    // A probe asks each handler that there is.
    let probed = DeployOptions {
        probe: true,
        ..options()
    };
    let both = component(openline_guests::FAULT_FIREWALL_ASYNC, 1);
    host.deployer.deploy(&serves, both, probed).await.unwrap();
    let mut client = host.connect("/open?do").await;
    assert_eq!(client.ask("hello").await, "hello");
}

#[tokio::test]
async fn claims_are_seen_where_a_rule_about_them_has_the_peer_authenticated() {
    let files = Files::new();
    let config = files.config(JWT);
    let rules = r#"
[[firewall]]
name = "edge"
[[firewall.rule]]
name = "before"
criteria = ["if arg_before exists"]
behaviors = [{ run_function = "fault-firewall" }]
[[firewall.rule]]
name = "after"
criteria = ["if claim_sub exists"]
behaviors = [{ run_function = "fault-firewall" }]
"#;
    let triggers = config.functions[0].triggers.clone();
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .function(|function| function.triggers = triggers)
        .and(openline_guests::FAULT_FIREWALL, "/unused")
        .function(|function| function.triggers.clear())
        .server(|server| server.firewall = Some("edge".into()))
        .firewalls(rules)
        .start()
        .await;
    let token = token(&json!({"sub": "ann", "exp": now() + 600}));
    let bearer = format!("Bearer {token}");
    let claims = async |query: &str| {
        let path = format!("/reject/x?do=show{query}");
        let answer = ask(&host, &path, &[("authorization", &bearer)]).await;
        let facts = String::from_utf8(answer.body).unwrap();
        let claims = facts.lines().find_map(|it| it.strip_prefix("claims "));
        claims.map(str::to_owned)
    };
    assert_eq!(claims("&before").await.as_deref(), Some("none"));
    let verified = claims("").await.unwrap();
    assert!(verified.contains("\"sub\":\"ann\""), "{verified}");
    assert_eq!(ask(&host, "/reject/x?do=show", &[]).await.status, 401);
}

#[tokio::test]
async fn the_gate_keeps_out_peers_that_ask_for_what_scanners_ask_for() {
    let rules = "[[firewall]]\nname = \"edge\"\n[[firewall.rule]]\nname = \"gate\"\n\
                 behaviors = [{ run_function = \"gate\" }]\n";
    let host = Host::with(openline_guests::FAULT_REJECT, "/open")
        .and(openline_guests::GATE, "/unused")
        .function(|function| function.triggers.clear())
        .instance(|instance| instance.instances = 1)
        .server(|server| server.firewall = Some("edge".into()))
        .firewalls(rules)
        .start()
        .await;
    assert_eq!(seen(&host, "", "x-gate").await, "passed");
    assert_eq!(ask(&host, "/.git/config", &[]).await.status, 403);
    let stays_out = ask(&host, "/open", &[]).await;
    assert_eq!(stays_out.body, b"scanners stay out\n");
    // Others do not suffer for it.
    let mut other = Raw::connect_from([127, 0, 0, 2], host.address).await;
    other.send(Head::right("/open").text().as_bytes()).await;
    assert!(other.head().await.starts_with("HTTP/1.1 101 "));
}

/// A host of the real binary, whose configuration has this function beside the
/// echo, and a rule that names the one or the other.
struct Configured(TempDir);

impl Configured {
    fn new(function: &str, component: &str, named: &str) -> Self {
        let configured = Self(TempDir::new().unwrap());
        configured.write(function, component, named);
        configured
    }

    fn write(&self, function: &str, component: &str, named: &str) {
        let echo = openline_guests::ECHO;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\nfirewall = \"edge\"\n\
             [[function]]\nname = \"echo\"\ncomponent = {echo:?}\nroute = \"/echo\"\n\
             [[function]]\n{function}\ncomponent = {component:?}\n\
             [[firewall]]\nname = \"edge\"\ndebug_rules = true\n\
             [[firewall.rule]]\nname = \"asked\"\nbehaviors = [{{ run_function = \"{named}\" }}]\n"
        );
        fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("openline.toml")
    }

    /// Runs a command, which is to fail with these words.
    async fn fails(&self, command: &str, words: &[&str]) {
        let path = self.path();
        let ended = openline(&[command, "--config", path.to_str().unwrap()]).await;
        ended.failed(ended.code.unwrap_or_default(), words);
        assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_log_has_what_a_function_has_decided_where_rules_are_recorded() {
    let configured = Configured::new("name = \"gate\"", openline_guests::GATE, "gate");
    let path = configured.path();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let passed = Client::open(host.address, "/echo", &[]).await;
    assert!(passed.is_ok());
    host.told("edge/asked (gate: allow)").await;
    let refused = Client::open(host.address, "/.env", &[]).await;
    assert_eq!(refused.err().unwrap().status, 403);
    host.told("edge/asked (gate: deny)").await;

    // A reload that takes the handler away, or leads a trigger to it, is refused.
    configured.write("name = \"gate\"", openline_guests::CHAT, "gate");
    host.signal("HUP").await;
    host.told("does not export `firewall`").await;
    host.told("not reloaded").await;
    configured.write(
        "name = \"gate\"\nroute = \"/gate\"",
        openline_guests::GATE,
        "gate",
    );
    host.signal("HUP").await;
    host.told("exports no WebSocket handler").await;
    host.told("not reloaded").await;
    let out = Client::open(host.address, "/echo", &[]).await;
    assert_eq!(out.err().unwrap().status, 403, "the gate is as it was");
}

#[tokio::test]
async fn a_configuration_whose_functions_lack_a_handler_is_refused() {
    let routed = "name = \"gate\"\nroute = \"/gate\"";
    let configured = Configured::new(routed, openline_guests::GATE, "gate");
    let expected = [
        "trigger `gate` of `gate`",
        "exports no WebSocket handler",
        "run_function",
    ];
    configured.fails("check", &expected).await;
    configured.fails("serve", &expected).await;

    let routed = "name = \"chat\"\nroute = \"/chat\"";
    configured.write(routed, openline_guests::CHAT, "chat@live");
    let expected = [
        "rule `asked` of firewall `edge`",
        "`chat@live`",
        "does not export `firewall`",
        "export_firewall!",
    ];
    configured.fails("check", &expected).await;
    configured.fails("serve", &expected).await;

    // One that no rule names needs a route.
    configured.write("name = \"gate\"", openline_guests::GATE, "echo");
    let expected = ["`gate` has no route and no trigger", "run_function"];
    configured.fails("check", &expected).await;

    configured.write("name = \"gate\"", openline_guests::GATE, "gate");
    let path = configured.path();
    let path = path.to_str().unwrap();
    let words = ["firewall", "test", "--config", path, "/echo"];
    let tested = openline(&words).await;
    assert_eq!(tested.code, Some(0), "{}", tested.stderr);
    let decides = "asks the function `gate`, which decides";
    assert!(tested.stdout.contains(decides), "{}", tested.stdout);
}
