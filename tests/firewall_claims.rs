//! Rules about claims: they see what was verified, and nothing else. What rules
//! and claims both write, and what a browser learns before it asks.

use openline_kit::head::Head;
use serde_json::{Value, json};

use crate::authentication::{Files, SECRET, ask, bearer, now, signed, token};
use crate::harness::{Host, Raw};

const RULES: &str = r#"
[[firewall]]
name = "claims"

[[firewall.rule]]
name = "no robots"
criteria = ["if user_agent is_equal robot"]
behaviors = [{ deny = { status_code = 418 } }]

[[firewall.rule]]
name = "staff only"
criteria = ["if uri starts_with /reject/staff", "and claim_role is_not_equal staff"]
behaviors = [{ deny = { status_code = 451 } }]

[[firewall.rule]]
name = "banned"
criteria = ["if claim_realm.groups is_equal banned"]
behaviors = [{ deny = { status_code = 410 } }]

[[firewall.rule]]
name = "twice"
criteria = ["if uri starts_with /reject/rated"]
behaviors = [{ set_rate_limit = { type = "minute", limit_by = "claim:sub", average_rate_limit = 1, maximum_burst_size = 2 } }]

[[firewall.rule]]
name = "marked"
behaviors = [{ set_header = { name = "x-user", value = "rule" } }, { set_header = { name = "x-risk", value = "high" } }]
"#;

/// A trigger with that firewall, whose tokens are signed by a secret.
const TRIGGER: &str = "firewall = \"claims\"\nauth = \"jwt\"\n{more}\
    [function.trigger.jwt]\nsecret = \"{place}\"\n\
    unchecked = [\"/reject/open\", \"/reject/staff/open\"]\nclaims = \"header:sub:x-user\"\n\
    [[firewall]]\nname = \"claims\"\n";

async fn host(more: &str) -> Host {
    let config = Files::new();
    let read = config.config(&TRIGGER.replace("{more}", more));
    Host::with(openline_guests::FAULT_REJECT, "/reject")
        .function(|function| {
            function.triggers = read.functions[0].triggers.clone();
            function.limit.connections = 1;
        })
        .firewalls(RULES)
        .start()
        .await
}

/// The token's header.
fn claiming(claims: Value) -> String {
    let mut claims = claims;
    claims["exp"] = json!(now() + 600);
    bearer(&token(&claims))
}

/// The status and the word of an answer; 101 with the header `shown` for a
/// connection, which is closed then and leaves its place.
async fn status(host: &Host, target: &str, authorization: &str) -> (u16, String) {
    let headers = [("authorization", authorization)];
    let headers = &headers[..usize::from(!authorization.is_empty())];
    match ask(host, target, headers).await {
        Ok((mut client, shown)) => {
            client.close(1000, "").await;
            client.closed().await;
            host.until("no connection", |it| it["connections"]["open"] == 0)
                .await;
            (101, shown)
        }
        Err((status, word, _)) => (status, word),
    }
}

fn word(status: u16, word: &str) -> (u16, String) {
    (status, word.into())
}

#[tokio::test]
async fn a_rule_about_claims_sees_those_that_were_verified() {
    let host = host("").await;
    let denied = |status| word(status, "firewall_denied");
    let staff = "/reject/staff/a?show=claims";
    for (claims, expected) in [
        (json!({"role": "staff"}), 101),
        (json!({"role": ["user", "staff"]}), 101),
        (json!({"role": "user"}), 451),
        (json!({"role": "Staff"}), 451),
        (json!({"Role": "staff"}), 451),
        (json!({}), 451),
        (
            json!({"role": "staff", "realm": {"groups": ["a", "banned"]}}),
            410,
        ),
    ] {
        let (status, shown) = status(&host, staff, &claiming(claims.clone())).await;
        assert_eq!(status, expected, "{claims}: {shown}");
        if status == 101 {
            let shown: Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(shown["role"], claims["role"]);
        }
    }
    // Claims that were not verified count for nothing.
    let forged = json!({"role": "staff", "exp": now() + 600});
    let forged = bearer(&signed(&forged, &SECRET.repeat(2)));
    let expired = bearer(&token(&json!({"role": "staff", "exp": now() - 100})));
    for (authorization, expected) in [
        ("", word(401, "token_missing")),
        (&forged, word(401, "token_invalid")),
        (&expired, word(401, "token_expired")),
    ] {
        assert_eq!(status(&host, staff, authorization).await, expected);
    }
    // Where no token is checked, a good one gives no claims either.
    let good = claiming(json!({"role": "staff"}));
    assert_eq!(
        status(&host, "/reject/staff/open", &good).await,
        denied(451)
    );
    assert_eq!(status(&host, "/reject/open", "").await.0, 101);
    let refused = host.gateway.tally().refused();
    assert_eq!(refused["firewall_denied"], 6, "{refused:?}");
}

#[tokio::test]
async fn the_rules_before_decide_before_a_token_is_looked_at() {
    let host = host("").await;
    let asked = async |agent: &str| {
        let mut raw = Raw::connect(host.address).await;
        let head = Head::right("/reject/a").with("user-agent", agent);
        raw.send(head.text().as_bytes()).await;
        raw.head().await
    };
    let robot = asked("robot").await;
    assert!(robot.starts_with("HTTP/1.1 418 "), "{robot}");
    let other = asked("browser").await;
    assert!(other.starts_with("HTTP/1.1 401 "), "{other}");
}

#[tokio::test]
async fn a_rate_by_a_claim_counts_each_value_of_it_and_only_those_that_were_verified() {
    let host = host("").await;
    let rated = "/reject/rated";
    // They use up nothing of hers.
    let forged = json!({"sub": "ann", "exp": now() + 600});
    let forged = bearer(&signed(&forged, &SECRET.repeat(2)));
    for _ in 0..3 {
        let answer = status(&host, rated, &forged).await;
        assert_eq!(answer, word(401, "token_invalid"));
    }
    let mut taken = Vec::new();
    for sub in ["ann", "ann", "ann", "ben", "ann", "ben", "ben"] {
        // Another token, the same claim.
        let number = taken.len();
        let authorization = claiming(json!({"sub": sub, "jti": number.to_string()}));
        taken.push(status(&host, rated, &authorization).await);
    }
    let [passed, limited] = [word(101, ""), word(429, "firewall_rate_limit")];
    let expected = [
        &passed, &passed, &limited, &passed, &limited, &passed, &limited,
    ];
    assert_eq!(taken.iter().collect::<Vec<_>>(), expected);
    // Those without the claim share one.
    for expected in [101, 101, 429] {
        let answer = status(&host, rated, &claiming(json!({}))).await;
        assert_eq!(answer.0, expected);
    }
}

#[tokio::test]
async fn no_rule_writes_a_claim_and_no_claim_hides_what_rules_write() {
    let host = host("").await;
    let shown = async |target: &str, authorization: &str| {
        let headers = [
            ("authorization", authorization),
            ("x-user", "root"),
            ("x-risk", "none"),
        ];
        let headers = &headers[usize::from(authorization.is_empty())..];
        let (mut client, shown) = ask(&host, target, headers).await.unwrap();
        client.close(1000, "").await;
        client.closed().await;
        host.until("no connection", |it| it["connections"]["open"] == 0)
            .await;
        shown
    };
    let ann = claiming(json!({"sub": "ann"}));
    assert_eq!(shown("/reject/a?show=x-user", &ann).await, "ann");
    assert_eq!(shown("/reject/a?show=x-risk", &ann).await, "high");
    // Without a token the name of the claim has no value, and not the rule's.
    assert_eq!(shown("/reject/open?show=x-user", "").await, "");
    assert_eq!(shown("/reject/open?show=x-risk", "").await, "high");
}

#[tokio::test]
async fn a_preflight_meets_the_rules_up_to_the_first_about_claims() {
    let cors =
        "cors = { allow_origins = [\"https://app.example.org\"] }\nmethods = [\"GET\", \"PUT\"]\n";
    let host = host(cors).await;
    let answer = async |origin: &str, agent: &str| {
        let head = Head::line("OPTIONS /reject/staff/a HTTP/1.1")
            .with("host", "localhost")
            .with("origin", origin)
            .with("access-control-request-method", "PUT")
            .with("user-agent", agent)
            .with("connection", "close");
        let mut raw = Raw::connect(host.address).await;
        raw.send(head.text().as_bytes()).await;
        raw.answer().await
    };
    let page = "https://app.example.org";
    // Without a token: browsers send none with it, and could not show why it is
    // refused.
    let allowed = answer(page, "browser").await;
    assert_eq!(allowed.status, 204, "{}", allowed.head);
    let named = format!("access-control-allow-origin: {page}\r\n");
    assert!(allowed.head.to_ascii_lowercase().contains(&named));
    assert_eq!(answer(page, "robot").await.status, 418);
    let other = answer("https://evil.example", "browser").await;
    assert_eq!(other.status, 403);
    assert!(other.head.contains("origin_refused"), "{}", other.head);
    // The request that it announces meets all rules.
    let user = claiming(json!({"role": "user"}));
    let asked = status(&host, "/reject/staff/a", &user).await;
    assert_eq!(asked, word(451, "firewall_denied"));
}
