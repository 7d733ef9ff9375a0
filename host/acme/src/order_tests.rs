//! Orders that come to no end, with an authority that only has words: the others
//! are tested with a real one.

use std::pin::Pin;

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, Response};
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use serde_json::{Value, json};

use super::*;

/// Answers each path in one way.
struct Words {
    status: &'static str,
    authorization: &'static str,
    challenges: Value,
}

impl HttpClient for Words {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let url = "https://authority.example";
        let answer = match request.uri().path() {
            "/directory" => json!({
                "newNonce": format!("{url}/nonce"),
                "newAccount": format!("{url}/account"),
                "newOrder": format!("{url}/order"),
            }),
            "/order" => json!({
                "status": self.status,
                "authorizations": [format!("{url}/authorization")],
                "finalize": format!("{url}/finalize"),
            }),
            "/authorization" => json!({
                "status": self.authorization,
                "identifier": { "type": "dns", "value": "chat.example.org" },
                "challenges": self.challenges,
            }),
            _ => json!({ "type": "tls-alpn-01", "url": "x", "token": "t", "status": "pending" }),
        };
        let answer = Response::builder()
            .header("replay-nonce", "nonce")
            .header(LOCATION, format!("{url}/order"))
            .body(Full::<Bytes>::from(answer.to_string()));
        let answer = answer.map(BytesResponse::from).map_err(Error::from);
        Box::pin(std::future::ready(answer))
    }
}

/// What comes of an order with such an authority, which is asked a few times
/// only, and how many challenges are answered afterwards.
async fn ordered(words: Words) -> (String, usize) {
    let (_, key) = instant_acme::Key::generate_pkcs8().unwrap();
    let builder = Account::builder_with_http(Box::new(words));
    let directory = "https://authority.example/directory".to_owned();
    let account = builder.from_parts("https://authority.example/account/1".into(), key, directory);
    let account = account.await.unwrap();
    let challenges = Arc::<Challenges>::default();
    let poll = RetryPolicy::new()
        .initial_delay(Duration::from_millis(1))
        .timeout(Duration::from_millis(50));
    let ordering = order_in_time(
        &account,
        "chat.example.org",
        AcmeChallenge::TlsAlpn01,
        &challenges,
        &poll,
    );
    let error = ordering.await.unwrap_err();
    (error.to_string(), challenges.pending_count())
}

fn offered() -> Value {
    json!([{ "type": "tls-alpn-01", "url": "https://authority.example/challenge", "token": "t", "status": "pending" }])
}

#[tokio::test]
async fn an_order_that_comes_to_no_end_is_given_up() {
    let words = Words {
        status: "pending",
        authorization: "pending",
        challenges: offered(),
    };
    let (error, pending) = ordered(words).await;
    assert_eq!(error, "the authority has come to no end with the order");
    assert_eq!(pending, 0, "nothing is answered any more");
    // Validated, and never issued.
    let words = Words {
        status: "processing",
        authorization: "valid",
        challenges: json!([]),
    };
    let (error, _) = ordered(words).await;
    assert_eq!(error, "the authority has come to no end with the order");
}

#[tokio::test]
async fn a_challenge_that_is_not_offered_and_authorizations_that_are_none() {
    let words = |authorization, challenges| Words {
        status: "pending",
        authorization,
        challenges,
    };
    let other = json!([{ "type": "dns-01", "url": "x", "token": "t", "status": "pending" }]);
    let (error, ..) = ordered(words("pending", other)).await;
    assert_eq!(error, "the authority does not offer the challenge");
    for word in ["invalid", "revoked", "expired", "deactivated"] {
        let (error, ..) = ordered(words(word, offered())).await;
        let expected = format!("the authority says that the authorization is {word}");
        assert_eq!(error, expected);
    }
    let (error, ..) = ordered(words("what", offered())).await;
    assert!(error.contains("not what it should be"), "{error}");
}
