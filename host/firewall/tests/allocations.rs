//! A decision allocates nothing, unless a value has escapes or is not UTF-8:
//! counted at the allocator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use openline_firewall::Others;
use openline_firewall::evaluation::{Evaluation, Step};
use openline_firewall::request::{Claims, Request};
use openline_firewall::rules::{Firewalls, Rules};

thread_local! {
    /// How often this thread has allocated.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts")]
// SAFETY: what is asked is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has nothing left to count.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TEXT: &str = "
    [[list]]
    name = 'networks'
    type = 'networks'
    items = ['10.0.0.0/8']
    [[list]]
    name = 'texts'
    type = 'texts'
    items = ['b']
    [[firewall]]
    name = 'f'
    [[firewall.rule]]
    name = 'criteria'
    criteria = [
        'remote_addr is_in_list networks', 'or remote_addr starts_with 10.', 'or remote_port is_equal 1',
        'or uri starts_with /a', 'or arg_a is_equal b', 'or http_x_a matches ^a+b+$', 'or user_agent contains bot',
        ['or cookie_c is_in_list texts', 'or claim_sub matches_glob a*z', 'or origin does_not_exist'],
    ]
    behaviors = ['deny']
    [[firewall.rule]]
    name = 'rates'
    criteria = ['uri exists']
    behaviors = [
        { set_rate_limit = { average_rate_limit = 1000 } },
        { set_rate_limit = { average_rate_limit = 1000, limit_by = 'header:x-a' } },
        { set_rate_limit = { average_rate_limit = 1000, limit_by = 'claim:sub' } },
    ]";

fn decisions(query: &str) -> usize {
    let rules = Rules::parse(TEXT, Others::Refuse).unwrap();
    let firewalls = Firewalls::load(Arc::new(rules), |_| Ok(Vec::new())).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-a", "aac"),
        ("user-agent", "Mozilla/5.0"),
        ("cookie", "a=b; c=d"),
        ("origin", "https://example.org"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let claims = serde_json::json!({"sub": "ann"});
    let request = Request {
        peer: IpAddr::from([192, 0, 2, 1]),
        peer_is_unnamed: false,
        peer_port: Some(50_000),
        method: "GET",
        scheme: "https",
        host: None,
        path: "/chat",
        query: Some(query),
        headers: &headers,
        tls: None,
        claims: Claims::Verified(claims.as_object().unwrap()),
    };
    let decide = || {
        let id = firewalls.find("f");
        let mut evaluation = Evaluation::new(&firewalls, id, id);
        let step = evaluation.run(&request, Duration::ZERO, &mut ());
        assert!(matches!(step, Step::Decided(decision) if decision.by.is_none()));
    };
    // The first decision of a thread makes the caches of its expressions.
    decide();
    let before = COUNT.get();
    (0..100).for_each(|_| decide());
    COUNT.get() - before
}

#[test]
fn a_decision_allocates_nothing() {
    assert_eq!(decisions("b=a&a=c"), 0);
    // The count sees what is there: an escape is decoded.
    assert!(decisions("b=a&a=%63") >= 100);
}
