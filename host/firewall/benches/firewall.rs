//! Firewall: a decision about a request with no rule, ten and a thousand; a
//! look-up in a list of a thousand addresses and of two million, side by side;
//! reading two million.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use openline_firewall::Others;
use openline_firewall::evaluation::{Evaluation, Step};
use openline_firewall::list::{List, ListKind};
use openline_firewall::request::{Claims, Request};
use openline_firewall::rules::{Firewalls, Rules};
use openline_firewall::trace::Ran;

/// Addresses that are asked for in turn: so many that their cache lines of a
/// large list are not all in the nearest cache.
const ASKED: usize = 1 << 16;

/// Rules of four kinds in turn, none of which holds.
fn firewalls(count: usize) -> Firewalls {
    let mut text = "[[firewall]]\nname = 'f'\n[[list]]\nname = 'l'\ntype = 'networks'\nitems = ['198.51.100.0/24']\n".to_owned();
    for number in 0..count {
        let criteria = match number % 4 {
            0 => format!("'uri starts_with /private/{number}'"),
            1 => format!("'http_user_agent matches (?i)(bot|spider)-{number}'"),
            2 => "'remote_addr is_in_list l'".into(),
            _ => format!("'arg_key is_equal {number}', 'host is_equal example.org'"),
        };
        text += &format!(
            "[[firewall.rule]]\nname = '{number}'\ncriteria = [{criteria}]\nbehaviors = ['deny']\n"
        );
    }
    let rules = Rules::parse(&text, Others::Refuse).expect("the rules are right");
    let none = |_: &std::path::Path| Ok(Vec::new());
    Firewalls::load(Arc::new(rules), none).expect("its list is in the text")
}

/// A handshake as a browser sends it.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "example.org"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("origin", "https://example.org"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        ),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("accept-language", "en"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

fn decisions(criterion: &mut Criterion) {
    let headers = headers();
    let request = Request {
        peer: IpAddr::from([192, 0, 2, 1]),
        peer_is_unnamed: false,
        peer_port: Some(50_000),
        method: "GET",
        scheme: "https",
        host: Some("example.org"),
        path: "/chat/room-1",
        query: Some("token=abc&key=none"),
        headers: &headers,
        tls: None,
        claims: Claims::Absent,
    };
    let mut group = criterion.benchmark_group("decision");
    for count in [0, 10, 1_000] {
        let firewalls = firewalls(count);
        let id = firewalls.find("f");
        group.bench_function(BenchmarkId::new("plain", count), |bencher| {
            bencher.iter(|| {
                let mut evaluation = Evaluation::new(&firewalls, None, id);
                let step = evaluation.run(black_box(&request), Duration::ZERO, &mut ());
                assert!(matches!(step, Step::Decided(_)));
            });
        });
        group.bench_function(BenchmarkId::new("debug_rules", count), |bencher| {
            bencher.iter(|| {
                let mut ran = Ran::default();
                let mut evaluation = Evaluation::new(&firewalls, None, id);
                evaluation.run(black_box(&request), Duration::ZERO, &mut ran);
                black_box(ran)
            });
        });
    }
    group.finish();
}

/// Numbers that look random, the same ones each time.
fn scattered(number: u32) -> u32 {
    let mixed = (number ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
    (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35)
}

/// The address of a number: scattered over all of IPv4, or over the part of
/// IPv6 that is in use.
fn address(number: u32, is_v4: bool) -> IpAddr {
    let (high, low) = (scattered(number), scattered(!number));
    if is_v4 {
        Ipv4Addr::from_bits(high).into()
    } else {
        let bits = (0x2_u128 << 124) | (u128::from(high) << 92) | (u128::from(low) << 60);
        Ipv6Addr::from_bits(bits).into()
    }
}

fn list(count: u32, is_v4: bool) -> Vec<u8> {
    let lines = (0..count).map(|number| format!("{}\n", address(number, is_v4)));
    lines.collect::<String>().into_bytes()
}

fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list");
    for (family, is_v4) in [("v4", true), ("v6", false)] {
        for count in [1_000, 2_000_000] {
            let text = list(count, is_v4);
            let list = List::read(ListKind::Networks, &text).expect("the list is right");
            let List::Networks(networks) = list else {
                unreachable!("it was read as networks");
            };
            // Every other one is in the list.
            let asked: Vec<_> = (0..ASKED)
                .map(|number| {
                    let number = u32::try_from(number).expect("there are few");
                    let within = scattered(number) % count;
                    address(if number % 2 == 0 { within } else { !within }, is_v4)
                })
                .collect();
            let mut next = 0;
            group.bench_function(
                BenchmarkId::new(format!("look-up {family}"), count),
                |bencher| {
                    bencher.iter(|| {
                        next = (next + 1) % ASKED;
                        networks.contain(black_box(asked[next]))
                    });
                },
            );
        }
        let text = list(2_000_000, is_v4);
        group.sample_size(10);
        group.bench_function(
            BenchmarkId::new(format!("read {family}"), 2_000_000),
            |bencher| {
                bencher.iter(|| List::read(ListKind::Networks, black_box(&text)));
            },
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decisions, lists
}
criterion_main!(benches);
