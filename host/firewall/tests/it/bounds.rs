//! Every bound of a configuration: at it, and one past it.

use openline_firewall::Others;
use openline_firewall::limits::{
    ARGUMENT_BYTES_MAX, BEHAVIORS_MAX, BODY_BYTES_MAX, CRITERIA_MAX, DESCRIPTION_BYTES_MAX,
    ERRORS_MAX, FIREWALLS_MAX, GROUP_DEPTH_MAX, HEADER_VALUE_BYTES_MAX, LISTS_MAX, NAME_BYTES_MAX,
    PATTERNS_MAX, RATE_LIMITS_MAX, RATE_MAX, RULES_MAX,
};
use openline_firewall::rules::Rules;

use crate::support::errors;

/// Checks that a text is fine with `most`, and that its only error with one
/// more has these words.
fn bounded(most: usize, words: &str, text: impl Fn(usize) -> String) {
    if let Err(errors) = Rules::parse(&text(most), Others::Refuse) {
        panic!("{most} are refused: {}", errors[0]);
    }
    let errors = errors(&text(most + 1));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains(words), "{}", errors[0]);
    assert!(!errors[0].hint.is_empty() && errors[0].line > 0);
}

fn one_rule(lines: &str) -> String {
    format!("[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'r'\n{lines}\n")
}

fn repeated(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// So many rules over firewalls that hold some of them each.
fn many_rules(count: usize, lines: &str) -> String {
    repeated(count, |number| {
        let firewall = if number % 1000 == 0 {
            format!("[[firewall]]\nname = '{number}'\n")
        } else {
            String::new()
        };
        format!("{firewall}[[firewall.rule]]\nname = '{number}'\n{lines}\n")
    })
}

#[test]
fn firewalls_rules_and_lists() {
    bounded(FIREWALLS_MAX, "more than 64 [[firewall]]", |count| {
        repeated(count, |number| format!("[[firewall]]\nname = '{number}'\n"))
    });
    bounded(RULES_MAX, "more than 1024 [[firewall.rule]]", |count| {
        let rule = |number| format!("[[firewall.rule]]\nname = '{number}'\nbehaviors = ['log']\n");
        format!("[[firewall]]\nname = 'f'\n{}", repeated(count, rule))
    });
    bounded(LISTS_MAX, "more than 64 [[list]]", |count| {
        repeated(count, |number| {
            format!("[[list]]\nname = '{number}'\ntype = 'texts'\nitems = []\n")
        })
    });
    bounded(1_024, "more than 1024 entries", |count| {
        let items = repeated(count, |number| format!("'{number}', "));
        format!("[[list]]\nname = 'l'\ntype = 'texts'\nitems = [{items}]\n")
    });
}

#[test]
fn criteria_groups_and_behaviours() {
    bounded(CRITERIA_MAX, "more than 64 criteria", |count| {
        let criteria = repeated(count, |_| "'uri exists', ".into());
        one_rule(&format!("criteria = [{criteria}]\nbehaviors = ['log']"))
    });
    bounded(GROUP_DEPTH_MAX, "more than 4 deep", |depth| {
        let (open, close) = ("[".repeat(depth + 1), "]".repeat(depth + 1));
        one_rule(&format!(
            "criteria = {open}'uri exists'{close}\nbehaviors = ['log']"
        ))
    });
    bounded(BEHAVIORS_MAX, "more than 10 behaviours", |count| {
        let behaviors = repeated(count, |_| "'log', ".into());
        one_rule(&format!("behaviors = [{behaviors}]"))
    });
}

#[test]
fn expressions_and_rates_of_all_firewalls_together() {
    bounded(PATTERNS_MAX, "more than 2048 expressions", |count| {
        many_rules(count, "criteria = ['uri matches a']\nbehaviors = ['log']")
    });
    bounded(RATE_LIMITS_MAX, "more than 64 rate limits", |count| {
        let limit = "{ set_rate_limit = { limit_by = 'global', average_rate_limit = 1 } }";
        many_rules(count, &format!("behaviors = [{limit}]"))
    });
    bounded(
        usize::try_from(RATE_MAX).unwrap(),
        "from 1 to 1000000",
        |rate| {
            let limit = format!("limit_by = 'global', average_rate_limit = {rate}");
            one_rule(&format!(
                "behaviors = [{{ set_rate_limit = {{ {limit} }} }}]"
            ))
        },
    );
    bounded(
        usize::try_from(RATE_MAX).unwrap(),
        "from 1 to 1000000",
        |burst| {
            let limit = format!(
                "limit_by = 'global', average_rate_limit = 1, maximum_burst_size = {burst}"
            );
            one_rule(&format!(
                "behaviors = [{{ set_rate_limit = {{ {limit} }} }}]"
            ))
        },
    );
}

#[test]
fn names_and_texts() {
    let a = |count| "a".repeat(count);
    bounded(NAME_BYTES_MAX, "more than 128", |count| {
        format!("[[firewall]]\nname = '{}'\n", a(count))
    });
    bounded(DESCRIPTION_BYTES_MAX, "more than 1000", |count| {
        one_rule(&format!(
            "description = '{}'\nbehaviors = ['log']",
            a(count)
        ))
    });
    for operator in ["is_equal", "matches", "matches_glob"] {
        bounded(ARGUMENT_BYTES_MAX, "more than 1024", |count| {
            let criterion = format!("'user_agent {operator} {}'", a(count));
            one_rule(&format!("criteria = [{criterion}]\nbehaviors = ['log']"))
        });
        bounded(ARGUMENT_BYTES_MAX, "more than 1024", |count| {
            let argument = a(count);
            let criterion = format!(
                "{{ variable = 'user_agent', operator = '{operator}', argument = '{argument}' }}"
            );
            one_rule(&format!("criteria = [{criterion}]\nbehaviors = ['log']"))
        });
    }
    bounded(BODY_BYTES_MAX, "more than 4096", |count| {
        one_rule(&format!(
            "behaviors = [{{ deny = {{ content_body = '{}' }} }}]",
            a(count)
        ))
    });
    bounded(HEADER_VALUE_BYTES_MAX, "more than 1024", |count| {
        let header = format!("name = 'x-a', value = '{}'", a(count));
        one_rule(&format!("behaviors = [{{ set_header = {{ {header} }} }}]"))
    });
}

#[test]
fn errors_are_bounded_too() {
    let text = many_rules(ERRORS_MAX + 1, "behaviors = ['nope']");
    assert_eq!(errors(&text).len(), ERRORS_MAX);
}
