//! What rules do: order, ends, rates, headers, functions, claims, two
//! firewalls.

use std::sync::Arc;
use std::time::Duration;

use openline_firewall::Others;
use openline_firewall::evaluation::{Decision, Evaluation, Outcome, Step};
use openline_firewall::request::Claims;
use openline_firewall::rules::{Firewalls, Rules};
use openline_firewall::trace::Trace;
use serde_json::json;

use crate::support::{Asked, decided, decided_at, firewalls, no_files};

/// A firewall named `f` with rules named `1`, `2` and so on: criteria, and
/// behaviours.
fn rules(rules: &[(&str, &str)]) -> String {
    let mut text = "[[firewall]]\nname = 'f'\n".to_owned();
    for (index, (criteria, behaviors)) in rules.iter().enumerate() {
        let name = index + 1;
        text += &format!(
            "[[firewall.rule]]\nname = '{name}'\ncriteria = [{criteria}]\nbehaviors = [{behaviors}]\n"
        );
    }
    text
}

fn pass<'a>() -> Step<'a> {
    Step::Decided(Decision {
        outcome: Outcome::Pass,
        by: None,
    })
}

#[test]
fn all_rules_that_hold_run_until_one_ends_it() {
    let firewalls = firewalls(&rules(&[
        (
            "'uri starts_with /'",
            "'log', { set_header = { name = 'x-a', value = '1' } }",
        ),
        ("'uri is_equal /open'", "'allow'"),
        (
            "'uri is_equal /gone'",
            "{ set_custom_response = { status_code = 404, content_body = 'gone', content_type = 'text/plain' } }",
        ),
        ("'uri is_equal /drop'", "'drop'"),
        (
            "'uri starts_with /'",
            "{ set_header = { name = 'x-a', value = '2' } }, { deny = { status_code = 451 } }",
        ),
        ("'uri starts_with /'", "'log'"),
    ]));
    assert_eq!(decided(&firewalls, &Asked::at("/open")), "pass by f/2");
    assert_eq!(
        decided(&firewalls, &Asked::at("/gone")),
        "respond 404 by f/3"
    );
    assert_eq!(decided(&firewalls, &Asked::at("/drop")), "drop by f/4");
    assert_eq!(decided(&firewalls, &Asked::at("/x")), "deny 451 by f/5");
    // A finished evaluation repeats its decision.
    let asked = Asked::at("/x");
    let mut evaluation = Evaluation::new(&firewalls, firewalls.find("f"), None);
    let first = evaluation.run(&asked.request(), Duration::ZERO, &mut ());
    let second = evaluation.run(&asked.request(), Duration::ZERO, &mut ());
    assert_eq!(first, second);
    let asked = Asked::at("/x");
    let mut evaluation = Evaluation::new(&firewalls, firewalls.find("f"), None);
    evaluation.run(&asked.request(), Duration::ZERO, &mut ());
    let effects = evaluation.effects();
    let headers: Vec<_> = effects
        .headers
        .iter()
        .map(|(_, value)| value.to_str().unwrap())
        .collect();
    assert_eq!(headers, ["1", "2"]);
    assert_eq!(effects.logged.len(), 1);
    // What peers send by that name is to be removed.
    let set = firewalls.headers(firewalls.find("f").unwrap());
    assert_eq!(set.len(), 1);
    assert_eq!(set[0], "x-a");
}

#[test]
fn answers_have_a_status_a_type_and_a_body() {
    let firewalls = firewalls(&rules(&[
        ("'uri is_equal /1'", "'deny'"),
        ("'uri is_equal /2'", "{ deny = { content_body = 'no' } }"),
        (
            "'uri is_equal /3'",
            "{ set_custom_response = { status_code = 200, content_type = 'application/json', content_body = '{}' } }",
        ),
    ]));
    let answer = |path: &str| {
        let asked = Asked::at(path);
        let mut evaluation = Evaluation::new(&firewalls, firewalls.find("f"), None);
        match evaluation.run(&asked.request(), Duration::ZERO, &mut ()) {
            Step::Decided(Decision {
                outcome: Outcome::Deny(answer) | Outcome::Respond(answer),
                ..
            }) => {
                let kind = answer
                    .content_type
                    .as_ref()
                    .map(|it| it.to_str().unwrap().to_owned());
                (answer.status.as_u16(), kind, answer.body.to_vec())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(answer("/1"), (403, None, vec![]));
    let text = Some("text/plain; charset=utf-8".into());
    assert_eq!(answer("/2"), (403, text, b"no".to_vec()));
    assert_eq!(
        answer("/3"),
        (200, Some("application/json".into()), b"{}".to_vec())
    );
}

#[test]
fn a_rate_refuses_at_once_and_says_when_to_come_back() {
    let firewalls = firewalls(&rules(&[
        (
            "'uri is_equal /'",
            "{ set_rate_limit = { type = 'second', limit_by = 'client_ip', average_rate_limit = 2, maximum_burst_size = 3 } }",
        ),
        (
            "'uri is_equal /key'",
            "{ set_rate_limit = { type = 'minute', limit_by = 'header:x-key', average_rate_limit = 1 } }",
        ),
        (
            "'uri is_equal /all'",
            "{ set_rate_limit = { type = 'minute', limit_by = 'global', average_rate_limit = 2 } }, 'log'",
        ),
    ]));
    let root = Asked::at("/");
    for _ in 0..3 {
        assert_eq!(decided(&firewalls, &root), "pass");
    }
    assert_eq!(decided(&firewalls, &root), "limit 500ms by f/1");
    assert_eq!(decided(&firewalls, &root.clone().from("192.0.2.2")), "pass");
    let later = Duration::from_millis(500);
    assert_eq!(decided_at(&firewalls, &root, later), "pass");
    let key = |key: &str| Asked::at("/key").header("x-key", key.as_bytes());
    assert_eq!(decided(&firewalls, &key("a")), "pass");
    assert_eq!(
        decided(&firewalls, &key("a").from("192.0.2.2")),
        "limit 60s by f/2"
    );
    assert_eq!(decided(&firewalls, &key("b")), "pass");
    assert_eq!(decided(&firewalls, &Asked::at("/key")), "pass");
    assert_eq!(
        decided(&firewalls, &Asked::at("/key").from("::1")),
        "limit 60s by f/2"
    );
    let all = Asked::at("/all");
    assert_eq!(decided(&firewalls, &all), "pass");
    assert_eq!(decided(&firewalls, &all.clone().from("::1")), "pass");
    assert_eq!(decided(&firewalls, &all.from("::2")), "limit 30s by f/3");
}

#[test]
fn a_new_configuration_keeps_the_buckets_of_rates_that_stay() {
    let text = |average: u32, name: &str| {
        format!(
            "[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = '{name}'\nbehaviors = [{{ set_rate_limit = {{ type = 'minute', average_rate_limit = {average} }} }}]"
        )
    };
    let before = firewalls(&text(1, "a"));
    assert_eq!(decided(&before, &Asked::default()), "pass");
    let after = |text: &str| {
        let mut rules = Rules::parse(text, Others::Refuse).unwrap();
        rules.adopt_buckets(before.rules());
        Firewalls::load(Arc::new(rules), no_files).unwrap()
    };
    let same = after(&text(1, "a"));
    assert_eq!(decided(&same, &Asked::default()), "limit 60s by f/a");
    // Another rate or another rule begins anew.
    assert_eq!(decided(&after(&text(2, "a")), &Asked::default()), "pass");
    assert_eq!(decided(&after(&text(1, "b")), &Asked::default()), "pass");
}

#[test]
fn two_equal_rates_of_one_rule_stay_two() {
    let rate = "{ set_rate_limit = { type = 'minute', average_rate_limit = 2 } }";
    let text = format!(
        "[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'a'\nbehaviors = [{rate}, {rate}]"
    );
    let before = firewalls(&text);
    let mut rules = Rules::parse(&text, Others::Refuse).unwrap();
    rules.adopt_buckets(before.rules());
    let after = Firewalls::load(Arc::new(rules), no_files).unwrap();
    assert_eq!(decided(&after, &Asked::default()), "pass");
    assert_eq!(decided(&after, &Asked::default()), "pass");
    assert_eq!(decided(&after, &Asked::default()), "limit 30s by f/a");
}

#[test]
fn a_rate_by_host_counts_the_host_however_it_is_written() {
    let firewalls = firewalls(
        "[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'a'\nbehaviors = [{ set_rate_limit = { type = 'minute', limit_by = 'header:Host', average_rate_limit = 2 } }]",
    );
    let ask = |written: &str, host: &str| {
        let mut asked = Asked::default().header("host", written.as_bytes());
        asked.host = Some(host.into());
        decided(&firewalls, &asked)
    };
    assert_eq!(ask("a.example", "a.example"), "pass");
    assert_eq!(ask("A.example.", "a.example"), "pass");
    assert_eq!(ask("a.example:80", "a.example"), "limit 30s by f/a");
    assert_eq!(ask("b.example", "b.example"), "pass");
}

#[test]
fn the_trigger_s_firewall_runs_after_the_host_s_whatever_that_allows() {
    let text = "
        [[firewall]]
        name = 'host'
        [[firewall.rule]]
        name = 'office'
        criteria = ['remote_addr is_equal 192.0.2.1']
        behaviors = ['allow']
        [[firewall.rule]]
        name = 'rest'
        criteria = ['remote_addr is_equal 192.0.2.3']
        behaviors = ['deny']
        [[firewall]]
        name = 'trigger'
        [[firewall.rule]]
        name = 'secret'
        criteria = ['uri is_equal /secret']
        behaviors = ['drop']
        [[firewall]]
        name = 'off'
        active = false
        [[firewall.rule]]
        name = 'all'
        behaviors = ['deny']";
    let firewalls = firewalls(text);
    let run = |host: Option<&str>, trigger: Option<&str>, asked: &Asked| {
        let find = |name: Option<&str>| name.map(|name| firewalls.find(name).unwrap());
        let mut evaluation = Evaluation::new(&firewalls, find(host), find(trigger));
        match evaluation.run(&asked.request(), Duration::ZERO, &mut ()) {
            Step::Decided(decision) => decision.by.map(|by| by.to_string()),
            step => panic!("{step:?}"),
        }
    };
    let office = |path: &str| Asked::at(path);
    let both = (Some("host"), Some("trigger"));
    let rule = |rule: &str, firewall: &str| Some(format!("rule `{rule}` of firewall `{firewall}`"));
    assert_eq!(run(both.0, both.1, &office("/")), rule("office", "host"));
    assert_eq!(
        run(both.0, both.1, &office("/secret")),
        rule("secret", "trigger")
    );
    let other = office("/secret").from("192.0.2.3");
    assert_eq!(run(both.0, both.1, &other), rule("rest", "host"));
    assert_eq!(
        run(None, Some("trigger"), &other),
        rule("secret", "trigger")
    );
    assert_eq!(run(None, Some("off"), &other), None);
    assert_eq!(run(None, None, &other), None);
    assert_eq!(firewalls.find("missing"), None);
    assert_eq!(
        firewalls.names().collect::<Vec<_>>(),
        ["host", "trigger", "off"]
    );
}

#[test]
fn a_rule_that_needs_claims_waits_for_them_and_those_before_it_do_not() {
    let firewalls = firewalls(&rules(&[
        ("'uri is_equal /no'", "'deny'"),
        ("'uri starts_with /'", "'log'"),
        (
            "'claim_role is_not_equal admin', 'uri is_equal /admin'",
            "'deny'",
        ),
        (
            "'uri is_equal /limited'",
            "{ set_rate_limit = { type = 'minute', limit_by = 'claim:sub', average_rate_limit = 1 } }",
        ),
    ]));
    let run = |path: &str, claims: &serde_json::Value| {
        let asked = Asked::at(path);
        let mut request = asked.request();
        request.claims = Claims::Pending;
        let mut evaluation = Evaluation::new(&firewalls, None, firewalls.find("f"));
        match evaluation.run(&request, Duration::ZERO, &mut ()) {
            Step::Authenticate => {}
            step => return format!("{step:?}"),
        }
        // Asked again without claims, it waits again.
        let again = evaluation.run(&request, Duration::ZERO, &mut ());
        assert_eq!(again, Step::Authenticate);
        request.claims = claims.as_object().map_or(Claims::Absent, Claims::Verified);
        let step = evaluation.run(&request, Duration::ZERO, &mut ());
        // The rules before it ran once.
        assert_eq!(evaluation.effects().logged.len(), 1);
        let Step::Decided(decision) = step else {
            panic!()
        };
        decision
            .by
            .map_or("pass".into(), |by| format!("by {}", by.rule))
    };
    assert!(run("/no", &json!({})).contains("Deny"));
    assert_eq!(run("/admin", &json!({"role": "admin"})), "pass");
    assert_eq!(run("/admin", &json!({"role": "user"})), "by 3");
    assert_eq!(run("/admin", &json!(null)), "by 3");
    assert_eq!(run("/limited", &json!({"sub": "ann"})), "pass");
    assert_eq!(run("/limited", &json!({"sub": "ann"})), "by 4");
    assert_eq!(run("/limited", &json!({"sub": "bob"})), "pass");
    assert_eq!(run("/limited", &json!(null)), "pass");
    assert_eq!(run("/limited", &json!({})), "by 4");
}

#[test]
fn a_function_decides_in_its_place_and_the_rest_of_its_rule_runs_afterwards() {
    let firewalls = firewalls(&rules(&[
        (
            "'uri is_equal /'",
            "'log', { run_function = 'inspect' }, { set_header = { name = 'x-seen', value = '1' } }, { run_function = 'again' }",
        ),
        ("'uri is_equal /'", "'log'"),
    ]));
    let asked = Asked::default();
    let request = asked.request();
    let mut trace = Trace::default();
    let mut evaluation = Evaluation::new(&firewalls, None, firewalls.find("f"));
    let mut run = || evaluation.run(&request, Duration::ZERO, &mut trace);
    for expected in ["inspect", "again"] {
        let Step::Run(function) = run() else { panic!() };
        assert_eq!(function.to_string(), expected);
    }
    assert_eq!(run(), pass());
    // A finished evaluation stays finished.
    assert_eq!(run(), pass());
    assert_eq!(evaluation.effects().logged.len(), 2);
    assert_eq!(evaluation.effects().headers.len(), 1);
    assert_eq!(trace.rules.len(), 2);
    assert_eq!(trace.rules[0].behaviors.len(), 4);
}
