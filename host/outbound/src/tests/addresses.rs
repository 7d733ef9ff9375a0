//! What names lead to: only addresses that were checked, whatever the DNS says and
//! however a URL is written.

use super::*;
use crate::hops::Hops;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Calls a name that leads to these addresses, with entries for a server of this
/// machine, and returns what comes of it.
async fn led_to(
    entries: &[&str],
    found: &'static [&'static str],
) -> (Result<String, OutboundError>, u32) {
    let server = Server::saying(HELLO).await;
    let port = server.port().to_string();
    let entries: Vec<_> = entries.iter().map(|it| it.replace("PORT", &port)).collect();
    let entries: Vec<_> = entries.iter().map(String::as_str).collect();
    let function = Function::new(&entries, Names::new(|_, _| found.to_vec()), |_| {});
    let answer = function.text(&format!("http://a.example:{port}/")).await;
    (answer, server.accepted())
}

#[tokio::test]
async fn a_name_leads_only_to_addresses_that_its_entry_allows() {
    let denied = Err(OutboundError::AddressDenied("a.example".into()));
    for found in [
        &["127.0.0.1"][..],
        &["::ffff:127.0.0.1"],
        &["0.0.0.0"],
        &["::"],
        &["::1"],
        &["::127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["10.0.0.1", "127.0.0.1"],
    ] {
        for entry in ["a.example:PORT", "*.example:PORT", "*:PORT"] {
            let got = led_to(&[entry], found).await;
            assert_eq!(got, (denied.clone(), 0), "{entry} {found:?}");
        }
    }
    for found in [
        &["169.254.169.254"][..],
        &["::ffff:169.254.169.254"],
        &["0.0.0.0"],
    ] {
        let got = led_to(&["private a.example:PORT"], found).await;
        assert_eq!(got, (denied.clone(), 0), "{found:?}");
    }
    for entries in [
        &["private a.example:PORT"][..],
        &["private *.example:PORT"],
        &["a.example:PORT", "127.0.0.1:PORT"],
        &["a.example:PORT", "127.0.0.0/8:PORT"],
    ] {
        for found in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"]] {
            let got = led_to(entries, found).await;
            assert_eq!(got, (Ok("hello".into()), 1), "{entries:?}");
        }
    }
}

#[tokio::test]
async fn of_several_addresses_only_the_allowed_ones_are_dialled() {
    let found = &["169.254.169.254", "10.0.0.1", "127.0.0.1", "fd00:ec2::254"];
    let got = led_to(&["a.example:PORT", "127.0.0.1:PORT"], found).await;
    assert_eq!(got, (Ok("hello".into()), 1));
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next() {
    // Nothing listens at the others.
    let found = &["127.0.0.9", "127.0.0.8", "127.0.0.1"];
    let got = led_to(&["private a.example:PORT"], found).await;
    assert_eq!(got, (Ok("hello".into()), 1));
    let got = led_to(&["private a.example:PORT"], &["127.0.0.9"]).await;
    assert_eq!(got, (Err(OutboundError::Refused), 0));
    let got = led_to(&["private a.example:PORT"], &[]).await;
    assert_eq!(got, (Err(OutboundError::Lookup), 0));
}

#[tokio::test]
async fn a_name_that_changes_is_checked_each_time() {
    let server = Server::saying_once(HELLO).await;
    let port = server.port();
    // First an allowed address, then another one, by turns.
    let names = Names::new(|_, before| match before % 2 {
        0 => vec!["127.0.0.1"],
        _ => vec!["127.0.0.2"],
    });
    let entries = [format!("a.example:{port}"), format!("127.0.0.1:{port}")];
    let entries = entries.each_ref().map(String::as_str);
    let function = Function::new(&entries, Arc::clone(&names), |it| {
        it.outbound_idle_connections = 0;
    });
    let url = format!("http://a.example:{port}/");
    for round in 0..3 {
        // One look-up each: the address that was checked is the one that is dialled.
        assert_eq!(function.text(&url).await.unwrap(), "hello", "{round}");
        let error = function.text(&url).await.unwrap_err();
        assert_eq!(error, OutboundError::AddressDenied("a.example".into()));
    }
    assert_eq!((names.asked().len(), server.accepted()), (6, 3));
}

#[tokio::test]
async fn a_name_that_is_not_listed_is_not_looked_up() {
    let names = home();
    let function = Function::new(&["*.example", "b.test:81"], Arc::clone(&names), |_| {});
    for url in [
        "http://example/",
        "http://secret.attacker.test/",
        "http://b.test/",
        "https://b.test/",
        "http://a.example:81/",
        "http://a.example.test/",
        "http://127.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
    ] {
        let error = function.get(url).await.unwrap_err();
        assert!(matches!(error, OutboundError::Denied(_)), "{url}: {error}");
    }
    assert!(names.asked().is_empty());
    let counts = function.calls.counts();
    assert_eq!((counts.calls, counts.connects), (9, 0));
    assert_eq!(counts.failures["denied"], 9);
}

#[tokio::test]
async fn no_spelling_of_an_address_is_taken_for_a_name() {
    let names = home();
    let function = Function::new(&["*", "*:8080"], Arc::clone(&names), |_| {});
    for authority in [
        "0x7f.1",
        "0x7f000001",
        "0X7F000001",
        "127.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "a@127.0.0.1",
        "api.example@127.0.0.1:8080",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost%2eevil",
        "127.0.0.1%2f",
        "[::1]:8080",
        "[fe80::1%25lo]",
    ] {
        let url = format!("http://{authority}/");
        let Ok(uri) = url.parse::<http::Uri>() else {
            continue;
        };
        let mut request = request("http://a/");
        *request.uri_mut() = uri;
        let error = function.call(request).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Denied(_) | OutboundError::Url),
            "{authority}: {error}"
        );
    }
    // A name that looks harmless leads home all the same, and is not called.
    for name in [
        "localhost",
        "LOCALHOST.",
        "10-10-10-10.id.plex.example",
        "7f000001.nip.example",
    ] {
        let error = function.get(&format!("http://{name}/")).await.unwrap_err();
        assert!(matches!(error, OutboundError::AddressDenied(_)), "{name}");
    }
    assert_eq!(names.asked()[1], "localhost", "in its one spelling");
}

#[tokio::test]
async fn the_listeners_by_which_the_host_is_operated_are_never_called() {
    let admin = Server::saying(HELLO).await;
    let port = admin.port();
    let entries = [
        format!("127.0.0.1:{port}"),
        format!("127.0.0.0/8:{port}"),
        format!("private home.example:{port}"),
    ];
    let entries = entries.each_ref().map(String::as_str);
    let function = Function::new(&entries, home(), |_| {});
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://home.example:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
    ];
    for url in &urls {
        assert_eq!(function.text(url).await.unwrap(), "hello", "{url}");
    }
    let before = admin.accepted();
    for listener in [admin.address, SocketAddr::from(([0, 0, 0, 0], port))] {
        function.outbound.set_own_listeners([listener]);
        function
            .calls
            .replace(terms(&entries, &FunctionLimits::default()));
        for url in &urls {
            let error = function.text(url).await.unwrap_err();
            assert_eq!(error, OutboundError::OwnListener, "{url} {listener}");
        }
    }
    assert_eq!(admin.accepted(), before);
}

#[tokio::test]
async fn a_look_up_that_takes_too_long_ends_the_call() {
    #[derive(Debug)]
    struct Never;
    impl Resolve for Never {
        fn resolve(&self, _: &str) -> Resolving {
            Box::pin(std::future::pending())
        }
    }
    let config = ServerConfig::default();
    let outbound = Outbound::with_resolver(&config, Arc::new(Never), Handle::current());
    let limits = FunctionLimits {
        outbound_connect_timeout: Duration::from_millis(50),
        ..FunctionLimits::default()
    };
    let calls = outbound.function(&FunctionName::new("f").unwrap(), terms(&["a"], &limits));
    let call = calls.call(request("http://a/"), CallOptions::default());
    let error = tokio::time::timeout(SOON, call).await.unwrap().unwrap_err();
    assert_eq!(error, OutboundError::LookupTimeout);
    assert_eq!((outbound.in_flight(), calls.counts().in_flight), (0, 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_others() {
    let target = Server::saying(HELLO).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        target.port()
    );
    let server = Server::saying(location).await;
    let (function, url) = calling(&server, |_| {});
    let answer = function.get(&url).await.unwrap();
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(target.accepted(), 0);
    // The function may try, and is checked again.
    let error = function.get(&location).await.unwrap_err();
    assert!(matches!(error, OutboundError::Denied(_)), "{error}");
    assert_eq!(target.accepted(), 0);
}

#[tokio::test]
async fn a_call_that_goes_in_a_circle_ends() {
    // The server tells what it has got.
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let server = Server::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            while let Some(head) = head(&mut stream).await {
                tell.send(head).await.unwrap();
                stream.write_all(HELLO.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let (function, url) = calling(&server, |_| {});
    let mut hops = Hops::default();
    for pass in 0..crate::HOPS_MAX {
        let options = CallOptions {
            hops: hops.clone(),
            ..CallOptions::default()
        };
        let answer = function.calls.call(request(&url), options).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "hello");
        let head = told.recv().await.unwrap();
        let line = head
            .lines()
            .find(|it| it.starts_with("cdn-loop: "))
            .unwrap();
        assert_eq!(
            line.matches("openline-").count(),
            pass as usize + 1,
            "{line}"
        );
        // What a function gets, it would have as its own way.
        let mut headers = http::HeaderMap::new();
        headers.insert(crate::CDN_LOOP, line["cdn-loop: ".len()..].parse().unwrap());
        hops = Hops::of(&headers);
    }
    let options = CallOptions {
        hops,
        ..CallOptions::default()
    };
    let error = function
        .calls
        .call(request(&url), options)
        .await
        .unwrap_err();
    assert_eq!(error, OutboundError::Circle);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_stream_for_other_protocols_passes_the_same_checks() {
    use openline_core::outbound::{Destination, Scheme};
    let server = Server::saying(HELLO).await;
    let (function, _) = calling(&server, |_| {});
    let to = |host: &str| {
        let authority = format!("{host}:{}", server.port());
        Destination::parse(Scheme::Http, &authority).unwrap()
    };
    let mut stream = function
        .calls
        .connect(to("home.example"), None)
        .await
        .unwrap();
    stream.write_all(b"x\r\n\r\n").await.unwrap();
    let mut start = [0; 8];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1");
    let error = function
        .calls
        .connect(to("127.0.0.1"), None)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::Denied(_)), "{error}");
    function.outbound.set_own_listeners([server.address]);
    let error = function
        .calls
        .connect(to("home.example"), None)
        .await
        .unwrap_err();
    assert_eq!(error, OutboundError::OwnListener);
}
