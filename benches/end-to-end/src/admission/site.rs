//! The host that is measured: its configuration with keys, rules and lists, and
//! the tokens that it takes.
//!
//! One host has a trigger for each measurement, so that all of a round are of one
//! process.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openline_kit::configuration::Configuration;
use openline_kit::process::{Ready, Running, START_TIMEOUT};
use openline_kit::programs::Programs;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::pinning;

/// An RSA key and a token that it verifies, made beforehand: ring makes no keys
/// for RSA. The private key was not kept.
const RS256: &str = include_str!("rs256.json");

/// The secret of HS256.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The end of all tokens, in the year 2100.
const EXPIRES: u64 = 4_102_444_800;

/// Rules of a firewall that has many.
pub(super) const RULES: u32 = 1_000;

/// Addresses in the lists that are compared.
pub(super) const ADDRESSES: [u32; 2] = [1_000, 2_000_000];

/// An algorithm, with a token that is good.
pub(super) struct Algorithm {
    pub(super) name: &'static str,
    pub(super) token: String,
    /// The line of the configuration that has its key.
    key: String,
}

/// Where everything is.
pub(super) struct Site {
    programs: Programs,
    folder: TempDir,
    pub(super) algorithms: Vec<Algorithm>,
}

/// A host that listens; dropping it kills it.
pub(super) struct Started {
    pub(super) running: Running,
    pub(super) address: SocketAddr,
}

#[derive(Deserialize)]
struct Made {
    key: Value,
    token: String,
}

impl Site {
    pub(super) fn new(programs: Programs) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let algorithms = algorithms(folder.path())?;
        for count in ADDRESSES {
            fs::write(list(folder.path(), count), addresses(count))?;
        }
        Ok(Self {
            programs,
            folder,
            algorithms,
        })
    }

    /// Starts the host on these CPUs.
    pub(super) async fn start(&self, cpus: Option<&str>) -> anyhow::Result<Started> {
        let command = pinning::command(&self.programs.host, cpus);
        let (mut command, _file) = self.configuration(&ADDRESSES).serve(command)?;
        // The host says more than its address there.
        command.stderr(Stdio::null());
        let running = Running::start_until(Ready::Says, command, START_TIMEOUT).await?;
        let address = running.address;
        Ok(Started { running, address })
    }

    /// How long `openline check` takes with one list of so many addresses.
    pub(super) async fn check(&self, count: u32, cpus: Option<&str>) -> anyhow::Result<Duration> {
        let file = self.folder.path().join("check.toml");
        fs::write(&file, self.configuration(&[count]).text())?;
        let mut command = pinning::command(&self.programs.host, cpus);
        command.args(["check", "--config"]).arg(&file);
        let began = Instant::now();
        let ended = command.output().await?;
        let time = began.elapsed();
        let told = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "`openline check`: {told}");
        Ok(time)
    }

    fn configuration(&self, lists: &[u32]) -> Configuration {
        let mut text = String::new();
        for (route, lines) in [
            ("/thousand", "firewall = \"thousand\"".to_owned()),
            ("/first", "firewall = \"first\"".to_owned()),
            ("/last", "firewall = \"last\"".to_owned()),
            ("/dropped", "firewall = \"dropping\"".to_owned()),
        ] {
            trigger(&mut text, route, &lines);
        }
        for count in lists {
            let lines = format!("firewall = \"listed {count}\"");
            trigger(&mut text, &format!("/listed-{count}"), &lines);
        }
        for algorithm in &self.algorithms {
            let lines = format!("auth = \"jwt\"\n[function.trigger.jwt]\n{}", algorithm.key);
            trigger(&mut text, &format!("/{}", algorithm.name), &lines);
            let lines = format!("firewall = \"claims\"\n{lines}");
            trigger(&mut text, &format!("/{}/claims", algorithm.name), &lines);
        }
        let many = rules(RULES);
        let deny = rule("deny", "", "\"deny\"");
        let drop = rule("drop", "", "\"drop\"");
        let claims = rule("claims", "'claim_sub is_not_equal bench'", "\"deny\"");
        for (name, rules) in [
            ("thousand", many.clone()),
            ("first", format!("{deny}{many}")),
            ("last", format!("{many}{deny}")),
            ("dropping", drop),
            ("claims", claims),
        ] {
            let _ = write!(text, "[[firewall]]\nname = {name:?}\n{rules}");
        }
        for count in lists {
            let file = list(self.folder.path(), *count);
            let listed = format!("'remote_addr is_in_list of-{count}'");
            let listed = rule("listed", &listed, "\"deny\"");
            let _ = write!(
                text,
                "[[list]]\nname = \"of-{count}\"\ntype = \"networks\"\nfile = {file:?}\n\
                 [[firewall]]\nname = \"listed {count}\"\n{listed}"
            );
        }
        let echo = self.programs.function("echo");
        Configuration::new("").function("echo", &echo, "/open", &text)
    }
}

// Writing to a string does not fail.
fn trigger(text: &mut String, route: &str, lines: &str) {
    let _ = write!(text, "[[function.trigger]]\nroute = {route:?}\n{lines}\n");
}

fn rule(name: &str, criteria: &str, behavior: &str) -> String {
    let criteria = match criteria {
        "" => String::new(),
        criteria => format!("criteria = [{criteria}]\n"),
    };
    format!("[[firewall.rule]]\nname = {name:?}\n{criteria}behaviors = [{behavior}]\n")
}

/// Rules of three kinds in turn, none of which holds.
fn rules(count: u32) -> String {
    let rules = (0..count).map(|number| {
        let criteria = match number % 3 {
            0 => format!("'uri starts_with /private/{number}'"),
            1 => format!("'http_user_agent matches (?i)(bot|spider)-{number}'"),
            _ => format!("'arg_key is_equal {number}', 'and host is_equal example.org'"),
        };
        rule(&number.to_string(), &criteria, "\"deny\"")
    });
    rules.collect()
}

fn list(folder: &Path, count: u32) -> PathBuf {
    folder.join(format!("{count}.txt"))
}

/// So many addresses, none of which is next to another or of this machine.
fn addresses(count: u32) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let [_, a, b, c] = (number * 8).to_be_bytes();
        let _ = writeln!(text, "10.{a}.{b}.{c}");
        text
    })
}

/// The algorithms with their keys, which are written where that is needed.
fn algorithms(folder: &Path) -> anyhow::Result<Vec<Algorithm>> {
    let file = folder.join("secret");
    fs::write(&file, SECRET)?;
    let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let symmetric = token("HS256", |text| {
        Ok(hmac::sign(&secret, text).as_ref().to_vec())
    })?;
    let random = SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let made = made.map_err(|_| anyhow!("no key for ES256"))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
    let pair = pair.map_err(|_| anyhow!("the key for ES256 is not good"))?;
    // An uncompressed point: a byte, then both coordinates.
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let es256 = json!({"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y)});
    let es256_token = token("ES256", |text| {
        let signature = pair.sign(&random, text);
        Ok(signature
            .map_err(|_| anyhow!("cannot sign"))?
            .as_ref()
            .to_vec())
    })?;
    let made = Ed25519KeyPair::generate_pkcs8(&random);
    let made = made.map_err(|_| anyhow!("no key for EdDSA"))?;
    let pair = Ed25519KeyPair::from_pkcs8(made.as_ref());
    let pair = pair.map_err(|_| anyhow!("the key for EdDSA is not good"))?;
    let public = encoded(pair.public_key().as_ref());
    let eddsa = json!({"kty": "OKP", "crv": "Ed25519", "x": public});
    let eddsa_token = token("EdDSA", |text| Ok(pair.sign(text).as_ref().to_vec()))?;
    let rs256: Made = serde_json::from_str(RS256).context("the key of RS256 is not JSON")?;
    let mut all = vec![Algorithm {
        name: "HS256",
        token: symmetric,
        key: format!("secret = {:?}", format!("file:{}", file.display())),
    }];
    for (name, key, token) in [
        ("RS256", rs256.key, rs256.token),
        ("ES256", es256, es256_token),
        ("EdDSA", eddsa, eddsa_token),
    ] {
        let file = folder.join(format!("{name}.json"));
        let mut key = key;
        key["kid"] = json!("k");
        key["alg"] = json!(name);
        fs::write(&file, json!({"keys": [key]}).to_string())?;
        let key = format!("keys_file = {file:?}");
        all.push(Algorithm { name, token, key });
    }
    Ok(all)
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token that is good until [`EXPIRES`].
fn token(
    algorithm: &str,
    sign: impl FnOnce(&[u8]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<String> {
    let head = json!({"alg": algorithm, "kid": "k"}).to_string();
    let claims = json!({"sub": "bench", "exp": EXPIRES}).to_string();
    let text = format!(
        "{}.{}",
        encoded(head.as_bytes()),
        encoded(claims.as_bytes())
    );
    let signature = sign(text.as_bytes())?;
    Ok(format!("{text}.{}", encoded(&signature)))
}
