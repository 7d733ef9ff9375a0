//! Requests that prove a pair's secret: signatures of AWS's version 4 and tokens
//! of GRIP, right, wrong and late.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openline_core::key::Scope;
use openline_core::name::KeyName;
use ring::{digest, hmac};

use super::{Got, Outside};
use crate::authentication::now;

const HOST: &str = "push.example.org";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// A time as signatures have it.
fn stamp(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let text = iso8601(time);
    text.chars().filter(|it| !"-:".contains(*it)).collect()
}

/// `2015-08-30T12:36:00Z`, by Howard Hinnant's `civil_from_days`.
fn iso8601(time: SystemTime) -> String {
    let all = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (days, of_day) = (all / 86_400 + 719_468, all % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What is signed, which may differ from what is sent.
#[derive(Clone)]
struct Signing {
    method: &'static str,
    path: String,
    body: &'static [u8],
    time_s: u64,
    /// The headers that are signed.
    names: &'static str,
    /// Instead of the hash of the body.
    hash: Option<&'static str>,
}

impl Signing {
    fn of(path: &str, body: &'static [u8]) -> Self {
        Self {
            method: "POST",
            path: path.to_owned(),
            body,
            time_s: now(),
            names: "host;x-amz-date",
            hash: None,
        }
    }

    /// The lines of a head.
    fn lines(&self, id: &str, secret: &str) -> String {
        let date = stamp(self.time_s);
        let day = &date[..8];
        let sent_hash = self.hash.map(str::to_owned);
        let body = sent_hash.unwrap_or_else(|| hash(self.body));
        let headers: String = self
            .names
            .split(';')
            .map(|name| match name {
                "host" => format!("host:{HOST}\n"),
                "x-amz-date" => format!("x-amz-date:{date}\n"),
                "x-amz-content-sha256" => format!("x-amz-content-sha256:{body}\n"),
                name => format!("{name}:\n"),
            })
            .collect();
        // Of a path without anything to encode.
        let canonical = format!(
            "{}\n{}\n\n{headers}\n{}\n{body}",
            self.method,
            self.path.replace('@', "%40"),
            self.names
        );
        let scope = format!("{day}/eu-west-1/execute-api/aws4_request");
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            hash(canonical.as_bytes())
        );
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [day, "eu-west-1", "execute-api", "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &text));
        format!(
            "x-amz-date: {date}\r\nx-amz-content-sha256: {body}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={}, \
             Signature={signature}\r\n",
            self.names
        )
    }
}

fn failure(got: &Got) -> (u16, String) {
    let kind = got.head.lines().find_map(|line| {
        line.strip_prefix("x-amzn-errortype: ")
            .map(|kind| kind.trim().to_owned())
    });
    (got.status, kind.unwrap_or_default())
}

fn refused(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

#[tokio::test]
async fn a_signature_is_of_one_request_and_of_now() {
    let outside = Outside::start().await;
    let (id, secret) = outside.pair("pair", &Scope::ALL, &["*"], true);
    let mut peer = outside.peer("lobby").await;
    let connection = outside.connection().await;
    let path = format!("/@connections/{connection}");
    let good = Signing::of(&path, b"hello");
    let send = async |signing: &Signing, body: &[u8]| {
        let request = format!("POST {path}");
        let lines = signing.lines(&id, &secret);
        outside.ask(&request, &lines, body).await
    };
    let got = send(&good, b"hello").await;
    assert_eq!(got.status, 200, "{got:?}");
    // The same again, as at AWS.
    assert_eq!(send(&good, b"hello").await.status, 200);
    for _ in 0..2 {
        assert_eq!(peer.next_text().await, "hello");
    }
    let signed = Signing {
        names: "host;x-amz-content-sha256;x-amz-date",
        ..good.clone()
    };
    assert_eq!(send(&signed, b"hello").await.status, 200);
    let wrong = refused(403, "invalidsignatureexception");
    assert_eq!(failure(&send(&good, b"hellp").await), wrong);
    for changed in [
        Signing {
            hash: Some("UNSIGNED-PAYLOAD"),
            ..signed.clone()
        },
        Signing {
            names: "x-amz-date",
            ..good.clone()
        },
        Signing {
            names: "host",
            ..good.clone()
        },
        Signing {
            method: "DELETE",
            ..good.clone()
        },
        Signing {
            path: format!("/other{path}"),
            ..good.clone()
        },
        Signing {
            names: "host;x-amz-date;x-none",
            ..good.clone()
        },
    ] {
        assert_eq!(failure(&send(&changed, b"hello").await), wrong);
    }
    let late = refused(403, "requestexpiredexception");
    for (time_s, is_late) in [
        (now() - 290, false),
        (now() + 290, false),
        (now() - 310, true),
        (now() + 310, true),
    ] {
        let signing = Signing {
            time_s,
            ..good.clone()
        };
        let got = send(&signing, b"hello").await;
        match is_late {
            true => assert_eq!(failure(&got), late),
            false => assert_eq!(got.status, 200, "{got:?}"),
        }
    }
}

#[tokio::test]
async fn a_signature_is_of_a_pair_that_may() {
    let outside = Outside::start().await;
    let (id, secret) = outside.pair("pair", &[Scope::Read], &["*"], true);
    let _peer = outside.peer("lobby").await;
    let path = format!("/@connections/{}", outside.connection().await);
    let send = async |method: &'static str, id: &str, secret: &str| {
        let signing = Signing {
            method,
            ..Signing::of(&path, b"")
        };
        let lines = signing.lines(id, secret);
        failure(&outside.ask(&format!("{method} {path}"), &lines, b"").await)
    };
    assert_eq!(send("GET", &id, &secret).await, refused(200, ""));
    let forbidden = refused(403, "forbiddenexception");
    assert_eq!(send("POST", &id, &secret).await, forbidden);
    assert_eq!(send("DELETE", &id, &secret).await, forbidden);
    let wrong = refused(403, "invalidsignatureexception");
    assert_eq!(send("GET", &id, "x").await, wrong);
    let unknown = refused(403, "unrecognizedclientexception");
    assert_eq!(send("GET", "AKIAIOSFODNN7EXAMPLF", &secret).await, unknown);
    // In the query it is none.
    let query = format!("GET {path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={id}");
    let none = outside.ask(&query, "", b"").await;
    assert_eq!(
        failure(&none),
        refused(403, "missingauthenticationtokenexception")
    );
    // It is good for `@connections` alone.
    let lines = Signing::of("/v1/publish", b"{}").lines(&id, &secret);
    let got = outside.ask("POST /v1/publish", &lines, b"{}").await;
    assert_eq!(got.status, 401, "{got:?}");
    let keys = outside.host.gateway.services().keys();
    keys.revoke(&KeyName::new("pair").unwrap()).unwrap();
    assert_eq!(send("GET", &id, &secret).await, unknown);
}

/// A token with this header and these claims.
fn token(header: &str, claims: &str, secret: &str) -> String {
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(secret.as_bytes(), &signed));
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_token_of_grip_is_signed_by_a_pair_and_ends_soon() {
    const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    let outside = Outside::start().await;
    let (id, secret) = outside.pair("pair", &[Scope::Publish], &["news"], true);
    let (other, _) = outside.pair("other", &[Scope::Publish], &["*"], true);
    let status = async |token: &str, channel: &str| {
        let body = format!(
            r#"{{"items":[{{"channel":"{channel}","formats":{{"ws-message":{{"content":"x"}}}}}}]}}"#
        );
        let got = outside.with_key("POST /publish/", token, &body).await;
        got.status
    };
    let now = now();
    let claims = |iss: &str, exp: u64| format!(r#"{{"iss":"{iss}","exp":{exp}}}"#);
    let good = token(HS256, &claims(&id, now + 3_600), &secret);
    assert_eq!(status(&good, "news").await, 200);
    // The pair's patterns count.
    assert_eq!(status(&good, "plain").await, 403);
    let soon = token(HS256, &claims(&id, now + 86_000), &secret);
    assert_eq!(status(&soon, "news").await, 200);
    let (head, unsigned) = (
        good.split('.').next().unwrap(),
        good.rsplit_once('.').unwrap().0,
    );
    for (why, wrong) in [
        ("of the past", token(HS256, &claims(&id, now - 1), &secret)),
        (
            "for days",
            token(HS256, &claims(&id, now + 90_000), &secret),
        ),
        (
            "without end",
            token(HS256, &format!(r#"{{"iss":"{id}"}}"#), &secret),
        ),
        ("of nobody", token(HS256, r#"{"exp":9999999999}"#, &secret)),
        (
            "of another pair",
            token(HS256, &claims(&other, now + 60), &secret),
        ),
        (
            "with another secret",
            token(HS256, &claims(&id, now + 60), "x"),
        ),
        ("with no secret", token(HS256, &claims(&id, now + 60), "")),
        (
            "of the key itself",
            token(HS256, &claims("pair", now + 60), &secret),
        ),
        (
            "alg none",
            token(r#"{"alg":"none"}"#, &claims(&id, now + 60), &secret),
        ),
        (
            "alg HS512",
            token(r#"{"alg":"HS512"}"#, &claims(&id, now + 60), &secret),
        ),
        ("no alg", token("{}", &claims(&id, now + 60), &secret)),
        (
            "a negative end",
            token(HS256, &format!(r#"{{"iss":"{id}","exp":-1}}"#), &secret),
        ),
        ("unsigned", format!("{unsigned}.")),
        ("without signature", unsigned.to_owned()),
        ("a head alone", format!("{head}..")),
        ("more parts", format!("{good}.{good}")),
    ] {
        assert_eq!(status(&wrong, "news").await, 401, "{why}");
    }
}
