//! Authentication of connections: who gets in by tokens, signatures and tickets,
//! what the function learns, and how a connection ends with its credential.
//!
//! Tokens and signatures are made here, by ring and by hand, not by the code that
//! verifies them.

use std::fmt::Write as _;
use std::fs;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use openline_authentication::{Revocation, TicketRequest};
use openline_control::{ConfiguredComponent, Deployer};
use openline_core::authentication::UnixTime;
use openline_core::component::Component;
use openline_core::config::Config;
use openline_core::name::{FunctionName, TriggerName};
use openline_firewall::rules::Firewalls;
use openline_kit::head::Head;
use ring::{digest, hmac};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, Closed, Host, Raw, Serving, openline};

pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The time now, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens end by the clock on the wall"
)]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// A token that is signed by HS256.
pub fn token(claims: &Value) -> String {
    signed(claims, SECRET)
}

pub fn signed(claims: &Value, secret: &[u8]) -> String {
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let text = format!(
        "{}.{}",
        encoded(r#"{"alg":"HS256"}"#),
        encoded(&claims.to_string())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{signature}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Files of secrets, and hosts that name them.
pub struct Files(pub TempDir);

impl Files {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), SECRET).unwrap();
        Self(folder)
    }

    fn place(&self) -> String {
        format!("file:{}", self.0.path().join("secret").display())
    }

    /// The configuration of a function with a trigger at `/reject` that has
    /// these lines.
    pub fn config(&self, lines: &str) -> Config {
        let component = openline_guests::FAULT_REJECT;
        let lines = lines.replace("{place}", &self.place());
        let text = format!(
            "[[function]]\nname = \"fault-reject\"\ncomponent = {component:?}\n\
             [[function.trigger]]\nname = \"t\"\nroute = \"/reject/{{*rest}}\"\n{lines}"
        );
        Config::parse(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
    }

    pub async fn host(&self, lines: &str) -> Host {
        self.host_behind(lines, "").await
    }

    /// The same, with firewalls.
    pub async fn host_behind(&self, lines: &str, firewalls: &str) -> Host {
        let config = self.config(&format!("{lines}{firewalls}"));
        Host::with(openline_guests::FAULT_REJECT, "/reject")
            .function(move |function| {
                function.triggers = config.functions[0].triggers.clone();
                function.instance.affinity = config.functions[0].instance.affinity.clone();
            })
            .firewalls(firewalls)
            .start()
            .await
    }
}

pub const JWT: &str = "auth = \"jwt\"\n[function.trigger.jwt]\nsecret = \"{place}\"\n";

/// A header of an answer; empty if it has none.
fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}

pub fn end(code: u16, reason: &str) -> Closed {
    Closed {
        code,
        reason: reason.into(),
    }
}

/// Asks to open a connection: the client with the answer's header `shown`, or
/// the status, the word and the challenge of the refusal.
pub async fn ask(
    host: &Host,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(Client, String), (u16, String, String)> {
    match Client::open(host.address, target, headers).await {
        Ok(client) => {
            let shown = header(&client.headers, "shown");
            Ok((client, shown))
        }
        Err(refused) => {
            let header = |name: &str| header(&refused.headers, name);
            Err((
                refused.status,
                header("openline-error-type"),
                header("www-authenticate"),
            ))
        }
    }
}

async fn refused(host: &Host, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    match ask(host, target, headers).await {
        Ok((_, shown)) => panic!("{target} {headers:?} was let in: {shown}"),
        Err((status, word, challenge)) => {
            assert_eq!(status == 401, !challenge.is_empty(), "{word}: {challenge}");
            (status, word)
        }
    }
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_lets_in_and_each_wrong_one_is_refused_by_its_word() {
    let host = Files::new().host(JWT).await;
    let target = "/reject/a?show=claims";
    let good = json!({"sub": "ann", "exp": now() + 600});
    let authorization = bearer(&token(&good));
    let (mut client, shown) = ask(&host, target, &[("authorization", &authorization)])
        .await
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), good);
    assert_eq!(client.ask("hello").await, "hello");

    assert_eq!(
        refused(&host, target, &[]).await,
        (401, "token_missing".into())
    );
    let expired = json!({"sub": "ann", "exp": now() - 31});
    let header = r#"{"alg":"none"}"#;
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(good.to_string())
    );
    for (wrong, word) in [
        (token(&expired), "token_expired"),
        (token(&json!({"sub": "ann"})), "token_invalid"),
        (
            signed(&good, b"another secret of 32 bytes......"),
            "token_invalid",
        ),
        (none, "token_invalid"),
        (format!("{}x", token(&good)), "token_invalid"),
        ("a".repeat(4000), "token_invalid"),
    ] {
        let answer = refused(&host, target, &[("authorization", &bearer(&wrong))]).await;
        assert_eq!(answer, (401, word.to_owned()), "{wrong}");
    }
    let refused = host.gateway.tally().refused();
    assert_eq!(refused["token_missing"], 1);
    assert_eq!(refused["token_invalid"], 5);
}

#[tokio::test]
async fn a_browser_carries_its_token_as_a_subprotocol_that_the_function_does_not_see() {
    let lines = format!(
        "{JWT}lookup = \"subprotocol:bearer.,query:token\"\nclaims = \"header:sub:x-user\"\n"
    );
    let host = Files::new().host(&lines).await;
    let good = token(&json!({"sub": "ann", "exp": now() + 600}));
    let offered = format!("chat, bearer.{good}");
    let headers = [
        ("sec-websocket-protocol", offered.as_str()),
        ("x-user", "root"),
    ];
    let shown = |name: &str| format!("/reject/a?show={name}&subprotocol=chat");
    let (client, protocols) = ask(&host, &shown("sec-websocket-protocol"), &headers)
        .await
        .unwrap();
    assert_eq!(protocols, "chat");
    assert_eq!(header(&client.headers, "sec-websocket-protocol"), "chat");
    let (_, user) = ask(&host, &shown("x-user"), &headers).await.unwrap();
    assert_eq!(user, "ann");
    // The function cannot choose what it does not see.
    let echo = format!("/reject/a?subprotocol=bearer.{good}");
    let answer = ask(&host, &echo, &headers).await.unwrap_err();
    assert_eq!((answer.0, &*answer.1), (502, "bad_answer"));
    let twice = format!("bearer.{good}, bearer.b");
    let twice = [("sec-websocket-protocol", twice.as_str())];
    assert_eq!(
        refused(&host, "/reject/a", &twice).await,
        (401, "token_invalid".into())
    );
}

#[tokio::test]
async fn unchecked_paths_are_open_but_no_peer_writes_its_own_claims() {
    let lines = format!("{JWT}unchecked = [\"/reject/open/*\"]\nclaims = \"header:sub:x-user\"\n");
    let host = Files::new().host(&lines).await;
    let forged = [("x-user", "root"), ("X_User", "root"), ("x.user", "root")];
    for (show, expected) in [
        ("x-user", ""),
        ("x_user", ""),
        ("x.user", ""),
        ("claims", "none"),
    ] {
        let target = format!("/reject/open/a?show={show}");
        let (_, shown) = ask(&host, &target, &forged).await.unwrap();
        assert_eq!(shown, expected, "{show}");
    }
    for closed in ["/reject/open", "/reject/closed/a", "/reject/open/../a"] {
        let answer = refused(&host, closed, &forged).await;
        assert_eq!(answer, (401, "token_missing".into()), "{closed}");
    }
}

#[tokio::test]
async fn a_claim_chooses_the_instance() {
    let lines = format!("{JWT}[function.instance]\naffinity = \"claim:room\"\n");
    let host = Files::new().host(&lines).await;
    let ask_as = async |claims: Value| {
        let authorization = bearer(&token(&claims));
        ask(&host, "/reject/a", &[("authorization", &authorization)]).await
    };
    let room = |room: Value| json!({"room": room, "exp": now() + 600});
    let mut kept = Vec::new();
    for name in ["a", "b", "a"] {
        kept.push(ask_as(room(name.into())).await.unwrap());
    }
    let views = host.deployer.functions();
    let instances = views[0].versions.iter().flat_map(|it| &it.instances);
    let mut keys: Vec<_> = instances.filter_map(|it| it.key.clone()).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    for none in [
        room(Value::Null),
        room("".into()),
        room("r".repeat(513).into()),
    ] {
        let answer = ask_as(none).await.unwrap_err();
        assert_eq!((answer.0, &*answer.1), (400, "affinity"));
    }
}

#[tokio::test]
async fn what_is_revoked_is_closed_at_once_and_stays_out() {
    let host = Files::new().host(JWT).await;
    let made = now() - 10;
    let claims =
        |id: &str, sub: &str| json!({"jti": id, "sub": sub, "iat": made, "exp": made + 600});
    let open = async |id: &str, sub: &str| {
        let authorization = bearer(&token(&claims(id, sub)));
        ask(&host, "/reject/a", &[("authorization", &authorization)]).await
    };
    let mut one = open("one", "ann").await.unwrap().0;
    let mut two = open("two", "ann").await.unwrap().0;
    let mut three = open("three", "bob").await.unwrap().0;
    let function = FunctionName::new("fault-reject").unwrap();
    let expires = UnixTime(made + 600);
    let by_name = Revocation::Token {
        id: "one".into(),
        expires,
    };
    let by_subject = Revocation::Subject {
        subject: "ann".into(),
        before: UnixTime(now()),
        expires,
    };
    let by_age = Revocation::Before(UnixTime(now()));
    let expected = end(1008, "the token has been revoked");
    for (revocation, client, (id, sub)) in [
        (by_name, &mut one, ("one", "ann")),
        (by_subject, &mut two, ("two", "ann")),
        (by_age, &mut three, ("three", "bob")),
    ] {
        let revoked = host.deployer.revoke(&function, revocation).await.unwrap();
        assert_eq!(revoked.closed, 1, "{id}");
        assert_eq!(client.closed().await, expected);
        let answer = open(id, sub).await.unwrap_err();
        assert_eq!((answer.0, &*answer.1), (401, "token_revoked"));
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_ticket_opens_one_connection() {
    let lines = "auth = \"ticket\"\n[function.trigger.ticket]\ntickets_max = 2\n";
    let host = Files::new().host(lines).await;
    let (function, trigger) = (
        FunctionName::new("fault-reject").unwrap(),
        TriggerName::new("t").unwrap(),
    );
    let make = || {
        let request = TicketRequest {
            subject: Some("ann".into()),
            ..TicketRequest::default()
        };
        host.deployer.ticket(&function, &trigger, request)
    };
    let ticket = make().unwrap().0;
    let target = format!("/reject/a?show=claims&ticket={ticket}");
    // At the same moment, one of two.
    let (one, other) = tokio::join!(ask(&host, &target, &[]), ask(&host, &target, &[]));
    let (let_in, refused): (Vec<_>, Vec<_>) = [one, other].into_iter().partition(Result::is_ok);
    assert_eq!((let_in.len(), refused.len()), (1, 1));
    let shown = &let_in[0].as_ref().unwrap().1;
    assert_eq!(shown, r#"{"sub":"ann"}"#);
    let answer = refused[0].as_ref().unwrap_err();
    assert_eq!((answer.0, &*answer.1), (401, "ticket_invalid"));
    let answer = ask(&host, "/reject/a", &[]).await.unwrap_err();
    assert_eq!((answer.0, &*answer.1), (401, "ticket_missing"));
    assert!(make().is_ok() && make().is_ok());
    assert!(make().is_err(), "`tickets_max` are waiting");
    let other = TriggerName::new("other").unwrap();
    let none = host
        .deployer
        .ticket(&function, &other, TicketRequest::default());
    assert!(none.is_err());
}

/// A request that is signed by hand, as `host/authentication/src/signature`
/// describes it.
pub fn by_hand(host: &Host, target: &str, date: u64, nonce: &str) -> Vec<(String, String)> {
    let date = UnixTime(date).to_string();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let signed = [
        ("host", host.address.to_string()),
        ("x-openline-date", date.clone()),
        ("x-openline-nonce", nonce.to_owned()),
    ];
    let names = "host;x-openline-date;x-openline-nonce";
    let lines: String = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let empty = hex(digest::digest(&digest::SHA256, b"").as_ref());
    let canonical = format!("GET\n{path}\n{query}\n{lines}\n{names}\n{empty}");
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let text = format!("OPENLINE-HMAC-SHA256\n{hash}");
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    let authorization =
        format!("OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders={names},Signature={signature}");
    vec![
        ("x-openline-date".into(), date),
        ("x-openline-nonce".into(), nonce.into()),
        ("authorization".into(), authorization),
    ]
}

pub const SIGNATURE: &str = "auth = \"signature\"\n[[function.trigger.signature.keys]]\nid = \"ak\"\nsecret = \"{place}\"\nsubject = \"ann\"\n";

pub async fn ask_signed(
    host: &Host,
    target: &str,
    headers: &[(String, String)],
) -> Result<String, (u16, String)> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let asked = ask(host, target, &headers).await;
    asked
        .map(|(_, shown)| shown)
        .map_err(|(status, word, _)| (status, word))
}

#[tokio::test]
async fn a_signature_passes_once_and_within_its_window() {
    let host = Files::new().host(SIGNATURE).await;
    let target = "/reject/a?show=claims";
    // A date after the host's start: what came before could have been used.
    let date = now() + 2;
    let headers = by_hand(&host, target, date, "nonce-00001");
    let shown = ask_signed(&host, target, &headers).await;
    assert_eq!(shown.unwrap(), r#"{"sub":"ann"}"#);
    let replayed = ask_signed(&host, target, &headers).await;
    assert_eq!(replayed, Err((403, "signature_replayed".into())));
    for (target, date, nonce, word) in [
        // Another path than the one that is signed.
        (
            "/reject/b?show=claims",
            date,
            "nonce-00002",
            "signature_invalid",
        ),
        (target, date + 900 + 30, "nonce-00003", "signature_expired"),
        (target, now() - 901, "nonce-00004", "signature_expired"),
        // Before the start of the host.
        (target, now() - 100, "nonce-00005", "signature_expired"),
        (target, date, "short", "signature_invalid"),
    ] {
        let headers = by_hand(&host, "/reject/a?show=claims", date, nonce);
        let answer = ask_signed(&host, target, &headers).await;
        assert_eq!(answer, Err((403, word.to_owned())), "{nonce}");
    }
    let missing = ask_signed(&host, target, &[]).await;
    assert_eq!(missing, Err((401, "signature_missing".into())));
}

/// Clients leave out user information and the default port of their scheme.
#[tokio::test]
async fn a_url_is_signed_for_the_host_that_clients_send() {
    let files = Files::new();
    let host = files.host(SIGNATURE).await;
    for (written, sent) in [
        ("wss://edge.example:443", "edge.example"),
        ("wss://edge.example", "edge.example:443"),
        ("ws://ann:word@Edge.example:80", "edge.example"),
        ("wss://edge.example:8443", "edge.example:8443"),
    ] {
        let url = format!("{written}/reject/a?show=claims");
        let place = files.place();
        let sign = ["sign", &url, "--id", "ak", "--secret", &place];
        let ended = openline(&[&sign[..], &["--presign", "1min"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let target = ended.stdout.trim().strip_prefix(written).unwrap();
        let head = Head::right(target).changed("Host", sent);
        let answer = Raw::request(host.address, &head.text()).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{written}: {answer}");
    }
}

/// Reads a configuration again in a running host.
pub async fn reload(deployer: &Deployer, config: Config) -> Result<(), String> {
    let bytes = fs::read(openline_guests::FAULT_REJECT).unwrap();
    let component = ConfiguredComponent {
        function: config.functions[0].name.clone(),
        component: Ok(Component::from(bytes)),
    };
    let configured = (config, Firewalls::default());
    let reloaded = deployer.reload(configured, vec![component]).await;
    reloaded.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn nonces_survive_a_reload_and_a_bad_secret_changes_nothing() {
    let files = Files::new();
    let host = files.host(SIGNATURE).await;
    let target = "/reject/a";
    // Its clock is ahead, so that the date is after any reload.
    let headers = by_hand(&host, target, now() + 600, "nonce-00001");
    assert!(ask_signed(&host, target, &headers).await.is_ok());
    let replayed = Err((403, "signature_replayed".to_owned()));
    let table = |keys: &str| {
        let keys = format!("[function.trigger.signature]\n{keys}\n[[");
        SIGNATURE.replacen("[[", &keys, 1)
    };
    for text in [
        SIGNATURE.to_owned(),
        format!("{SIGNATURE}not_after = \"2099-01-01T00:00:00Z\"\n"),
        table("window = \"20 min\""),
        table("window = \"1 h\"\nnonces_max = 1000"),
        table("window = \"15 min\""),
    ] {
        let config = files.config(&text);
        reload(&host.deployer, config).await.unwrap();
        assert_eq!(ask_signed(&host, target, &headers).await, replayed);
    }
    // A secret that is too short, or gone: the host goes on with the one before.
    let secret = files.0.path().join("secret");
    fs::write(&secret, "short").unwrap();
    let error = reload(&host.deployer, files.config(SIGNATURE)).await;
    assert!(error.unwrap_err().contains("less than 16 bytes"));
    fs::remove_file(&secret).unwrap();
    let error = reload(&host.deployer, files.config(SIGNATURE)).await;
    assert!(error.unwrap_err().contains("cannot be read"));
    let fresh = by_hand(&host, target, now() + 2, "nonce-00002");
    assert!(ask_signed(&host, target, &fresh).await.is_ok());
    assert_eq!(ask_signed(&host, target, &headers).await, replayed);
    // Another secret is in force after a reload, and not before.
    fs::write(&secret, b"another secret of 32 bytes......").unwrap();
    reload(&host.deployer, files.config(SIGNATURE))
        .await
        .unwrap();
    let old = by_hand(&host, target, now() + 2, "nonce-00003");
    let answer = ask_signed(&host, target, &old).await;
    assert_eq!(answer, Err((403, "signature_invalid".into())));
}

#[tokio::test]
async fn the_commands_sign_check_and_make_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openline.toml");
    let component = openline_guests::FAULT_REJECT;
    let write = |more: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [[function]]\nname = \"f\"\ncomponent = {component:?}\n\
             [[function.trigger]]\nname = \"signed\"\nroute = \"/s/{{*rest}}\"\nauth = \"signature\"\n\
             [[function.trigger.signature.keys]]\nid = \"ak\"\nsecret = \"file:key\"\n\
             [[function.trigger]]\nname = \"tickets\"\nroute = \"/t\"\nauth = \"ticket\"\n{more}"
        );
        fs::write(&path, text).unwrap();
    };
    let config = path.to_str().unwrap();
    write("");
    let ended = openline(&["check", "--config", config]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("file:") && ended.stderr.contains("cannot be read"));
    fs::write(folder.path().join("key"), SECRET).unwrap();
    let ended = openline(&["check", "--config", config]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let mut serving = Serving::start(&["serve", "--config", config]).await;
    let admin = format!("http://{}", serving.admin().await);
    let address = serving.address;
    let url = format!("ws://{address}/s/a?show=claims");
    let secret = format!("file:{}", folder.path().join("key").display());
    let later = UnixTime(now() + 2).to_string();
    let sign = ["sign", &url, "--id", "ak", "--secret", &secret];
    let ended = openline(&[&sign[..], &["--date", &later]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let headers: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let opened = Client::open(address, "/s/a?show=claims", &headers).await;
    assert_eq!(header(&opened.unwrap().headers, "shown"), r#"{"sub":"ak"}"#);
    let ended = openline(&[&sign[..], &["--presign", "1min"]].concat()).await;
    let target = ended.stdout.trim().replace(&format!("ws://{address}"), "");
    assert!(
        Client::open(address, &target, &[]).await.is_ok(),
        "{target}"
    );

    let ticket = [
        "ticket",
        "f",
        "tickets",
        "--subject",
        "ann",
        "--admin",
        &admin,
    ];
    let ended = openline(&ticket).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let target = format!("/t?show=claims&ticket={}", ended.stdout.trim());
    let opened = Client::open(address, &target, &[]).await;
    let mut opened = opened.unwrap();
    assert_eq!(header(&opened.headers, "shown"), r#"{"sub":"ann"}"#);
    let revoke = ["revoke", "f", "--subject", "ann", "--admin", &admin];
    let ended = openline(&revoke).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.trim(), "revoked  f: 1 closed");
    let closed = opened.closed().await;
    assert_eq!(closed, end(1008, "the token has been revoked"));
}
