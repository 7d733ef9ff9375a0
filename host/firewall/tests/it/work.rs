//! The work of an evaluation: where it pauses, where it ends, and that a pause
//! changes nothing else.

use std::time::Duration;

use openline_firewall::evaluation::{Decision, Evaluation, Outcome, Step, Unclear};
use openline_firewall::rules::Firewalls;
use openline_firewall::trace::{Ran, Trace};

use crate::support::{Asked, firewalls};

/// An expression of a web application firewall, of a kind that is common.
fn expression(number: usize) -> String {
    format!(
        "http_x_t matches (?i)(?:;|\\|\\|?|&&?).{{0,100}}(?:cat|wget|curl).{{0,100}}/{number:04}"
    )
}

/// A value that keeps all of its states busy.
fn value(bytes: usize) -> Vec<u8> {
    let words = ["; ", "|", "cat", "wget", "a", "& ", "nc"];
    let mut number = 12_345_u64;
    let mut text = Vec::new();
    while text.len() < bytes {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        let word = words[usize::try_from(number % 7).unwrap()];
        text.extend_from_slice(word.as_bytes());
    }
    text.truncate(bytes);
    text
}

/// So many rules with such an expression each.
fn rules(count: usize) -> Firewalls {
    let rule = |number| {
        let criterion = expression(number);
        format!(
            "[[firewall.rule]]\nname = '{number}'\ncriteria = ['{criterion}']\nbehaviors = ['deny']\n"
        )
    };
    let rules: String = (0..count).map(rule).collect();
    firewalls(&format!("[[firewall]]\nname = 'f'\n{rules}"))
}

/// How often an evaluation pauses, and its decision with the rule.
fn run(firewalls: &Firewalls, asked: &Asked) -> (usize, Option<String>, bool) {
    let mut evaluation = Evaluation::new(firewalls, firewalls.find("f"), None);
    let mut pauses = 0;
    loop {
        match evaluation.run(&asked.request(), Duration::ZERO, &mut ()) {
            Step::Pause => pauses += 1,
            Step::Decided(Decision { outcome, by }) => {
                let is_too_much = outcome == Outcome::Refuse(Unclear::Work);
                return (pauses, by.map(|by| by.rule.to_owned()), is_too_much);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_value_that_is_too_much_work_is_refused_by_the_rule_that_sees_it() {
    let firewalls = rules(100);
    let asked = Asked::default().header("x-t", &value(8_000));
    assert_eq!(run(&firewalls, &asked), (0, Some("0".into()), true));
    // What each rule can take, all together cannot.
    let asked = Asked::default().header("x-t", &value(600));
    let (pauses, by, is_too_much) = run(&firewalls, &asked);
    assert!(is_too_much, "{by:?}");
    assert!((10..=40).contains(&pauses), "{pauses}");
    let by: usize = by.unwrap().parse().unwrap();
    assert!((10..90).contains(&by), "{by}");
    // What browsers send is not too much for them, from the first request on.
    let agent = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
    let asked = Asked::default().header("x-t", agent);
    for _ in 0..10 {
        let (_, by, _) = run(&firewalls, &asked);
        assert_eq!(by, None);
    }
}

#[test]
fn a_pause_changes_nothing_and_is_not_seen() {
    // One rule with many criteria, between two others.
    let criteria: String = (0..40)
        .map(|number| format!("'or {}', ", expression(number)))
        .collect();
    let text = format!(
        "[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'first'\nbehaviors = ['log']\n\
         [[firewall.rule]]\nname = 'many'\ncriteria = ['uri is_equal /none', {criteria} 'or uri is_equal /']\n\
         behaviors = ['log']\n[[firewall.rule]]\nname = 'last'\nbehaviors = ['deny']\n"
    );
    let firewalls = firewalls(&text);
    let asked = Asked::default().header("x-t", &value(200));
    let mut evaluation = Evaluation::new(&firewalls, firewalls.find("f"), None);
    let mut trace = Trace::default();
    let mut pauses = 0;
    let decision = loop {
        match evaluation.run(&asked.request(), Duration::ZERO, &mut trace) {
            Step::Pause => pauses += 1,
            Step::Decided(decision) => break decision,
            other => panic!("{other:?}"),
        }
    };
    assert!(pauses > 1, "{pauses}");
    assert_eq!(decision.by.unwrap().rule, "last");
    let seen: Vec<_> = trace.rules.iter().map(|rule| &*rule.rule).collect();
    assert_eq!(seen, ["first", "many", "last"]);
    let many: Vec<_> = trace.rules[1].criteria.iter().map(|it| it.holds).collect();
    assert_eq!(many.len(), 42);
    assert!(many[41] && many[..41].iter().all(|holds| !holds));
    let logged: Vec<_> = evaluation
        .effects()
        .logged
        .iter()
        .map(|by| by.rule)
        .collect();
    assert_eq!(logged, ["first", "many"]);

    let mut ran = Ran::default();
    let mut evaluation = Evaluation::new(&firewalls, firewalls.find("f"), None);
    while evaluation.run(&asked.request(), Duration::ZERO, &mut ran) == Step::Pause {}
    assert_eq!(ran.to_string(), "f/first, f/many, f/last");
}

#[test]
fn many_rules_of_the_usual_kind_are_little_work_for_a_large_request() {
    let rule = |number: usize| {
        let criterion = match number % 4 {
            0 => format!("uri starts_with /private/{number}"),
            1 => format!("http_cookie matches (?i)(bot|spider)-{number}"),
            2 => format!("arg_key is_equal {number}"),
            _ => format!("cookie_role is_equal {number}"),
        };
        format!(
            "[[firewall.rule]]\nname = '{number}'\ncriteria = ['{criterion}']\nbehaviors = ['deny']\n"
        )
    };
    let rules: String = (0..1_000).map(rule).collect();
    let firewalls = firewalls(&format!("[[firewall]]\nname = 'f'\n{rules}"));
    let letters: String = ('a'..='z').chain('0'..='9').cycle().take(4_000).collect();
    let asked = Asked::at(&format!("/?a={}", &letters[..2_000]));
    let asked = asked.header("cookie", format!("sid={letters}").as_bytes());
    for _ in 0..3 {
        let (pauses, by, _) = run(&firewalls, &asked);
        assert_eq!(by, None);
        assert!(pauses <= 10, "{pauses}");
    }
}
