//! Azion's firewalls as ours: each shape of their JSON, and what has no
//! counterpart.

use std::sync::Arc;

use openline_firewall::Others;
use openline_firewall::azion::{Imported, import};
use openline_firewall::rules::{Firewalls, Rules};
use serde_json::{Value, json};

use crate::support::{Asked, decided};

fn imported(document: &Value) -> Imported {
    import(&document.to_string()).unwrap()
}

/// The firewalls of an imported text, under the name that the tests ask.
fn loaded(imported: &Imported) -> Firewalls {
    let rules = Rules::parse(&imported.text, Others::Refuse)
        .unwrap_or_else(|errors| panic!("{}\n{}", errors[0], imported.text));
    let read = |path: &std::path::Path| {
        let file = imported
            .files
            .iter()
            .find(|(name, _)| path.to_str() == Some(name));
        Ok(file.unwrap().1.clone().into_bytes())
    };
    Firewalls::load(Arc::new(rules), read).unwrap()
}

fn notes(imported: &Imported) -> Vec<String> {
    imported.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn azion_config_and_the_manifest_and_the_api_mean_the_same() {
    let config = json!({"firewall": [{
    "name": "f", "active": true, "debugRules": true, "functions": true,
    "rules": [
        {"name": "by match", "match": "^/private", "variable": "request_uri", "behaviors": [{"deny": true}]},
        {"name": "two", "active": true,
         "criteria": [
            {"variable": "host", "operator": "is_equal", "conditional": "if", "argument": "example.com"},
            {"variable": "header_user_agent", "operator": "matches", "conditional": "and", "argument": "(?i)\"bot\\d"},
            {"variable": "request_args", "operator": "exists", "conditional": "or"}],
         "behaviors": [{"setCustomResponse": {"statusCode": "404", "contentType": "application/json", "contentBody": "{\"gone\":true}"}}]},
        {"name": "rate", "criteria": [{"variable": "request_uri", "operator": "starts_with", "conditional": "if", "argument": "/"}],
         "behaviors": [{"setRateLimit": {"type": "minute", "limitBy": "clientIp", "averageRateLimit": "1", "maximumBurstSize": "20"}}]},
    ]}]});
    let manifest = json!({"firewall": [{
    "name": "f", "active": true, "debug_rules": true, "modules": {"functions": {"enabled": true}},
    "rules_engine": [
        {"name": "by match", "active": true, "description": "",
         "criteria": [[{"variable": "request_uri", "operator": "matches", "conditional": "if", "argument": "^/private"}]],
         "behaviors": [{"type": "deny"}]},
        {"name": "two", "active": true,
         "criteria": [[
            {"variable": "host", "operator": "is_equal", "conditional": "if", "argument": "example.com"},
            {"variable": "header_user_agent", "operator": "matches", "conditional": "and", "argument": "(?i)\"bot\\d"},
            {"variable": "request_args", "operator": "exists", "conditional": "or"}]],
         "behaviors": [{"type": "set_custom_response", "attributes": {"status_code": 404, "content_type": "application/json", "content_body": "{\"gone\":true}"}}]},
        {"name": "rate", "criteria": [[{"variable": "${uri}", "operator": "starts_with", "conditional": "if", "argument": "/"}]],
         "behaviors": [{"type": "set_rate_limit", "attributes": {"type": "minute", "limit_by": "client_ip", "average_rate_limit": "1", "maximum_burst_size": "20"}}]},
    ]}]});
    let api = json!({
    "main_settings": {"name": "f", "is_active": true, "debug_rules": true},
    "rules_engine": [
        {"name": "rate", "order": 3, "criteria": [[{"variable": "request_uri", "operator": "starts_with", "conditional": "if", "input_value": "/"}]],
         "behaviors": [{"name": "set_rate_limit", "argument": {"type": "minute", "limit_by": "client_ip", "average_rate_limit": "1", "maximum_burst_size": null}}]},
        {"name": "by match", "order": 1, "is_active": true,
         "criteria": [[{"variable": "request_uri", "operator": "matches", "conditional": "if", "input_value": "^/private"}]],
         "behaviors": [{"name": "deny", "target": null}]},
        {"name": "two", "order": 2,
         "criteria": [[
            {"variable": "host", "operator": "is_equal", "conditional": "if", "input_value": "example.com"},
            {"variable": "header_user_agent", "operator": "matches", "conditional": "and", "input_value": "(?i)\"bot\\d"},
            {"variable": "request_args", "operator": "exists", "conditional": "or"}]],
         "behaviors": [{"name": "set_custom_response", "target": {"status_code": 404, "content_type": "application/json", "content_body": "{\"gone\":true}"}}]},
    ]});
    for document in [config, manifest, api] {
        let imported = imported(&document);
        assert_eq!(notes(&imported), Vec::<String>::new());
        let firewalls = loaded(&imported);
        assert!(firewalls.debug_rules(firewalls.find("f").unwrap()));
        assert_eq!(
            decided(&firewalls, &Asked::at("/private/x")),
            "deny 403 by f/by match"
        );
        let mut bot = Asked::at("/").header("user-agent", b"a \"Bot7");
        assert_eq!(decided(&firewalls, &bot), "pass");
        bot.host = Some("example.com".into());
        assert_eq!(decided(&firewalls, &bot), "respond 404 by f/two");
        assert_eq!(
            decided(&firewalls, &Asked::at("/?a")),
            "respond 404 by f/two"
        );
        assert_eq!(decided(&firewalls, &Asked::at("/")), "limit 60s by f/rate");
    }
}

#[test]
fn rules_of_the_api_without_their_firewall() {
    let rule = json!({
        "name": "SSL Verification", "active": true,
        "criteria": [[{"conditional": "if", "variable": "${ssl_verification_status}", "operator": "is_not_equal", "argument": "SUCCESS"}]],
        "behaviors": [{"type": "set_custom_response", "attributes": {"status_code": 401, "content_type": "application/json", "content_body": "{}"}}]});
    for document in [
        json!({"data": rule.clone()}),
        json!({"results": [rule.clone()]}),
        json!([rule.clone()]),
        rule,
    ] {
        let imported = imported(&document);
        assert!(
            imported
                .text
                .contains("ssl_verification_status is_not_equal SUCCESS")
        );
        assert!(loaded(&imported).find("azion").is_some());
    }
}

#[test]
fn groups_are_kept() {
    let criterion = |conditional: &str, variable: &str| json!({"conditional": conditional, "variable": variable, "operator": "exists"});
    for (second, expected) in [
        ("and", [false, false, true]),
        ("or", [true, true, true]),
        ("if", [true, true, true]),
    ] {
        let imported = imported(&json!({"firewall": [{"name": "f", "rules": [{
            "name": "r", "behaviors": [{"deny": true}],
            "criteria": [
                [criterion("if", "arg_a"), criterion("or", "arg_b")],
                [criterion(second, "arg_c"), criterion("or", "arg_d")]]}]}]}));
        let firewalls = loaded(&imported);
        let found = ["a", "d", "b&c"]
            .map(|query| decided(&firewalls, &Asked::at(&format!("/?{query}"))) != "pass");
        assert_eq!(found, expected, "{second}\n{}", imported.text);
    }
}

#[test]
fn lists_are_found_by_id_and_name_and_long_ones_go_to_files() {
    let long: Vec<_> = (0..100)
        .map(|number| format!("198.51.100.{number}"))
        .collect();
    let rule = |name: &str, operator: &str, argument: Value| {
        json!({
        "name": name, "behaviors": [{"drop": true}],
        "criteria": [{"variable": "network", "operator": operator, "conditional": "if", "argument": argument}]})
    };
    let imported = imported(&json!({
    "networkList": [
        {"id": 7, "listType": "ip_cidr", "listContent": ["192.0.2.1/24", "nonsense"]},
        {"name": "long", "type": "ip_cidr", "items": long},
        {"name": "elsewhere", "type": "countries", "items": ["BR"]},
    ],
    "firewall": [{"name": "f", "rules": [
        rule("by id", "is_in_list", json!("7")), rule("by name", "matches", json!("long")),
        rule("unknown", "is_in_list", json!(99)),
    ]}]}));
    let firewalls = loaded(&imported);
    assert_eq!(
        decided(&firewalls, &Asked::default().from("192.0.2.200")),
        "drop by f/by id"
    );
    assert_eq!(
        decided(&firewalls, &Asked::default().from("198.51.100.99")),
        "drop by f/by name"
    );
    assert_eq!(
        decided(&firewalls, &Asked::default().from("198.51.100.100")),
        "pass"
    );
    let files: Vec<_> = imported.files.iter().map(|(name, _)| &**name).collect();
    assert_eq!(files, ["long.txt", "list-99.txt"]);
    let notes = notes(&imported);
    assert_eq!(notes.len(), 4, "{notes:#?}");
    assert!(notes[0].contains("`192.0.2.1/24` is written as `192.0.2.0/24`"));
    assert!(notes[1].starts_with("left out: list `list-7`: the entry `nonsense`"));
    assert!(notes[2].contains("its type is `countries`"));
    assert!(notes[3].contains("fill `list-99.txt`"));
}

#[test]
fn what_has_no_counterpart_is_left_out_and_said() {
    let rule = |name: &str, variable: &str, operator: &str, argument: &str, behaviors: Value| {
        json!({
        "name": name, "behaviors": behaviors,
        "criteria": [{"variable": variable, "operator": operator, "conditional": "if", "argument": argument}]})
    };
    let deny = json!([{"deny": true}]);
    let imported = imported(&json!({"firewall": [{"name": "f", "rules": [
        rule("country", "geoip_country_code", "is_equal", "BR", deny.clone()),
        rule("body", "request_body", "matches", "x", deny.clone()),
        rule("look", "request_uri", "matches", "^(?!/api)", deny.clone()),
        rule("waf", "request_uri", "matches", ".*", json!([{"setWafRuleset": {"wafMode": "blocking", "wafId": 1}}])),
        rule("function", "request_uri", "starts_with", "/", json!([
            {"type": "set_waf_ruleset", "attributes": {"waf_id": 1, "mode": "Blocking"}},
            {"runFunction": "./functions/check me.js"}, {"runFunction": 42}, {"deny": true}, {"drop": true}])),
        rule("burst", "user_agent", "is_equal", " a ", json!([{"setRateLimit": {"type": "second", "limitBy": "global", "averageRateLimit": 5, "maximumBurstSize": 9}}])),
        rule("hour", "request_uri", "is_equal", "/", json!([{"setRateLimit": {"type": "hour", "limitBy": "global", "averageRateLimit": "5"}}])),
        rule("look", "request_uri", "is_equal", "/", json!([{"tagEvent": {}}])),
        rule("look", "request_uri", "is_equal", "/", deny),
        {"name": "later", "active": false, "behaviors": {"deny": true}},
    ]}]}));
    let notes = notes(&imported);
    let has = |words: &str| {
        assert!(
            notes.iter().any(|note| note.contains(words)),
            "{words}\n{notes:#?}"
        )
    };
    has("left out: rule `country` of firewall `f`: `geoip_country_code`: places");
    has("left out: rule `body` of firewall `f`: `request_body`");
    has("left out: rule `look` of firewall `f`: the expression `^(?!/api)` is wrong: look-around");
    has("rule `waf` of firewall `f`: without `set_waf_ruleset`");
    has("left out: rule `waf` of firewall `f`: none of its behaviours");
    has("rule `function` of firewall `f`: without `set_waf_ruleset`");
    has("`./functions/check me.js` is to be deployed as `check-me`");
    has("`42` is to be deployed as `function-42`");
    has("rule `function` of firewall `f`: `drop` would run after `deny`");
    has("left out: rule `hour`");
    has("`tag_event` became `log`");
    has("Azion delays the requests of a burst");
    loaded(&imported);
    assert!(imported.text.contains("# Left out: rule `country`"));
    assert!(imported.text.contains("argument = \" a \""));
    // The first `look` was left out, so the next has its name.
    assert!(
        imported.text.contains("name = \"look\"\n")
            && imported.text.contains("name = \"look 2\"\n")
    );
    assert!(
        imported
            .text
            .contains("name = \"later\"\nactive = false\nbehaviors = [\"deny\"]")
    );
}

#[test]
fn names_and_texts_cannot_break_out_of_the_text() {
    let evil = "a\"]\n[[firewall.rule]]\nname = 'x'\nbehaviors = ['allow'] '\\ \u{7f}";
    let imported = imported(&json!({"firewall": [{"name": evil, "rules": [{
        "name": evil, "description": evil, "behaviors": [{"setCustomResponse": {"statusCode": 200, "contentType": "a/b", "contentBody": evil}}],
        "criteria": [{"variable": "user_agent", "operator": "is_equal", "conditional": "if", "argument": evil}]},
        {"name": evil, "criteria": [{"variable": evil, "operator": evil, "conditional": "if", "argument": evil}], "behaviors": [{"deny": true}]}]}]}));
    let firewalls = loaded(&imported);
    assert_eq!(firewalls.names().count(), 1);
    assert!(!imported.text.contains("\nbehaviors = ['allow']"));
    assert_eq!(imported.notes.len(), 1);
}

#[test]
fn documents_that_are_none() {
    for (text, words) in [
        ("", "not JSON"),
        ("export default {}", "not JSON"),
        ("{}", "no firewall"),
        ("[]", "no firewall"),
        ("7", "no firewall"),
        ("{\"firewall\": []}", "no firewall"),
        (
            "{\"rules\": 1, \"name\": [\"x\"], \"firewall\": null, \"data\": 7}",
            "no firewall",
        ),
    ] {
        let error = import(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    // Wrong types within are nothing, or no rule.
    for text in [
        "{\"firewall\": 7}",
        "{\"firewall\": [{\"rules\": [7, [], {\"behaviors\": [[1], 2]}]}], \"networkList\": [1, {\"items\": 7}]}",
    ] {
        loaded(&import(text).unwrap());
    }
}

#[test]
fn a_note_says_what_becomes_of_keys_and_cookies_that_are_repeated() {
    for (variable, operator, expected) in [
        ("arg_id", "does_not_match", true),
        ("${arg_id}", "does_not_match", true),
        ("cookie_role", "is_equal", true),
        ("arg_id", "exists", false),
        ("arg_id", "does_not_exist", false),
        ("header_x_id", "is_equal", false),
    ] {
        let mut criterion =
            json!({"variable": variable, "operator": operator, "conditional": "if"});
        if !operator.ends_with("exist") && operator != "exists" {
            criterion["argument"] = "1".into();
        }
        let document = json!({"firewall": [{"name": "f", "rules": [
            {"name": "r", "criteria": [criterion], "behaviors": [{"deny": true}]},
        ]}]});
        let notes = notes(&imported(&document));
        let said = notes
            .iter()
            .any(|note| note.contains("occurs several times"));
        assert_eq!(said, expected, "{variable} {operator}: {notes:?}");
    }
}
