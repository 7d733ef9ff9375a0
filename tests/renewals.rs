//! Credentials of open connections: they end, unless they are renewed by keys
//! that are in force. The work of verifying renewals is bounded.

use std::fs;
use std::time::Duration;

use openline_authentication::TicketRequest;
use openline_core::authentication::UnixTime;
use openline_core::name::{FunctionName, TriggerName};
use serde_json::{Value, json};

use crate::authentication::{Files, JWT, ask, bearer, end, now, reload, signed, token};
use crate::harness::{Client, Serving, openline};

const TOO_SOON: &str = "token:token_too_soon";

/// Shows a token, again until the host looks at it: one a second.
async fn renew(client: &mut Client, message: &str) -> String {
    loop {
        let answer = client.ask(message).await;
        if answer != TOO_SOON {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_token_unless_it_is_renewed() {
    let lines =
        format!("{JWT}leeway = \"0 s\"\nexpired_close_code = 4001\nrenewal_prefix = \"token:\"\n");
    let host = Files::new().host(&lines).await;
    let open = async |claims: Value| {
        let authorization = bearer(&token(&claims));
        let opened = ask(&host, "/reject/a", &[("authorization", &authorization)]).await;
        opened.unwrap().0
    };
    // Long enough for a busy machine to open both.
    let soon = now() + 10;
    let claims = |end: u64| json!({"sub": "ann", "exp": end});
    let mut ends = open(claims(soon)).await;
    let mut stays = open(claims(soon)).await;
    let other = token(&json!({"sub": "bob", "exp": now() + 600}));
    for (message, answer) in [
        (format!("token:{other}"), "token:token_invalid"),
        ("token:".to_owned(), "token:token_invalid"),
        (format!("token:{}", token(&claims(now() + 600))), "token:ok"),
        ("tokens".to_owned(), "tokens"),
    ] {
        assert_eq!(renew(&mut stays, &message).await, answer, "{message}");
    }
    let closed = ends.closed().await;
    let expected = end(4001, "the token has expired");
    assert_eq!(closed, expected);
    assert!(now() >= soon);
    assert_eq!(stays.ask("still here").await, "still here");
    // A new token may also end earlier.
    let earlier = token(&claims(now() + 5));
    let renewed = renew(&mut stays, &format!("token:{earlier}")).await;
    assert_eq!(renewed, "token:ok");
    assert_eq!(stays.closed().await, expected);
}

#[tokio::test]
async fn a_connection_has_one_token_verified_in_a_second() {
    let host = Files::new()
        .host(&format!("{JWT}renewal_prefix = \"token:\"\n"))
        .await;
    let own = token(&json!({"sub": "ann", "exp": now() + 600}));
    let headers = [("authorization", &*bearer(&own))];
    let mut client = ask(&host, "/reject/a", &headers).await.unwrap().0;
    let message = format!("token:{own}");
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        client.text(&message).await;
    }
    client.text("beside").await;
    let mut answers = Vec::new();
    for _ in 0..21 {
        answers.push(client.next_text().await);
    }
    let looked_at = answers.iter().filter(|it| *it == "token:ok").count();
    let most = 1 + u128::from(begun.elapsed().as_secs());
    assert!((1..=most).contains(&(looked_at as u128)), "{answers:?}");
    let others = answers.iter().filter(|it| *it == TOO_SOON).count();
    assert_eq!(looked_at + others, 20, "{answers:?}");
    assert!(answers.contains(&"beside".to_owned()));
}

#[tokio::test]
async fn a_secret_that_was_replaced_renews_nothing() {
    const NEXT: &[u8] = b"fedcba9876543210fedcba9876543210";
    let lines = format!("{JWT}renewal_prefix = \"token:\"\n");
    let files = Files::new();
    let host = files.host(&lines).await;
    let claims = json!({"sub": "ann", "exp": now() + 600});
    let headers = [("authorization", &*bearer(&token(&claims)))];
    let mut client = ask(&host, "/reject/a", &headers).await.unwrap().0;
    fs::write(files.0.path().join("secret"), NEXT).unwrap();
    reload(&host.deployer, files.config(&lines)).await.unwrap();
    let with = |secret: &[u8]| format!("token:{}", signed(&claims, secret));
    let old = renew(&mut client, &with(crate::authentication::SECRET)).await;
    assert_eq!(old, "token:token_invalid");
    assert_eq!(renew(&mut client, &with(NEXT)).await, "token:ok");
    // And once more: each takes the place of the one before.
    fs::write(files.0.path().join("secret"), crate::authentication::SECRET).unwrap();
    reload(&host.deployer, files.config(&lines)).await.unwrap();
    assert_eq!(renew(&mut client, &with(NEXT)).await, "token:token_invalid");
}

#[tokio::test]
async fn a_trigger_that_is_gone_renews_nothing_until_it_returns() {
    const NEXT: &[u8] = b"fedcba9876543210fedcba9876543210";
    let lines = format!("{JWT}renewal_prefix = \"token:\"\n");
    let files = Files::new();
    let host = files.host(&lines).await;
    let claims = json!({"sub": "ann", "exp": now() + 600});
    let headers = [("authorization", &*bearer(&token(&claims)))];
    let mut client = ask(&host, "/reject/a", &headers).await.unwrap().0;
    fs::write(files.0.path().join("secret"), NEXT).unwrap();
    let old = format!("token:{}", token(&claims));
    let new = format!("token:{}", signed(&claims, NEXT));
    // Renamed.
    let mut config = files.config(&lines);
    config.functions[0].triggers[0].name = TriggerName::new("other").unwrap();
    reload(&host.deployer, config).await.unwrap();
    for message in [&old, &new] {
        let answer = renew(&mut client, message).await;
        assert_eq!(answer, "token:token_invalid");
    }
    // It needs no token any more: the function does not see one either.
    reload(&host.deployer, files.config("")).await.unwrap();
    assert_eq!(renew(&mut client, &new).await, "token:token_invalid");
    reload(&host.deployer, files.config(&lines)).await.unwrap();
    assert_eq!(renew(&mut client, &old).await, "token:token_invalid");
    assert_eq!(renew(&mut client, &new).await, "token:ok");
}

#[tokio::test]
async fn a_peer_past_its_rate_has_no_credential_looked_at() {
    let files = Files::new();
    let config = files.config("auth = \"ticket\"\n");
    let triggers = config.functions[0].triggers.clone();
    let host = crate::harness::Host::with(openline_guests::FAULT_REJECT, "/reject")
        .function(move |function| function.triggers = triggers)
        .server(|server| server.peer_handshakes_per_second = 2)
        .start()
        .await;
    let function = FunctionName::new("fault-reject").unwrap();
    let trigger = TriggerName::new("t").unwrap();
    let ticket = host
        .deployer
        .ticket(&function, &trigger, TicketRequest::default());
    let with_ticket = format!("/reject/a?ticket={}", ticket.unwrap().0);
    let mut refused = Vec::new();
    for target in ["/reject/a", "/reject/a", &*with_ticket] {
        refused.push(ask(&host, target, &[]).await.err().map(|it| it.0));
    }
    assert_eq!(refused, [Some(401), Some(401), Some(429)]);
    // The ticket is still good.
    while let Err((status, ..)) = ask(&host, &with_ticket, &[]).await {
        assert_eq!(status, 429);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_ticket_without_claims_ends_its_connection() {
    let host = Files::new().host("auth = \"ticket\"\n").await;
    let function = FunctionName::new("fault-reject").unwrap();
    let trigger = TriggerName::new("t").unwrap();
    let soon = now() + 3;
    let request = TicketRequest {
        expires: Some(UnixTime(soon)),
        ..TicketRequest::default()
    };
    let ticket = host.deployer.ticket(&function, &trigger, request);
    let target = format!("/reject/a?ticket={}", ticket.unwrap().0);
    let mut client = ask(&host, &target, &[]).await.unwrap().0;
    assert_eq!(client.closed().await, end(1008, "the token has expired"));
    assert!(now() >= soon);
}

/// Not even a process that is killed forgets what was revoked.
#[tokio::test]
async fn what_is_revoked_stays_so_after_a_restart() {
    let files = Files::new();
    let folder = files.0.path();
    let path = folder.join("openline.toml");
    let component = openline_guests::FAULT_REJECT;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
         [[function]]\nname = \"f\"\ncomponent = {component:?}\n\
         [[function.trigger]]\nroute = \"/a\"\nauth = \"jwt\"\n\
         [function.trigger.jwt]\nsecret = \"file:secret\"\n"
    );
    fs::write(&path, text).unwrap();
    let serve = ["serve", "--config", path.to_str().unwrap()];
    let made = now() - 10;
    let open = async |host: &Serving, id: &str, sub: &str, made: u64| {
        let claims = json!({"jti": id, "sub": sub, "iat": made, "exp": made + 600});
        let headers = [("authorization", &*bearer(&token(&claims)))];
        let opened = Client::open(host.address, "/a", &headers).await;
        opened.map_err(|refused| {
            let word = refused.headers["openline-error-type"].to_str().unwrap();
            (refused.status, word.to_owned())
        })
    };
    let mut host = Serving::start(&serve).await;
    let admin = format!("http://{}", host.admin().await);
    let until = UnixTime(made + 600).to_string();
    let before = UnixTime(now()).to_string();
    for words in [
        &["--token", "one", "--until", &until][..],
        &["--subject", "ann", "--before", &before],
    ] {
        let revoke = [&["revoke", "f", "--admin", &admin], words].concat();
        let ended = openline(&revoke).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    host.signal("KILL").await;
    drop(host);
    let revoked = (401, "token_revoked".to_owned());
    for _ in 0..2 {
        let host = Serving::start(&serve).await;
        let refused = open(&host, "one", "bob", made).await;
        assert_eq!(refused.err(), Some(revoked.clone()));
        let refused = open(&host, "two", "ann", made).await;
        assert_eq!(refused.err(), Some(revoked.clone()));
        // Others, and later ones of the same subject, are let in.
        assert!(open(&host, "two", "bob", made).await.is_ok());
        assert!(open(&host, "two", "ann", now() + 1).await.is_ok());
        host.signal("TERM").await;
        host.ended().await;
    }
}
