//! What the authority answers: RFC 8555 as far as a host asks. A request that is
//! not signed as it should be is an error.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::header::{LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use openline_core::digest::Digest;
use rcgen::{CertificateParams, KeyPair, PublicKeyData, SignatureAlgorithm};
use ring::{hmac, signature};
use serde_json::{Value, json};
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

use super::serve::Answer;
use super::{Account, Fault, Order, Shared, State, validate};

/// What is wrong with a request: the word of RFC 8555 section 6.7.
struct Wrong(StatusCode, &'static str);

const MALFORMED: Wrong = Wrong(StatusCode::BAD_REQUEST, "malformed");

/// A request whose signature is right.
struct Signed {
    account: Option<usize>,
    key: Option<Value>,
    payload: Value,
    is_empty: bool,
}

pub fn answer(shared: &Arc<Shared>, path: &str, body: &[u8]) -> Answer {
    let url = &shared.url;
    let mut answer = match path {
        "/directory" => found(json!({
            "newNonce": format!("{url}/nonce"),
            "newAccount": format!("{url}/account"),
            "newOrder": format!("{url}/order"),
        })),
        "/nonce" => found(Value::Null),
        path => act(shared, path, body).unwrap_or_else(|Wrong(status, word)| {
            let kind = format!("urn:ietf:params:acme:error:{word}");
            let mut answer = found(
                json!({ "type": kind, "detail": "no \u{1b}[31m", "status": status.as_u16() }),
            );
            *answer.status_mut() = status;
            if word == "rateLimited" {
                answer.headers_mut().insert(RETRY_AFTER, 7200.into());
            }
            answer
        }),
    };
    let mut state = shared.state.lock();
    state.made += 1;
    let nonce = format!("nonce-{}", state.made);
    state.nonces.insert(nonce.clone());
    let nonce = nonce.parse().unwrap();
    answer.headers_mut().insert("replay-nonce", nonce);
    answer
}

fn found(value: Value) -> Answer {
    Response::new(Full::from(value.to_string()))
}

fn made(shared: &Shared, path: &str, value: Value) -> Answer {
    let mut answer = found(value);
    *answer.status_mut() = StatusCode::CREATED;
    let location = format!("{}{path}", shared.url).parse().unwrap();
    answer.headers_mut().insert(LOCATION, location);
    answer
}

fn act(shared: &Arc<Shared>, path: &str, body: &[u8]) -> Result<Answer, Wrong> {
    let mut state = shared.state.lock();
    let signed = verify(&mut state, &format!("{}{path}", shared.url), body)?;
    let mut parts = path.trim_start_matches('/').split('/');
    let (what, number) = (parts.next().unwrap_or_default(), parts.next());
    let number = number.and_then(|it| it.parse::<usize>().ok());
    match (what, number) {
        ("account", None) => account(shared, &mut state, signed),
        ("account", Some(number)) => {
            let account = state.accounts.get_mut(&number).ok_or(MALFORMED)?;
            account.contact = contact(&signed.payload);
            Ok(found(json!({ "status": "valid" })))
        }
        ("order", None) => order(shared, &mut state, &signed),
        (what, Some(number)) => {
            let order = state.orders.get(&number).ok_or(MALFORMED)?.clone();
            if Some(order.account) != signed.account {
                return Err(Wrong(StatusCode::FORBIDDEN, "unauthorized"));
            }
            match what {
                "order" => Ok(found(shown(shared, &state, number))),
                "authz" => Ok(found(authorization(shared, &state, number))),
                "challenge" if !signed.is_empty => {
                    tokio::spawn(validate::validate(Arc::clone(shared), number));
                    Ok(found(challenge(shared, &order, number, "tls-alpn-01")))
                }
                "finalize" => finalize(shared, &mut state, number, &signed.payload),
                "certificate" => {
                    let certificate = order.certificate.ok_or(MALFORMED)?;
                    Ok(Response::new(Full::from(certificate)))
                }
                _ => Err(MALFORMED),
            }
        }
        _ => Err(MALFORMED),
    }
}

/// RFC 8555 section 6.2.
fn verify(state: &mut State, url: &str, body: &[u8]) -> Result<Signed, Wrong> {
    let jws: Value = serde_json::from_slice(body).map_err(|_| MALFORMED)?;
    let part = |jws: &Value, name: &str| jws[name].as_str().map(str::to_owned).ok_or(MALFORMED);
    let protected = part(&jws, "protected")?;
    let payload = part(&jws, "payload")?;
    let signed = format!("{protected}.{payload}");
    let bytes = |text: &str| BASE64.decode(text).map_err(|_| MALFORMED);
    let head: Value = serde_json::from_slice(&bytes(&protected)?).map_err(|_| MALFORMED)?;
    if head["url"] != url || head["alg"] != "ES256" {
        return Err(MALFORMED);
    }
    if !state
        .nonces
        .remove(head["nonce"].as_str().unwrap_or_default())
    {
        return Err(Wrong(StatusCode::BAD_REQUEST, "badNonce"));
    }
    let number = head["kid"]
        .as_str()
        .and_then(|kid| kid.rsplit('/').next()?.parse().ok());
    let (account, key, point) = match number {
        Some(number) => {
            let unknown = Wrong(StatusCode::BAD_REQUEST, "accountDoesNotExist");
            let account = state.accounts.get(&number).ok_or(unknown)?;
            (Some(number), None, account.key.clone())
        }
        None => (None, Some(head["jwk"].clone()), point(&head["jwk"])?),
    };
    let key_of = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
    let verified = key_of.verify(signed.as_bytes(), &bytes(&part(&jws, "signature")?)?);
    verified.map_err(|_| MALFORMED)?;
    let payload = bytes(&payload)?;
    Ok(Signed {
        account,
        key,
        is_empty: payload.is_empty(),
        payload: serde_json::from_slice(&payload).unwrap_or_default(),
    })
}

/// The point of a key's curve.
fn point(key: &Value) -> Result<Vec<u8>, Wrong> {
    let coordinate = |name: &str| {
        let text = key[name].as_str().ok_or(MALFORMED)?;
        BASE64.decode(text).map_err(|_| MALFORMED)
    };
    Ok([vec![4], coordinate("x")?, coordinate("y")?].concat())
}

fn contact(payload: &Value) -> Vec<String> {
    let all = payload["contact"].as_array().into_iter().flatten();
    all.filter_map(|it| it.as_str().map(str::to_owned))
        .collect()
}

fn account(shared: &Shared, state: &mut State, signed: Signed) -> Result<Answer, Wrong> {
    let key = signed.key.ok_or(MALFORMED)?;
    if signed.payload["termsOfServiceAgreed"] != true {
        return Err(Wrong(StatusCode::FORBIDDEN, "userActionRequired"));
    }
    if let Some(secret) = &state.external {
        let binding = &signed.payload["externalAccountBinding"];
        let text = |name: &str| binding[name].as_str().unwrap_or_default().to_owned();
        let message = format!("{}.{}", text("protected"), text("payload"));
        let tag = BASE64.decode(text("signature")).map_err(|_| MALFORMED)?;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let word = "externalAccountRequired";
        let verified = hmac::verify(&secret, message.as_bytes(), &tag);
        verified.map_err(|_| Wrong(StatusCode::FORBIDDEN, word))?;
    }
    // RFC 7638.
    let text = |name: &str| key[name].as_str().unwrap_or_default();
    let (x, y) = (text("x"), text("y"));
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let thumbprint = BASE64.encode(Digest::of(canonical.as_bytes()).as_bytes());
    state.made += 1;
    let number = state.made;
    let account = Account {
        key: point(&key)?,
        thumbprint,
        contact: contact(&signed.payload),
    };
    state.accounts.insert(number, account);
    Ok(made(
        shared,
        &format!("/account/{number}"),
        json!({ "status": "valid" }),
    ))
}

fn order(shared: &Shared, state: &mut State, signed: &Signed) -> Result<Answer, Wrong> {
    if state.fault == Fault::RateLimited {
        return Err(Wrong(StatusCode::TOO_MANY_REQUESTS, "rateLimited"));
    }
    let name = signed.payload["identifiers"][0]["value"].as_str();
    let name = name.ok_or(MALFORMED)?.to_owned();
    state.made += 1;
    let number = state.made;
    let order = Order {
        name,
        account: signed.account.ok_or(MALFORMED)?,
        token: format!("token-{number}"),
        validated: None,
        certificate: None,
    };
    state.orders.insert(number, order);
    Ok(made(
        shared,
        &format!("/order/{number}"),
        shown(shared, state, number),
    ))
}

fn shown(shared: &Shared, state: &State, number: usize) -> Value {
    let (url, order) = (&shared.url, &state.orders[&number]);
    let status = match (&order.validated, &order.certificate) {
        (_, Some(_)) => "valid",
        (Some(Ok(())), None) => "ready",
        (Some(Err(_)), None) => "invalid",
        (None, None) => "pending",
    };
    let authorization = format!("{url}/authz/{number}");
    let authorizations = match state.fault {
        Fault::TwoNames => vec![authorization.clone(), authorization],
        _ => vec![authorization],
    };
    json!({
        "status": status,
        "authorizations": authorizations,
        "finalize": format!("{url}/finalize/{number}"),
        "certificate": format!("{url}/certificate/{number}"),
    })
}

fn authorization(shared: &Shared, state: &State, number: usize) -> Value {
    let order = &state.orders[&number];
    let name = match state.fault {
        Fault::OtherName => "other.example.org",
        _ => &*order.name,
    };
    let status = match order.validated {
        None => "pending",
        Some(Ok(())) => "valid",
        Some(Err(_)) => "invalid",
    };
    json!({
        "status": status,
        "identifier": { "type": "dns", "value": name },
        "challenges": [
            { "type": "dns-01", "url": "x", "token": "y", "status": "pending" },
            challenge(shared, order, number, "http-01"),
            challenge(shared, order, number, "tls-alpn-01"),
        ],
    })
}

fn challenge(shared: &Shared, order: &Order, number: usize, kind: &str) -> Value {
    let mut challenge = json!({
        "type": kind,
        "url": format!("{}/challenge/{number}", shared.url),
        "token": order.token,
        "status": "pending",
    });
    if let Some(Err(why)) = &order.validated {
        let kind = "urn:ietf:params:acme:error:connection";
        challenge["error"] = json!({ "type": kind, "detail": why });
    }
    challenge
}

struct Key(Vec<u8>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates have dates")]
fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap()
}

fn finalize(
    shared: &Shared,
    state: &mut State,
    number: usize,
    payload: &Value,
) -> Result<Answer, Wrong> {
    let request = payload["csr"].as_str().unwrap_or_default();
    let request = BASE64.decode(request).map_err(|_| MALFORMED)?;
    let request = CertReq::from_der(&request).map_err(|_| MALFORMED)?;
    let key = request
        .info
        .public_key
        .subject_public_key
        .raw_bytes()
        .to_vec();
    let (fault, validity) = (state.fault, state.validity);
    let order = state.orders.get_mut(&number).ok_or(MALFORMED)?;
    if order.validated != Some(Ok(())) {
        return Err(Wrong(StatusCode::FORBIDDEN, "orderNotReady"));
    }
    let name = match fault {
        Fault::OtherCertificate => "other.example.org".to_owned(),
        _ => order.name.clone(),
    };
    let mut params = CertificateParams::new(vec![name]).unwrap();
    if let Some((before, after)) = validity {
        let now = rcgen::date_time_ymd(1970, 1, 1) + since_1970();
        (params.not_before, params.not_after) = (now - before, now + after);
    }
    if fault == Fault::Ended {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let other = KeyPair::generate().unwrap();
    let issuer = shared.authority.issuer();
    let certificate = match fault {
        Fault::OtherKey => params.signed_by(&other, issuer),
        _ => params.signed_by(&Key(key), issuer),
    };
    order.certificate = Some(match fault {
        Fault::NoCertificate => "This is no certificate.".to_owned(),
        _ => certificate.unwrap().pem(),
    });
    Ok(found(shown(shared, state, number)))
}
