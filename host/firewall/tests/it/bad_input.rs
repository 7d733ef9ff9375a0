//! Configurations that are wrong: every error names the rule, the line and a
//! way out. And expressions and texts that take others minutes.

use openline_firewall::Others;
use openline_firewall::rules::Rules;

use crate::support::{Asked, denying, errors, holds};

/// Checks the only error of a rule: what it says, and its hint.
fn wrong(rule: &str, message: &str, hint: &str) {
    let text = format!("[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'r'\n{rule}\n");
    let errors = errors(&text);
    assert_eq!(errors.len(), 1, "{rule}: {errors:?}");
    let error = &errors[0];
    assert!(
        error.message.starts_with("rule `r` of firewall `f`: "),
        "{error}"
    );
    assert!(error.message.contains(message), "{error}");
    assert!(error.hint.contains(hint), "{rule}: {}", error.hint);
    assert_eq!(error.line, 5, "{error}");
    assert!(!error.source.is_empty());
}

#[test]
fn an_error_in_line_300_is_found_there() {
    let mut text = "[[firewall]]\nname = 'edge'\n".to_owned();
    for number in 0..200 {
        text += &format!("[[firewall.rule]]\nname = 'rule {number}'\n");
        let operator = if number == 99 { "is_eqal" } else { "is_equal" };
        text += &format!("criteria = ['uri {operator} /{number}']\n");
        text += if number == 99 { "# wrong\n" } else { "" };
        text += "behaviors = ['deny']\n";
    }
    let line = 1 + text
        .lines()
        .position(|line| line.contains("is_eqal"))
        .unwrap();
    let errors = errors(&text);
    assert_eq!(errors.len(), 1);
    let error = &errors[0];
    assert_eq!(error.line, line);
    assert!(line > 300);
    assert!(
        error.message.contains("rule `rule 99` of firewall `edge`"),
        "{error}"
    );
    assert_eq!(error.hint, "did you mean `is_equal`?");
    assert_eq!(error.source, "criteria = ['uri is_eqal /99']");
}

/// Criteria, what is wrong with them, and the hint.
const CRITERIA: &[(&str, &str, &str)] = &[
    ("['urii is_equal /']", "no variable `urii`", "`uri`"),
    (
        "['weather is_equal sunny']",
        "no variable `weather`",
        "http_{name}",
    ),
    ("['http_ exists']", "no variable `http_`", ""),
    ("['http_\u{fc} exists']", "no variable", ""),
    ("['uri equals /']", "no operator `equals`", ""),
    ("['uri']", "`uri` is not a criterion", "VARIABLE OPERATOR"),
    ("['']", "is not a criterion", "VARIABLE OPERATOR"),
    ("['uri is_equal']", "`is_equal` needs an argument", "exists"),
    ("['uri exists /']", "`exists` has no argument", "is_equal"),
    ("['uri contains \"\"']", "`contains` is empty", "exists"),
    ("['and uri is_equal /']", "is not joined", "`if`"),
    (
        "['uri is_equal /', 'if uri is_equal /']",
        "only for the first",
        "`or`",
    ),
    ("[['or uri is_equal /']]", "is not joined", "`if`"),
    ("[7]", "a text in quotes", ""),
    ("'uri is_equal /'", "a list", ""),
    ("[]", "no criterion", "leave `criteria` out"),
    ("['uri is_equal /', []]", "no criterion", ""),
    (
        "[{ variable = 'uri' }]",
        "no `operator`",
        "VARIABLE OPERATOR",
    ),
    (
        "[{ variable = 'uri', operator = 'exists', argumnet = 'x' }]",
        "unknown key `argumnet`",
        "`argument`",
    ),
    (
        "[{ conditional = 'xor', variable = 'uri', operator = 'exists' }]",
        "`xor` does not join",
        "`or`",
    ),
    (
        "['remote_addr is_equal 10.0.0.1/8']",
        "bits behind its prefix",
        "10.0.0.0/8",
    ),
    (
        "['remote_addr is_equal fe80::1%eth0']",
        "has a zone",
        "leave it out",
    ),
    (
        "['remote_addr is_equal example.org']",
        "not an address",
        "10.0.0.7",
    ),
    ("['uri is_in_list l']", "no list `l`", "[[list]]"),
    (
        "['uri starts_with /caf\u{e9}']",
        "not how the host spells a path",
        "`/caf%C3%A9`",
    ),
    ("['uri is_equal /a%2fb']", "not how", "`/a%2Fb`"),
    ("['uri is_equal /%40staff']", "not how", "`/@staff`"),
    ("['uri is_equal /a/../b']", "not how", "`/b`"),
    ("['uri contains adm%69n']", "not how", "`admin`"),
    ("['uri starts_with admin']", "not how", "`/admin`"),
    (
        "['uri is_equal admin']",
        "no path is `admin`",
        "as requests",
    ),
    ("['uri ends_with %2']", "no path is", "as requests"),
    ("['host is_equal a.example.']", "spells a host", "last dot"),
    ("['host is_equal a.example:443']", "spells a host", "port"),
    (
        "['http_host is_equal b\u{fc}cher.example']",
        "spells a host",
        "Punycode",
    ),
    ("['uri matches (']", "unclosed group", "regex"),
    ("['uri matches (a)\\1']", "backreferences", "regex"),
    (
        "['uri matches (?u)(\\w{100}){100}']",
        "more than 128 KiB",
        "a repetition",
    ),
];

#[test]
fn criteria_that_are_wrong() {
    for (criteria, message, hint) in CRITERIA {
        let rule = format!("criteria = {criteria}\nbehaviors = ['deny']");
        wrong(&rule, message, hint);
    }
}

/// Behaviours, what is wrong with them, and the hint.
const BEHAVIORS: &[(&str, &str, &str)] = &[
    ("[]", "no behaviour", "active = false"),
    ("'deny'", "a list", ""),
    ("['denny']", "no behaviour `denny`", "`deny`"),
    ("[7]", "not one behaviour", "status_code"),
    ("[{ deny = {}, drop = {} }]", "not one behaviour", ""),
    ("[{ deny = { status_code = 399 } }]", "from 400 to 499", ""),
    ("[{ deny = { status_code = 500 } }]", "from 400 to 499", ""),
    (
        "[{ deny = { status = 403 } }]",
        "unknown key `status`",
        "`status_code`",
    ),
    (
        "[{ set_custom_response = {} }]",
        "no `status_code`",
        "as in",
    ),
    ("['set_custom_response']", "no `status_code`", "as in"),
    (
        "[{ set_custom_response = { status_code = 199 } }]",
        "from 200 to 499",
        "",
    ),
    (
        "[{ set_custom_response = { status_code = 500 } }]",
        "from 200 to 499",
        "",
    ),
    (
        "[{ set_custom_response = { status_code = '200' } }]",
        "whole number",
        "without quotes",
    ),
    (
        "[{ set_custom_response = { status_code = 204, content_body = 'x' } }]",
        "no body",
        "200",
    ),
    (
        "[{ deny = { content_body = 'x', content_type = \"a\\nb: c\" } }]",
        "value of a header",
        "ASCII",
    ),
    ("['deny', 'log']", "`log` never runs", "order"),
    ("['allow', 'deny']", "never runs", "order"),
    ("[{ allow = { status_code = 7 } }]", "unknown key", ""),
    (
        "[{ set_rate_limit = { type = 'second' } }]",
        "no `average_rate_limit`",
        "as in",
    ),
    (
        "[{ set_rate_limit = { type = 'hour', average_rate_limit = 1 } }]",
        "`hour` is not",
        "minute",
    ),
    (
        "[{ set_rate_limit = { average_rate_limit = 0 } }]",
        "from 1 to",
        "",
    ),
    (
        "[{ set_rate_limit = { average_rate_limit = -1 } }]",
        "from 1 to",
        "",
    ),
    (
        "[{ set_rate_limit = { average_rate_limit = 1.5 } }]",
        "whole number",
        "",
    ),
    (
        "[{ set_rate_limit = { limit_by = 'mood', average_rate_limit = 1 } }]",
        "limited by `mood`",
        "client_ip",
    ),
    (
        "[{ set_rate_limit = { limit_by = 'header:', average_rate_limit = 1 } }]",
        "limited by",
        "",
    ),
    (
        "[{ set_header = { name = 'x y', value = 'a' } }]",
        "not the name of a header",
        "x-risk",
    ),
    (
        "[{ set_header = { name = 'x', value = \"a\\r\\nb\" } }]",
        "value of a header",
        "",
    ),
    ("[{ set_header = { value = 'a' } }]", "no `name`", "as in"),
    ("['run_function']", "names no function", "as in"),
    (
        "[{ run_function = 'a b' }]",
        "not a function name",
        "firewall",
    ),
    ("[{ run_function = 'a@' }]", "not an alias", "firewall"),
    ("[{ run_function = 'a@b@c' }]", "not an alias", "firewall"),
];

#[test]
fn behaviours_that_are_wrong() {
    let behaviors = |behaviors: &str, message: &str, hint: &str| {
        wrong(&format!("behaviors = {behaviors}"), message, hint);
    };
    for (rule, message, hint) in BEHAVIORS {
        behaviors(rule, message, hint);
    }
    for reserved in [
        "Host",
        "connection",
        "sec-websocket-key",
        "openline-request-id",
        "X-Forwarded-For",
        "origin",
        "transfer-encoding",
    ] {
        behaviors(
            &format!("[{{ set_header = {{ name = '{reserved}', value = 'a' }} }}]"),
            "no rule may set",
            "x-risk",
        );
    }
}

/// Texts, the line of the error, what is wrong, and the hint.
const TABLES: &[(&str, usize, &str, &str)] = &[
    (
        "[[firewal]]\nname = 'f'",
        1,
        "unknown key `firewal`",
        "`firewall`",
    ),
    ("[firewall]\nname = 'f'", 1, "double brackets", ""),
    ("firewall = 7", 1, "a list", ""),
    ("[[firewall]]\nactive = true", 1, "no `name`", "logs"),
    (
        "[[firewall]]\nname = ' '",
        2,
        "is not the name of a firewall",
        "",
    ),
    (
        "[[firewall]]\nname = \"a\\u001b[2J\"",
        2,
        "is not the name of a firewall",
        "",
    ),
    ("[[firewall]]\nname = 7", 2, "a text in quotes", ""),
    (
        "[[firewall]]\nname = 'f'\nactive = 'yes'",
        3,
        "`true` or `false`",
        "",
    ),
    (
        "[[firewall]]\nname = 'f'\nrules = []",
        3,
        "unknown key `rules`",
        "`rule`",
    ),
    (
        "[[firewall]]\nname = 'f'\n[[firewall]]\nname = 'f'",
        4,
        "two firewalls",
        "rename",
    ),
    (
        "[[list]]\nname = 'l'\ntype = 'networks'",
        1,
        "either a `file` or `items`",
        "as in",
    ),
    (
        "[[list]]\nname = 'l'\nfile = 'x'",
        1,
        "no `type`",
        "networks",
    ),
    (
        "[[list]]\nname = 'l'\ntype = 'asn'\nitems = []",
        3,
        "`asn` is not the type",
        "networks",
    ),
    (
        "[[list]]\nname = 'l'\ntype = 'networks'\nitems = ['::1',\n '10.0.0.1/8']",
        5,
        "bits behind",
        "10.0.0.0/8",
    ),
    (
        "[[list]]\nname = 'l'\ntype = 'texts'\nitems = [\"a\\nb\"]",
        4,
        "several lines",
        "",
    ),
    ("[[firewall]\nname = 'f'", 1, "", "TOML"),
    ("\u{0}", 1, "", "TOML"),
];

#[test]
fn tables_and_names_that_are_wrong() {
    for (text, line, message, hint) in TABLES {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert_eq!(errors[0].line, *line, "{text}: {}", errors[0]);
        assert!(errors[0].message.contains(message), "{text}: {}", errors[0]);
        assert!(errors[0].hint.contains(hint), "{text}: {}", errors[0].hint);
        assert!(!errors[0].hint.is_empty());
    }
    let rules = "[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'r'\nbehaviors = ['deny']\n[[firewall.rule]]\nname = 'r'\nbehaviours = ['deny']";
    assert!(errors(rules)[0].message.contains("two rules are named `r`"));
    let both = "[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'r'\nbehaviors = ['deny']\nbehaviours = ['deny']";
    assert!(
        errors(both)[0]
            .message
            .contains("a rule has `behaviors`, once")
    );
}

#[test]
fn lists_and_variables_of_different_kinds() {
    let lists = "[[list]]\nname = 'n'\ntype = 'networks'\nitems = []\n[[list]]\nname = 't'\ntype = 'texts'\nitems = []\n[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'r'\nbehaviors = ['deny']\n";
    for (criterion, message) in [
        ("uri is_in_list n", "has networks, and `uri` is a text"),
        (
            "remote_addr is_in_list t",
            "has texts, and `remote_addr` is an address",
        ),
    ] {
        let errors = errors(&format!("{lists}criteria = ['{criterion}']"));
        assert!(errors[0].message.contains(message), "{}", errors[0]);
    }
}

#[test]
fn all_errors_are_reported_and_other_tables_may_be_there() {
    let text = "[server]\nlisten = 'x'\n[[firewall]]\nname = 'f'\n[[firewall.rule]]\nname = 'a'\ncriteria = ['x exists', 'uri foo']\nbehaviors = ['nope']\n[[firewall.rule]]\nname = 'b'\n";
    let errors = Rules::parse(text, Others::Ignore).unwrap_err();
    let messages: Vec<_> = errors
        .iter()
        .map(|error| (error.line, &*error.message))
        .collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert_eq!(Rules::parse(text, Others::Refuse).unwrap_err().len(), 5);
    assert!(Rules::parse("[server]\nlisten = 'x'", Others::Ignore).is_ok());
    assert!(Rules::parse("", Others::Refuse).is_ok());
}

/// Other engines take time that doubles with each letter here. This one is
/// linear: it has 64 KiB, and a test that does not end fails.
#[test]
fn no_expression_takes_long() {
    let text = "a".repeat(64 * 1024) + "!";
    let asked = Asked::at(&format!("/?v={text}"));
    for expression in [
        "^(a+)+$",
        "(a|aa)+$",
        "(.*a){12}$",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "a*a*a*a*a*b",
    ] {
        let criterion = format!("'arg_v matches {expression}'");
        assert!(!holds(&criterion, &asked), "{expression}");
    }
    assert!(!holds("'arg_v matches_glob *a*a*a*a*a*a*a*a*b'", &asked));
}

#[test]
fn a_request_full_of_odd_bytes_is_only_a_request() {
    let asked = Asked::at("/?&&=&a=%&b=%zz&%=%00&=x")
        .header("cookie", b";;=;a;=b;\xff=\xfe; c==d")
        .header("x", b"\x80\xff");
    for variable in [
        "arg_a", "arg_b", "cookie_a", "cookie_c", "http_x", "args", "claim_x", "host",
    ] {
        let firewalls = denying(&format!("'{variable} matches ^(?s-u:.)*$'"));
        crate::support::decided(&firewalls, &asked);
        assert!(
            holds(&format!("'{variable} does_not_contain absent'"), &asked),
            "{variable}"
        );
    }
    assert!(holds("'cookie_c is_equal =d'", &asked));
    assert!(holds("'arg_b is_equal %zz'", &asked));
}
