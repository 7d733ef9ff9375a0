//! Triggers: which requests reach a function, by host, path, method and network,
//! whatever their spelling.

use openline_core::config::FunctionConfig;
use openline_core::route::Route;
use openline_core::trigger::{HostPattern, Methods, OriginPattern, Trigger};

use super::request::{Ask, Request};
use crate::harness::{AdminHost, Host};

fn trigger(hosts: &[&str], route: &str) -> Trigger {
    let hosts = hosts.iter().map(|host| HostPattern::new(host).unwrap());
    Trigger {
        hosts: hosts.collect(),
        ..Trigger::new(Route::new(route).unwrap())
    }
}

/// Replaces the triggers of a function.
fn with(triggers: Vec<Trigger>) -> impl FnOnce(&mut FunctionConfig) {
    move |function| function.triggers = triggers
}

fn on(host: &str, path: &str) -> Request {
    Request::right(path).changed("Host", host)
}

#[tokio::test]
async fn the_host_of_a_request_chooses_the_function() {
    let host = Host::with(openline_guests::ECHO, "/a")
        .function(with(vec![trigger(&["chat.example.org"], "/a")]))
        .and(openline_guests::CHAT, "/a")
        .function(with(vec![trigger(&["*.example.org"], "/a")]))
        .and(openline_guests::COUNTER, "/everywhere")
        .start()
        .await;
    let accepted = [
        ("chat.example.org", "/a"),
        ("CHAT.Example.org.:8080", "/a"),
        ("other.example.org", "/a?nick=ada"),
        ("a.b.example.org:1", "/a?nick=ada"),
        ("chat.example.org", "/everywhere"),
        ("127.0.0.1", "/everywhere"),
        ("[::1]:80", "/everywhere"),
    ];
    for (name, path) in accepted {
        let answer = on(name, path).ask(&host).await;
        assert_eq!(answer.status, 101, "{name}{path}");
    }
    for (name, path) in [
        ("example.org", "/a"),
        ("chat.example.org.evil.com", "/a"),
        ("127.0.0.1", "/a"),
        ("chat.example.org", "/b"),
    ] {
        on(name, path).refused(&host, 404, "not_found").await;
    }
    // A target with a host counts, and may not contradict `Host`.
    let absolute = |name: &str| on(name, "/a").with_line("GET http://chat.example.org/a HTTP/1.1");
    let answer = absolute("Chat.example.org:80").ask(&host).await;
    assert_eq!(answer.status, 101);
    for other in ["other.example.org", "chat.example.org:81"] {
        absolute(other).refused(&host, 400, "bad_host").await;
    }
}

#[tokio::test]
async fn a_function_reads_the_one_spelling_of_its_host() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    for (sent, read) in [
        ("localhost", "localhost"),
        ("LocalHost.:0080", "localhost:80"),
        ("[0:0::1]:", "[::1]"),
    ] {
        let asked = on(sent, "/reject?status=403&body=no&show=host");
        let answer = asked.ask(&host).await;
        assert_eq!((answer.status, answer.header("shown")), (403, Some(read)));
    }
}

#[tokio::test]
async fn all_spellings_of_a_path_meet_the_same_trigger() {
    let host = Host::with(openline_guests::ECHO, "/a/~b")
        .and(openline_guests::CHAT, "/rooms/{*room}")
        .start()
        .await;
    for path in [
        "/a/~b",
        "/a/%7Eb",
        "/a/%7e%62",
        "//a///~b",
        "/x/../a/./~b",
        "/x/%2e%2E/a/%2e/~b",
        "/../a/~b",
    ] {
        assert_eq!(Request::right(path).ask(&host).await.status, 101, "{path}");
    }
    for (path, room) in [
        ("/rooms/a/b%20c", "a/b c"),
        ("/rooms//a", "a"),
        ("/rooms/x/../a/", "a/"),
    ] {
        let mut client = host.connect(&format!("{path}?nick=ada")).await;
        let welcome = format!("* welcome to {room}, ada: 1 here");
        assert_eq!(client.next_text().await, welcome);
    }
    for path in [
        "/a/~B",
        "/a/~b/",
        "/a%2F~b",
        "/rooms/",
        "/rooms",
        "/a/~b/%2e",
    ] {
        Request::right(path).refused(&host, 404, "not_found").await;
    }
    for path in [
        "/a//../b",
        "/a%00",
        "/a%2",
        "/a%zz",
        "/a\\b",
        "/rooms/a%2Fb",
        "/rooms/%ff",
    ] {
        Request::right(path).refused(&host, 400, "bad_path").await;
    }
}

#[tokio::test]
async fn no_spelling_leads_around_the_paths_of_the_host() {
    let host = Host::with(openline_guests::ECHO, "/{*rest}").start().await;
    for path in [
        "/.openline/live",
        "/%2eopenline/live",
        "//.openline//live",
        "/x/../.openline/live",
        "/.%6fpenline/%6Cive",
    ] {
        let plain = Request::line(&format!("GET {path} HTTP/1.1")).with("Host", "localhost");
        assert_eq!(plain.ask(&host).await.status, 200, "{path}");
        let upgrade = Request::right(path).ask(&host).await;
        assert_eq!(upgrade.status, 200, "{path}");
    }
    assert_eq!(Request::right("/.openliner").ask(&host).await.status, 101);
}

#[tokio::test]
async fn a_function_sees_the_one_spelling_of_the_path_and_the_query_as_it_was_sent() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/a/{b}")
        .start()
        .await;
    let query = "status=403&uri&q=%62//..";
    let answer = Request::right(&format!("/a//%62%2f?{query}"))
        .ask(&host)
        .await;
    let expected = (403, format!("/a/b%2F?{query}"));
    assert_eq!((answer.status, answer.body), expected);
}

#[tokio::test]
async fn an_ambiguous_request_is_refused_with_words() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let right = Request::right("/echo");
    let twice = right.clone().with("Host", "localhost");
    let answer = twice.refused(&host, 400, "bad_host").await;
    assert!(answer.body.contains("several"), "{}", answer.body);
    for name in ["", "a b", "user@localhost", "a/b", "localhost:port", "a..b"] {
        let odd = right.clone().changed("Host", name);
        odd.refused(&host, 400, "bad_host").await;
    }
    for options in [
        "upgrade, host",
        "upgrade, Origin",
        "Upgrade,sec-websocket-key",
    ] {
        let odd = right.clone().changed("Connection", options);
        odd.refused(&host, 400, "bad_connection").await;
    }
    let fine = right.changed("Connection", "Upgrade, HTTP2-Settings");
    assert_eq!(fine.ask(&host).await.status, 101);
}

#[tokio::test]
async fn a_trigger_takes_its_methods_and_a_websocket_needs_get() {
    let methods = |words: &[&str]| Methods::new(words).unwrap();
    let host = Host::with(openline_guests::ECHO, "/a")
        .function(with(vec![
            Trigger {
                methods: methods(&["POST", "PUT"]),
                ..trigger(&[], "/a")
            },
            Trigger {
                methods: methods(&["GET", "POST"]),
                ..trigger(&[], "/b")
            },
        ]))
        .start()
        .await;
    let answer = Request::right("/a");
    let answer = answer.refused(&host, 405, "method_not_allowed").await;
    assert_eq!(answer.header("allow"), Some("POST, PUT"));
    let line = |line: &str| Request::right("/b").with_line(line);
    let answer = line("DELETE /b HTTP/1.1");
    let answer = answer.refused(&host, 405, "method_not_allowed").await;
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    // The trigger takes it, and the function only speaks WebSocket.
    let answer = line("POST /b HTTP/1.1");
    let answer = answer.refused(&host, 405, "method_not_allowed").await;
    assert_eq!(answer.header("allow"), Some("GET"));
    let plain = line("POST /b HTTP/1.1").without("Upgrade");
    plain.refused(&host, 426, "upgrade_required").await;
    assert_eq!(Request::right("/b").ask(&host).await.status, 101);
}

#[tokio::test]
async fn a_trigger_that_is_not_for_the_internet_takes_peers_of_private_networks() {
    let private = Trigger {
        internet: false,
        ..trigger(&[], "/inner")
    };
    let networks = |networks: &'static [&'static str]| {
        let private = private.clone();
        let networks = networks.iter().map(|text| text.parse().unwrap());
        Host::with(openline_guests::ECHO, "/echo")
            .function(|function| function.triggers.push(private))
            .server(|server| server.private_networks = networks.collect())
            .start()
    };
    let outside = networks(&["10.0.0.0/8", "127.0.0.2/32"]).await;
    let inner = Request::right("/inner");
    inner.refused(&outside, 403, "internet_disabled").await;
    assert_eq!(Request::right("/echo").ask(&outside).await.status, 101);
    // A forged header changes nothing.
    let forged = inner.clone().with("X-Forwarded-For", "10.0.0.1");
    forged.refused(&outside, 403, "internet_disabled").await;
    let inside = networks(&["::1/128", "127.0.0.0/31"]).await;
    assert_eq!(inner.ask(&inside).await.status, 101);
    let by_default = Host::with(openline_guests::ECHO, "/echo")
        .function(|function| function.triggers.push(private.clone()))
        .start()
        .await;
    assert_eq!(inner.ask(&by_default).await.status, 101);
}

/// A host with triggers for pages of some, of all, and of no other sites.
async fn with_origins() -> Host {
    let listed = |origins: &[&str]| Trigger {
        origins: origins
            .iter()
            .map(|it| OriginPattern::new(it).unwrap())
            .collect(),
        ..trigger(&[], "/listed")
    };
    Host::with(openline_guests::ECHO, "/echo")
        .function(|function| {
            function.triggers.extend([
                listed(&["https://app.example.org", "*.example.com"]),
                Trigger {
                    origins: vec![OriginPattern::Any],
                    ..trigger(&[], "/all")
                },
                Trigger {
                    origin_required: true,
                    ..trigger(&[], "/browsers")
                },
            ]);
        })
        .start()
        .await
}

#[tokio::test]
async fn a_page_of_another_site_may_not_open_a_connection() {
    let host = with_origins().await;
    let from = |path: &str, origin: &str| {
        Request::right(path)
            .changed("Host", "chat.org:8080")
            .with("Origin", origin)
    };
    for (path, origin) in [
        ("/echo", "http://chat.org:8080"),
        ("/echo", "https://Chat.ORG.:8080"),
        ("/browsers", "http://chat.org:8080"),
        ("/listed", "http://chat.org:8080"),
        ("/listed", "https://app.example.org"),
        ("/listed", "http://a.b.example.com"),
        ("/all", "https://evil.com"),
        ("/all", "null"),
    ] {
        assert_eq!(
            from(path, origin).ask(&host).await.status,
            101,
            "{path} {origin}"
        );
    }
    for (path, origin) in [
        ("/echo", "null"),
        ("/echo", "https://evil.com"),
        ("/echo", "http://chat.org"),
        ("/echo", "http://chat.org:8081"),
        ("/echo", "http://chat.org:8080.evil.com"),
        ("/echo", "http://evil.com#chat.org:8080"),
        ("/echo", "chat.org:8080"),
        ("/echo", ""),
        ("/listed", "http://app.example.org"),
        ("/listed", "https://app.example.org.evil.com"),
        ("/listed", "https://example.com"),
        ("/listed", "null"),
    ] {
        from(path, origin)
            .refused(&host, 403, "origin_refused")
            .await;
    }
    let twice = from("/echo", "http://chat.org:8080").with("Origin", "https://evil.com");
    twice.refused(&host, 403, "origin_refused").await;
    // Programs that are no browsers.
    assert_eq!(Request::right("/echo").ask(&host).await.status, 101);
    Request::right("/browsers")
        .refused(&host, 403, "origin_refused")
        .await;
    // The refusals are counted by their word.
    let state = host.state().await;
    assert_eq!(
        state["handshakes"]["refused"]["origin_refused"], 14,
        "{state}"
    );
}

#[tokio::test]
async fn the_page_of_the_admin_interface_may_open_connections() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let from = |origin: &str| {
        let asked = format!("127.0.0.1:{}", host.address.port());
        Request::right("/echo")
            .changed("Host", &asked)
            .with("Origin", origin)
    };
    let port = host.admin.port();
    for page in ["127.0.0.1", "localhost", "[::1]"] {
        let request = from(&format!("http://{page}:{port}"));
        assert_eq!(request.ask(&host).await.status, 101, "{page}");
    }
    for other in [
        format!("http://evil.com:{port}"),
        format!("http://127.0.0.1:{}", port ^ 1),
    ] {
        from(&other).refused(&host, 403, "origin_refused").await;
    }
}
