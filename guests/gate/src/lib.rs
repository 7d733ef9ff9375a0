//! Keeps scanners out: a peer that asks for a path which only scanners ask for
//! is refused from then on, whatever it asks for. A rule gives it the requests,
//! with `run_function = "gate"`.
//!
//! It remembers them in the memory of an instance: with `instances = 1` there is
//! only one, and all requests meet it. It forgets when the instance is dropped.

use std::collections::{HashSet, VecDeque};

use openline_sdk::firewall::{Allow, Answer, Firewall, Request, Verdict};

/// How paths begin that only scanners ask for.
const BAIT: [&str; 5] = ["/.env", "/.git/", "/wp-", "/cgi-bin/", "/phpmyadmin"];
/// How many peers it remembers; then it forgets the first.
const SCANNERS_MAX: usize = 10_000;

#[derive(Default)]
struct Gate {
    scanners: HashSet<String>,
    /// The same peers, in the order in which they came.
    order: VecDeque<String>,
}

impl Firewall for Gate {
    fn inspect(&mut self, request: &Request) -> Verdict {
        let peer = request.peer_address();
        if BAIT.iter().any(|bait| request.path().starts_with(bait)) {
            self.remember(peer);
        }
        if self.scanners.contains(peer) {
            return Verdict::Deny(Answer::text(403, "scanners stay out\n"));
        }
        Verdict::Allow(Allow::new().header("x-gate", "passed"))
    }
}

impl Gate {
    fn remember(&mut self, peer: &str) {
        if !self.scanners.insert(peer.to_owned()) {
            return;
        }
        self.order.push_back(peer.to_owned());
        if self.order.len() > SCANNERS_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.scanners.remove(&first);
        }
    }
}

openline_sdk::export_firewall!(Gate);
