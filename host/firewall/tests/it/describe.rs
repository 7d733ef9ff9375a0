//! `openline firewall test`: which rule decides about a described request, and
//! why, for people and for programs.

use openline_firewall::describe::{Described, describe};
use openline_firewall::rules::Firewalls;
use serde_json::{Value, json};

use crate::support::firewalls;

const TEXT: &str = "
    [[firewall]]
    name = 'edge'
    [[firewall.rule]]
    name = 'mark'
    criteria = ['http_x_a exists']
    behaviors = ['log', { set_header = { name = 'x-seen', value = 'yes' } }]
    [[firewall.rule]]
    name = 'off'
    active = false
    behaviors = ['deny']
    [[firewall.rule]]
    name = 'office'
    criteria = ['uri starts_with /office', 'and remote_addr is_not_equal 192.0.2.0/24', 'or arg_key is_equal wrong']
    behaviors = [{ deny = { status_code = 404 } }]
    [[firewall.rule]]
    name = 'admins'
    criteria = ['host is_equal admin.example.org', 'claim_role is_not_equal admin']
    behaviors = ['drop']
    [[firewall.rule]]
    name = 'inspect'
    criteria = ['uri is_equal /inspect']
    behaviors = [{ run_function = 'inspector' }]
    [[firewall.rule]]
    name = 'rate'
    behaviors = [{ set_rate_limit = { average_rate_limit = 1 } }]";

fn report(firewalls: &Firewalls, described: Value) -> Result<(String, Value), String> {
    let described: Described =
        serde_json::from_value(described).map_err(|error| error.to_string())?;
    let report = describe(firewalls, firewalls.find("edge"), None, &described);
    let report = report.map_err(|error| error.to_string())?;
    Ok((report.to_string(), serde_json::to_value(&report).unwrap()))
}

#[test]
fn a_report_shows_each_rule_and_the_criterion_that_decided() {
    let firewalls = firewalls(TEXT);
    let described = json!({
        "url": "wss://Chat.example.org/%6fffice/./x?key=a&key=b",
        "peer": "[::ffff:198.51.100.7%eth0]:5000",
        "headers": [["X-A", "1"], ["x-a", "two\u{fe}"]],
    });
    let (text, json) = report(&firewalls, described).unwrap();
    assert_eq!(
        text,
        "\
GET https://chat.example.org/office/x?key=a&key=b from 198.51.100.7

edge / mark: runs
  yes  http_x_a exists    (the request has `1, two\u{fe}`)
  ->   log
  ->   set_header x-seen
edge / off: is not active
edge / office: runs
  yes  uri starts_with /office    (the request has `/office/x`)
  yes  remote_addr is_not_equal 192.0.2.0/24    (the request has `198.51.100.7`)
  ->   deny 404

sets x-seen: yes
deny 404: rule `office` of firewall `edge`"
    );
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["status"], 404);
    assert_eq!(json["rule"], "office");
    assert_eq!(json["logged"], json!(["edge/mark"]));
    assert_eq!(json["trace"]["rules"][2]["criteria"][1]["holds"], true);
    assert_eq!(json["trace"]["rules"][1]["active"], false);
}

#[test]
fn a_request_that_a_rule_cannot_tell_about_shows_why() {
    let firewalls = firewalls(
        "
    [[firewall]]
    name = 'edge'
    [[firewall.rule]]
    name = 'key'
    criteria = ['arg_key exists', 'and arg_key is_equal a']
    behaviors = ['deny']",
    );
    let described = json!({"url": "/?key=a&%6bey=b"});
    let (text, json) = report(&firewalls, described).unwrap();
    assert_eq!(
        text,
        "\
GET /?key=a&%6bey=b from 127.0.0.1

edge / key: does not run
  yes  arg_key exists    (the request has `a`, `b`)

refuse 400, because `arg_key` occurs more than once: rule `key` of firewall `edge`"
    );
    assert_eq!(json["decision"], "refuse");
    assert_eq!(json["why"], "`arg_key` occurs more than once");
}

#[test]
fn a_request_that_passes_shows_why_not() {
    let firewalls = firewalls(TEXT);
    let (text, json) = report(&firewalls, json!({"url": "/inspect"})).unwrap();
    assert_eq!(
        text,
        "\
GET /inspect from 127.0.0.1

edge / mark: does not run
  no   http_x_a exists    (the request has none)
edge / off: is not active
edge / office: does not run
  no   uri starts_with /office    (the request has `/inspect`)
  no   arg_key is_equal wrong    (the request has none)
edge / admins: does not run
  no   host is_equal admin.example.org    (the request has none)
edge / inspect: runs
  yes  uri is_equal /inspect    (the request has `/inspect`)
  ->   run_function inspector
edge / rate: runs
  ->   set_rate_limit 1 a second by client_ip

asks the function `inspector`, which decides; here it is taken to allow the request
pass: no rule decides, if the functions allow the request"
    );
    assert_eq!(
        (&json["rule"], &json["status"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(json["functions"], json!(["inspector"]));
}

#[test]
fn claims_and_certificates_can_be_described() {
    let firewalls = firewalls(TEXT);
    let admin = |claims: Value| {
        let described =
            json!({"url": "https://admin.example.org", "peer": "2001:db8::1", "claims": claims});
        report(&firewalls, described).unwrap().1["decision"].clone()
    };
    assert_eq!(admin(json!({"role": "admin"})), "pass");
    assert_eq!(admin(json!({"role": "user"})), "drop");
    assert_eq!(admin(json!(null)), "drop");
    let tls = crate::support::firewalls(
        "[[firewall]]\nname = 'edge'\n[[firewall.rule]]\nname = 'r'\ncriteria = ['ssl_client_verify is_not_equal SUCCESS']\nbehaviors = ['deny']",
    );
    let ask = |tls_facts: Value| {
        let described = json!({"url": "https://a", "tls": tls_facts});
        report(&tls, described).unwrap().1["decision"].clone()
    };
    assert_eq!(ask(json!(null)), "deny");
    assert_eq!(ask(json!({"client": {"subject": "CN=ann"}})), "pass");
    assert_eq!(ask(json!({"client": {}, "failed": true})), "deny");
}

#[test]
fn descriptions_that_are_no_requests() {
    let firewalls = firewalls(TEXT);
    for (described, words) in [
        (json!({"url": "ftp://a/"}), "`ftp` is not a scheme"),
        (json!({"url": "https://a b/"}), "not a host"),
        (json!({"url": "https:///x"}), "not a host"),
        (json!({"url": "office"}), "does not begin with a slash"),
        (json!({"url": "/a//../b"}), "doubled slashes"),
        (json!({"url": "/%zz"}), "two hexadecimal digits"),
        (
            json!({"url": "/", "peer": "here"}),
            "`here` is not an address",
        ),
        (
            json!({"url": "/", "headers": [["a b", "c"]]}),
            "is not a header",
        ),
        (
            json!({"url": "/", "headers": [["a", "b\nc"]]}),
            "is not a header",
        ),
        (json!({"url": "/", "mood": 1}), "unknown field"),
    ] {
        let error = report(&firewalls, described.clone()).unwrap_err();
        assert!(error.contains(words), "{described}: {error}");
    }
}
