//! Lists in files: read whole or not at all, and read again.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use openline_firewall::Others;
use openline_firewall::rules::{Firewalls, Rules};
use openline_hint::Hint;

use crate::support::{Asked, decided};

const TEXT: &str = "
    [[firewall]]
    name = 'f'
    [[firewall.rule]]
    name = 'r'
    criteria = ['remote_addr is_in_list blocked', 'or user_agent is_in_list agents']
    behaviors = ['deny']
    [[list]]
    name = 'blocked'
    type = 'networks'
    file = 'lists/blocked.txt'
    [[list]]
    name = 'agents'
    type = 'texts'
    file = 'agents.txt'";

fn rules() -> Arc<Rules> {
    Arc::new(Rules::parse(TEXT, Others::Refuse).unwrap())
}

/// Reads files that are in memory.
fn files<'a>(files: &'a [(&str, &str)]) -> impl FnMut(&Path) -> io::Result<Vec<u8>> + 'a {
    let files: HashMap<_, _> = files.iter().copied().collect();
    move |path| {
        let text = files.get(path.to_str().unwrap());
        text.map(|it| it.as_bytes().to_vec())
            .ok_or(io::ErrorKind::NotFound.into())
    }
}

fn denied(firewalls: &Firewalls, peer: &str) -> bool {
    decided(firewalls, &Asked::default().from(peer)) != "pass"
}

#[test]
fn a_list_is_replaced_as_a_whole_and_stays_when_a_line_is_wrong() {
    let rules = rules();
    let named: Vec<_> = rules.files().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(named, ["lists/blocked.txt", "agents.txt"]);
    let first = [
        ("lists/blocked.txt", "10.0.0.0/8\n"),
        ("agents.txt", "curl\n"),
    ];
    let old = Firewalls::load(rules, files(&first)).unwrap();
    assert!(denied(&old, "10.1.1.1") && !denied(&old, "2001:db8::1"));
    let curl = Asked::default().header("user-agent", b"curl");
    assert_eq!(decided(&old, &curl), "deny 403 by f/r");

    let mut wrong = "2001:db8::/32\n".repeat(299);
    wrong += "2001:db8::/129\n10.0.0.0/8\n";
    let second = [("lists/blocked.txt", &*wrong), ("agents.txt", "")];
    let error = old.reload(files(&second)).unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with(
            "the list `blocked` in lists/blocked.txt: line 300: `2001:db8::/129` is not"
        ),
        "{said}"
    );
    assert!(error.hint().unwrap().contains("fd00::/8"));
    assert!(denied(&old, "10.1.1.1") && !denied(&old, "2001:db8::1"));

    let third = [("lists/blocked.txt", "2001:db8::/32\n"), ("agents.txt", "")];
    let new = old.reload(files(&third)).unwrap();
    assert!(!denied(&new, "10.1.1.1") && denied(&new, "2001:db8::1"));
    assert_eq!(decided(&new, &curl), "pass");
    // Requests that began before see the old ones.
    assert!(denied(&old, "10.1.1.1"));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = Firewalls::load(rules(), files(&[("lists/blocked.txt", "")])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the list `agents` in agents.txt: "),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("relative"));
}

/// Two million addresses with one line wrong: the line is named, and the
/// correct list has all of them.
#[test]
fn two_million_addresses() {
    let mut text = String::new();
    for number in 0..2_000_000_u32 {
        // Every other address, so that none touches the next.
        let [a, b, c, d] = (0x0b00_0000 + 2 * number).to_be_bytes();
        text += &format!("{a}.{b}.{c}.{d}\n");
    }
    let right = [("lists/blocked.txt", &*text), ("agents.txt", "")];
    let all = Firewalls::load(rules(), files(&right)).unwrap();
    for number in (0..2_000_000_u32).step_by(997) {
        let peer = |bits: u32| std::net::Ipv4Addr::from_bits(bits).to_string();
        assert!(denied(&all, &peer(0x0b00_0000 + 2 * number)));
        assert!(!denied(&all, &peer(0x0b00_0001 + 2 * number)));
    }
    let wrong = text.replacen("\n11.16.0.0\n", "\n11.16.0.0.0\n", 1);
    let wrong = [("lists/blocked.txt", &*wrong), ("agents.txt", "")];
    let error = all.reload(files(&wrong)).unwrap_err();
    let line = 1 + (16 << 16) / 2;
    assert!(
        error
            .to_string()
            .contains(&format!("line {line}: `11.16.0.0.0`")),
        "{error}"
    );
}
