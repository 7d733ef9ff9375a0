//! Nonces and tickets, which let in once: whatever becomes of their trigger, and
//! only by a request that passes.

use openline_authentication::{Revocation, TicketRequest};
use openline_core::authentication::UnixTime;
use openline_core::name::{FunctionName, TriggerName};
use serde_json::json;

use crate::authentication::{
    Files, JWT, SIGNATURE, ask, ask_signed, bearer, by_hand, end, now, reload, token,
};
use crate::harness::Host;

/// A rule about claims, which can refuse a request only after authentication.
const LATER: &str = r#"
[[firewall]]
name = "later"
[[firewall.rule]]
name = "stopped"
criteria = ["if claim_sub is_equal ann", "and http_x_stop is_equal yes"]
behaviors = ["deny"]
"#;

fn function() -> FunctionName {
    FunctionName::new("fault-reject").unwrap()
}

fn ticket(host: &Host) -> String {
    let trigger = TriggerName::new("t").unwrap();
    let request = TicketRequest {
        subject: Some("ann".into()),
        ..TicketRequest::default()
    };
    let made = host.deployer.ticket(&function(), &trigger, request);
    made.unwrap().0
}

#[tokio::test]
async fn a_request_that_the_firewall_refuses_keeps_its_ticket() {
    let lines =
        "auth = \"ticket\"\nfirewall = \"later\"\n[function.trigger.ticket]\ntickets_max = 1\n";
    let host = Files::new().host_behind(lines, LATER).await;
    let target = format!("/reject/a?ticket={}", ticket(&host));
    for _ in 0..2 {
        let stopped = ask(&host, &target, &[("x-stop", "yes")]).await;
        let (status, word, _) = stopped.unwrap_err();
        assert_eq!((status, &*word), (403, "firewall_denied"));
    }
    // At the same moment, one of two.
    let (one, other) = tokio::join!(ask(&host, &target, &[]), ask(&host, &target, &[]));
    let refused: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
    let [(status, word, _)] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!((*status, &**word), (401, "ticket_invalid"));
    let (_, word, _) = ask(&host, &target, &[]).await.unwrap_err();
    assert_eq!(word, "ticket_invalid");
    // Its place is free again.
    let next = format!("/reject/a?ticket={}", ticket(&host));
    assert!(ask(&host, &next, &[]).await.is_ok());
}

#[tokio::test]
async fn a_request_that_the_firewall_refuses_keeps_its_nonce() {
    let lines = SIGNATURE.replacen("[[", "firewall = \"later\"\n[[", 1);
    let host = Files::new().host_behind(&lines, LATER).await;
    // A date after the host's start: what came before could have been used.
    let own = by_hand(&host, "/reject/a", now() + 2, "nonce-00001");
    let stopped = [own.clone(), vec![("x-stop".into(), "yes".into())]].concat();
    for _ in 0..2 {
        let refused = ask_signed(&host, "/reject/a", &stopped).await;
        assert_eq!(refused, Err((403, "firewall_denied".into())));
    }
    assert!(ask_signed(&host, "/reject/a", &own).await.is_ok());
    for again in [own, stopped] {
        let refused = ask_signed(&host, "/reject/a", &again).await;
        assert_eq!(refused, Err((403, "signature_replayed".into())));
    }
}

#[tokio::test]
async fn a_trigger_that_is_renamed_or_made_anew_lets_no_request_pass_again() {
    let files = Files::new();
    let host = files.host(SIGNATURE).await;
    // Its clock is ahead, so that the date is after any reload.
    let own = by_hand(&host, "/reject/a", now() + 600, "nonce-00001");
    assert!(ask_signed(&host, "/reject/a", &own).await.is_ok());
    let replayed = Err((403, "signature_replayed".to_owned()));
    for name in ["renamed", "t"] {
        let mut config = files.config(SIGNATURE);
        config.functions[0].triggers[0].name = TriggerName::new(name).unwrap();
        reload(&host.deployer, config).await.unwrap();
        assert_eq!(ask_signed(&host, "/reject/a", &own).await, replayed);
    }
    reload(&host.deployer, files.config("")).await.unwrap();
    assert!(ask_signed(&host, "/reject/a", &own).await.is_ok(), "open");
    reload(&host.deployer, files.config(SIGNATURE))
        .await
        .unwrap();
    assert_eq!(ask_signed(&host, "/reject/a", &own).await, replayed);
    let fresh = by_hand(&host, "/reject/a", now() + 2, "nonce-00002");
    assert!(ask_signed(&host, "/reject/a", &fresh).await.is_ok());
}

/// It is good for the leeway, so it can be revoked for as long.
#[tokio::test]
async fn a_token_that_ended_within_its_leeway_can_be_revoked() {
    let host = Files::new()
        .host(&format!("{JWT}leeway = \"5 min\"\n"))
        .await;
    let expires = now() - 5;
    let claims = json!({"jti": "one", "sub": "ann", "exp": expires});
    let authorization = bearer(&token(&claims));
    let headers = [("authorization", &*authorization)];
    let mut client = ask(&host, "/reject/a", &headers).await.unwrap().0;
    let entry = Revocation::Token {
        id: "one".into(),
        expires: UnixTime(expires),
    };
    let revoked = host.deployer.revoke(&function(), entry).await.unwrap();
    assert_eq!(revoked.closed, 1);
    assert_eq!(
        client.closed().await,
        end(1008, "the token has been revoked")
    );
    let (status, word, _) = ask(&host, "/reject/a", &headers).await.unwrap_err();
    assert_eq!((status, &*word), (401, "token_revoked"));
}
