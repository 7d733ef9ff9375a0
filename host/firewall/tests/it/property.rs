//! Random rules and requests: the evaluator decides as the plain one does, with
//! and without a trace, and its trace says why.

use std::time::Duration;

use openline_firewall::evaluation::{Evaluation, Outcome, Step, Unclear};
use openline_firewall::trace::{Ran, Trace};
use proptest::prelude::*;

use crate::plain_rules::{
    PlainBehavior, PlainCriterion, PlainRequest, PlainRule, PlainTerm, evaluate,
};
use crate::support::{Asked, firewalls};

const OPERATORS: [&str; 14] = [
    "is_equal",
    "is_not_equal",
    "starts_with",
    "does_not_start_with",
    "ends_with",
    "does_not_end_with",
    "contains",
    "does_not_contain",
    "matches",
    "does_not_match",
    "matches_glob",
    "does_not_match_glob",
    "exists",
    "does_not_exist",
];

const VARIABLES: [&str; 6] = [
    "uri",
    "http_x_a",
    "http_x_b",
    "arg_a",
    "arg_b",
    "remote_addr",
];

/// Short texts of few letters, so that they are often equal.
fn text() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn criterion() -> impl Strategy<Value = PlainCriterion> {
    let parts = (
        any::<bool>(),
        prop::sample::select(&VARIABLES[..]),
        prop::sample::select(&OPERATORS[..]),
        text(),
        0u8..3,
        prop::bool::weighted(0.2),
    );
    parts.prop_map(|(or, variable, operator, text, digit, empty)| {
        let text = match variable {
            "uri" => format!("/{text}"),
            "remote_addr" => format!("10.0.0.{digit}"),
            _ => text,
        };
        let argument = match operator {
            "exists" | "does_not_exist" => String::new(),
            "is_equal" | "is_not_equal" if empty && variable != "remote_addr" => String::new(),
            "matches" | "does_not_match" if empty => "^$".into(),
            "matches_glob" | "does_not_match_glob" if empty => "*".into(),
            "matches" | "does_not_match" => format!("^{text}$"),
            "matches_glob" | "does_not_match_glob" => format!("{text}*"),
            _ => text,
        };
        PlainCriterion {
            or,
            variable,
            operator,
            argument,
        }
    })
}

fn terms() -> impl Strategy<Value = Vec<PlainTerm>> {
    let leaf = criterion().prop_map(PlainTerm::Criterion);
    let term = leaf.prop_recursive(2, 12, 4, |inner| {
        let terms = prop::collection::vec(inner, 1..4);
        (any::<bool>(), terms).prop_map(|(or, terms)| PlainTerm::Group(or, terms))
    });
    prop::collection::vec(term, 0..5)
}

fn rule() -> impl Strategy<Value = PlainRule> {
    let behavior = prop_oneof![
        4 => Just(PlainBehavior::Log),
        1 => Just(PlainBehavior::Deny),
        1 => Just(PlainBehavior::Drop),
        1 => Just(PlainBehavior::Allow),
        1 => Just(PlainBehavior::Respond),
    ];
    let active = prop::bool::weighted(0.9);
    (active, terms(), behavior).prop_map(|(active, criteria, behavior)| PlainRule {
        active,
        criteria,
        behavior,
    })
}

fn request() -> impl Strategy<Value = PlainRequest> {
    let name = || prop::sample::select(&["a", "b"][..]);
    let value = || "[ab]{0,2}";
    let headers = prop::collection::vec((name(), value()), 0..4);
    let arguments = prop::collection::vec((name(), value()), 0..4);
    (text(), headers, arguments, 0u8..3).prop_map(|(path, headers, arguments, last)| PlainRequest {
        path: format!("/{path}"),
        headers: headers
            .into_iter()
            .map(|(name, value)| (format!("x-{name}"), value))
            .collect(),
        arguments: arguments
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        peer: [10, 0, 0, last],
    })
}

/// Writes terms as a configuration does. The first is joined to nothing, unless
/// it begins a group that is joined.
fn written(terms: &[PlainTerm], joined: Option<bool>, short: bool) -> String {
    let word = |or| if or { "or" } else { "and" };
    let term = |(index, term): (usize, &PlainTerm)| {
        let conditional = |own: bool| match (index, joined) {
            (0, None) => "if",
            (0, Some(or)) => word(or),
            _ => word(own),
        };
        match term {
            PlainTerm::Criterion(it) if short => {
                let argument = match &*it.argument {
                    "" if it.operator.ends_with("equal") => "\"\"",
                    argument => argument,
                };
                format!(
                    "'{} {} {} {argument}'",
                    conditional(it.or),
                    it.variable,
                    it.operator
                )
            }
            PlainTerm::Criterion(it) => {
                let argument = match it.operator {
                    "exists" | "does_not_exist" => String::new(),
                    _ => format!(", argument = '{}'", it.argument),
                };
                let (variable, operator) = (it.variable, it.operator);
                let conditional = conditional(it.or);
                format!(
                    "{{ conditional = '{conditional}', variable = '${{{variable}}}', operator = '{operator}'{argument} }}"
                )
            }
            PlainTerm::Group(own, terms) => {
                let joined = if index == 0 { joined } else { Some(*own) };
                format!("[{}]", written(terms, joined, short))
            }
        }
    };
    let all: Vec<_> = terms.iter().enumerate().map(term).collect();
    all.join(", ")
}

fn configuration(rules: &[PlainRule], short: bool) -> String {
    let mut text = "[[firewall]]\nname = 'f'\n".to_owned();
    for (number, rule) in rules.iter().enumerate() {
        let behavior = match rule.behavior {
            PlainBehavior::Log => "'log'",
            PlainBehavior::Deny => "'deny'",
            PlainBehavior::Drop => "'drop'",
            PlainBehavior::Allow => "'allow'",
            PlainBehavior::Refuse => panic!("no rule has it"),
            PlainBehavior::Respond => "{ set_custom_response = { status_code = 200 } }",
        };
        let criteria = match &*rule.criteria {
            [] => String::new(),
            terms => format!("criteria = [{}]\n", written(terms, None, short)),
        };
        let active = rule.active;
        text += &format!(
            "[[firewall.rule]]\nname = '{number}'\nactive = {active}\n{criteria}behaviors = [{behavior}]\n"
        );
    }
    text
}

fn asked(request: &PlainRequest) -> Asked {
    let arguments = request.arguments.iter();
    let query: Vec<_> = arguments
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let [a, b, c, d] = request.peer;
    let mut asked = Asked::at(&request.path).from(&format!("{a}.{b}.{c}.{d}"));
    asked.query = (!query.is_empty()).then(|| query.join("&"));
    let headers = request.headers.iter();
    headers.fold(asked, |asked, (name, value)| {
        asked.header(name, value.as_bytes())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decides_as_the_plain_evaluator(
        rules in prop::collection::vec(rule(), 0..8),
        requests in prop::collection::vec(request(), 1..8),
        short in any::<bool>(),
    ) {
        let text = configuration(&rules, short);
        let firewalls = firewalls(&text);
        let id = firewalls.find("f");
        for request in requests {
            let (decided, logged) = evaluate(&rules, &request);
            let asked = asked(&request);
            let mut evaluation = Evaluation::new(&firewalls, id, None);
            let step = evaluation.run(&asked.request(), Duration::ZERO, &mut ());
            let Step::Decided(decision) = &step else { panic!("it stopped") };
            let behavior = match decision.outcome {
                Outcome::Pass if decision.by.is_none() => None,
                Outcome::Pass => Some(PlainBehavior::Allow),
                Outcome::Deny(_) => Some(PlainBehavior::Deny),
                Outcome::Drop => Some(PlainBehavior::Drop),
                Outcome::Respond(_) => Some(PlainBehavior::Respond),
                Outcome::Refuse(Unclear::Repeated(_)) => Some(PlainBehavior::Refuse),
                Outcome::Refuse(Unclear::Work) => panic!("it is little work"),
                Outcome::Limit(_) => panic!("no rule limits"),
            };
            let rule = decision.by.map(|by| by.rule.parse::<usize>().unwrap());
            prop_assert_eq!(rule.zip(behavior), decided, "{}\n{:?}", text, request);
            let logs = evaluation.effects().logged.iter();
            let logs: Vec<usize> = logs.map(|by| by.rule.parse().unwrap()).collect();
            prop_assert_eq!(&logs, &logged, "{}\n{:?}", text, request);

            // Observed, it decides the same.
            let (mut trace, mut ran) = (Trace::default(), Ran::default());
            let mut evaluation = Evaluation::new(&firewalls, id, None);
            let traced = evaluation.run(&asked.request(), Duration::ZERO, &mut trace);
            prop_assert_eq!(&traced, &step);
            let mut evaluation = Evaluation::new(&firewalls, id, None);
            evaluation.run(&asked.request(), Duration::ZERO, &mut ran);
            let names = trace.rules.iter().filter(|rule| rule.matched);
            let names: Vec<_> = names.map(|rule| format!("f/{}", rule.rule)).collect();
            prop_assert_eq!(ran.to_string(), names.join(", "));
            let ends = decided.is_some_and(|(_, how)| how != PlainBehavior::Refuse);
            let matched = logged.len() + usize::from(ends);
            prop_assert_eq!(names.len(), matched);
        }
    }
}
