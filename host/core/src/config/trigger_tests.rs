//! The rules of triggers and networks in a file.

use super::tests::{errors, function, server};
use super::*;
use crate::authentication::AuthMethod;
use crate::trigger::{HOSTS_MAX, ORIGINS_MAX, TRIGGERS_MAX, Target};

#[test]
fn a_trigger_leads_to_an_alias_or_a_version() {
    let trigger = |lines: &str| function(&format!("[[function.trigger]]\n{lines}\n"));
    let beta = "route = \"/beta/{p}\"\nalias = \"beta\"";
    let old = "route = \"/old/{p}\"\nversion = \"3f29ac\"";
    let config = Config::parse(&trigger(&format!("{beta}\n[[function.trigger]]\n{old}"))).unwrap();
    let triggers = &config.functions[0].triggers;
    assert_eq!(triggers[0].target, Target::Function);
    assert_eq!(triggers[1].route.as_str(), "/beta/{p}");
    let beta_alias = AliasName::new("beta").unwrap();
    assert_eq!(triggers[1].target, Target::Alias(beta_alias));
    assert_eq!(triggers[2].target, Target::Version("3f29ac".into()));
    let long = format!("route = \"/b\"\nversion = \"{}\"", "a".repeat(65));
    for (lines, line, expected) in [
        (
            "route = \"/b\"\nalias = \"b\"\nversion = \"3f29ac\"",
            5,
            "one of `alias` and `version`",
        ),
        ("route = \"/b\"\nversion = \"3f29a\"", 7, "6 to 64"),
        ("route = \"/b\"\nversion = \"3F29AC\"", 7, "6 to 64"),
        (&long, 7, "6 to 64"),
        ("route = \"/b\"\nalias = \"3f29ac\"", 7, "is not an alias"),
        ("route = \"/a/{q}\"\nalias = \"b\"", 6, "the same requests"),
        ("alias = \"b\"", 5, "missing field `route`"),
    ] {
        let found = errors(&trigger(lines));
        assert!(found[0].message.contains(expected), "{lines}: {found:?}");
        assert_eq!(found[0].line, line, "{lines}: {found:?}");
    }
    // Every route has the parameter that chooses the instance.
    let affinity = "[function.instance]\naffinity = \"p\"\n[[function.trigger]]\n";
    assert!(Config::parse(&function(&format!("{affinity}{beta}"))).is_ok());
    let found = errors(&function(&format!(
        "{affinity}route = \"/b\"\nalias = \"b\""
    )));
    assert!(found[0].message.contains("`/b` has no parameter `p`"));
}

#[test]
fn a_trigger_has_hosts_methods_and_a_reach() {
    let text = "[[function]]\nname = \"a\"\n[[function.trigger]]\nname = \"site\"\nhosts = [\"Chat.Example.org\", \"*.example.com\"]\nroute = \"/{*path}\"\nmethods = [\"GET\", \"POST\"]\ninternet = false\n";
    let config = Config::parse(text).unwrap();
    let [trigger] = &config.functions[0].triggers[..] else {
        panic!("{config:?}");
    };
    assert_eq!(trigger.name.as_str(), "site");
    let hosts: Vec<_> = trigger.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["chat.example.org", "*.example.com"]);
    assert_eq!(trigger.route.parameters(), ["path"]);
    assert_eq!(trigger.methods.to_string(), "GET, POST");
    assert!(!trigger.internet);
    let trigger =
        |lines: &str| function(&format!("[[function.trigger]]\nroute = \"/b\"\n{lines}\n"));
    let many = |count: usize| {
        let hosts: Vec<_> = (0..count).map(|number| format!("\"h{number}\"")).collect();
        trigger(&format!("hosts = [{}]", hosts.join(",")))
    };
    assert!(Config::parse(&many(HOSTS_MAX)).is_ok());
    for (lines, expected) in [
        (many(HOSTS_MAX + 1), "at most 64 hosts"),
        (trigger("hosts = []"), "`hosts` is empty"),
        (trigger("hosts = [\"*\"]"), "`*` is not a host"),
        (trigger("hosts = [\"a:80\"]"), "`a:80` is not a host"),
        (trigger("hosts = [\"ä.org\"]"), "is not a host"),
        (trigger("methods = []"), "`methods` is empty"),
        (trigger("methods = [\"get\"]"), "`get` is not a method"),
        (trigger("name = \"-\""), "is not the name of a trigger"),
    ] {
        let found = errors(&lines);
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].message.contains(expected), "{lines}: {found:?}");
        assert!(!found[0].hint.is_empty() && found[0].line >= 5, "{found:?}");
    }
}

#[test]
fn origins_of_a_trigger_at_their_number_and_past_it() {
    let trigger = |origins: &[String]| {
        let origins: Vec<_> = origins.iter().map(|it| format!("\"{it}\"")).collect();
        let origins = origins.join(",");
        function(&format!(
            "[[function.trigger]]\nroute = \"/b\"\norigins = [{origins}]\norigin_required = true\n"
        ))
    };
    let many = |count: usize| {
        let sites = (0..count).map(|number| format!("https://h{number}.org"));
        trigger(&sites.collect::<Vec<_>>())
    };
    let config = Config::parse(&many(ORIGINS_MAX)).unwrap();
    let [own, more] = &config.functions[0].triggers[..] else {
        panic!("{config:?}");
    };
    assert!(own.origins.is_empty() && !own.origin_required);
    assert_eq!(
        (more.origins.len(), more.origin_required),
        (ORIGINS_MAX, true)
    );
    let found = errors(&many(ORIGINS_MAX + 1));
    assert!(found[0].message.contains("at most 64 origins"), "{found:?}");
    for bad in ["null", "https://a.org/", "ws://a.org"] {
        let found = errors(&trigger(&[bad.into()]));
        assert!(found[0].message.contains("is not an origin"), "{found:?}");
        assert_eq!(found[0].line, 7, "{found:?}");
    }
}

#[test]
fn triggers_have_names_of_their_own_or_of_their_routes() {
    let table = |lines: &str| format!("[[function.trigger]]\n{lines}\n");
    let named = table("route = \"/c\"\nname = \"a-p\"");
    let same = table("route = \"/b\"\nhosts = [\"x.org\"]") + &table("route = \"/b\"");
    let config = Config::parse(&function(&(named.clone() + &same))).unwrap();
    let names = config.functions[0]
        .triggers
        .iter()
        .map(|it| it.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["a-p-2", "a-p", "b", "b-2"]);
    let twice = named + &table("route = \"/d\"\nname = \"a-p\"");
    let found = errors(&function(&twice));
    assert!(
        found[0].message.contains("two triggers are named `a-p`"),
        "{found:?}"
    );
}

#[test]
fn private_networks_at_their_number_and_past_it() {
    use super::networks::NETWORKS_MAX;
    assert_eq!(ServerConfig::default().private_networks.len(), 8);
    let list = |count: usize| {
        let networks: Vec<_> = (0..count).map(|n| format!("\"10.0.{n}.0/24\"")).collect();
        server(&format!("private_networks = [{}]", networks.join(",")))
    };
    let most = Config::parse(&list(NETWORKS_MAX)).unwrap();
    assert_eq!(most.server.private_networks.len(), NETWORKS_MAX);
    let hops = list(NETWORKS_MAX).replace("private_networks", "trusted_hops");
    let most = Config::parse(&hops).unwrap();
    assert_eq!(most.server.trusted_hops.len(), NETWORKS_MAX);
    let none = Config::parse(&server("private_networks = []")).unwrap();
    assert!(none.server.private_networks.is_empty());
    for (line, expected) in [
        (
            "private_networks = [\"home\"]",
            "`home` in `private_networks` is not a network",
        ),
        (
            "private_networks = [\"10.0.0.1/8\"]",
            "bits behind its prefix",
        ),
    ] {
        let found = errors(&server(line));
        assert!(found[0].message.contains(expected), "{found:?}");
    }
    // Past the number, with networks that are distinct.
    let past: Vec<_> = (0..=NETWORKS_MAX)
        .map(|n| format!("\"fd00:{n:x}::/32\""))
        .collect();
    for key in ["private_networks", "trusted_hops"] {
        let found = errors(&server(&format!("{key} = [{}]", past.join(","))));
        let expected = format!("`{key}` has more than 256 networks");
        assert!(found[0].message.contains(&expected), "{found:?}");
    }
}

#[test]
fn triggers_at_their_number_and_past_it() {
    let triggers = |count: usize| {
        let tables: String = (0..count)
            .map(|index| format!("[[function.trigger]]\nroute = \"/{index}\"\nalias = \"b\"\n"))
            .collect();
        Config::parse(&function(&tables))
    };
    assert!(triggers(TRIGGERS_MAX).is_ok());
    let found = triggers(TRIGGERS_MAX + 1).unwrap_err();
    assert!(found[0].message.contains("at most 64 triggers"));
}

#[test]
fn pages_of_other_sites_by_a_word_or_a_table() {
    use crate::trigger::Cors;
    let trigger =
        |lines: &str| function(&format!("[[function.trigger]]\nroute = \"/b\"\n{lines}\n"));
    let cors = |lines: &str| {
        let mut config = Config::parse(&trigger(lines)).unwrap();
        config.functions[0].triggers.remove(1).cors
    };
    assert_eq!(cors(""), None);
    let word = cors("cors = \"function-compute\"");
    assert_eq!(word, Some(Cors::FunctionCompute));
    let table = "[function.trigger.cors]\nallow_origins = [\"https://a.org\"]\n";
    let Some(Cors::Rules(rules)) = cors(table) else {
        panic!("{:?}", cors(table));
    };
    assert_eq!(rules.allow_methods.to_string(), "GET");
    for (lines, line, expected) in [
        ("cors = \"all\"", 7, "`all` is not a value of `cors`"),
        ("cors = {allow_origins = []}", 7, "`allow_origins` is empty"),
        (
            "cors = {allow_origins = [\"*\"], allow_credentials = true}",
            7,
            "do not go together",
        ),
        (
            "[function.trigger.cors]\nallow_origins = [\"a.org\"]\nallow_methods = [\"PUT\"]",
            7,
            "PUT, which the trigger does not take",
        ),
        ("cors = {}", 7, "missing field `allow_origins`"),
        (
            "cors = {allow_origin = []}",
            7,
            "unknown field `allow_origin`",
        ),
        ("cors = true", 7, "invalid type"),
    ] {
        let found = errors(&trigger(lines));
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(found[0].message.contains(expected), "{lines}: {found:?}");
        assert!(!found[0].hint.is_empty(), "{found:?}");
        assert_eq!(found[0].line, line, "{lines}: {found:?}");
    }
}

#[test]
fn shared_hosts_at_their_number_and_past_it() {
    let list = |count: usize| {
        let hosts: Vec<_> = (0..count).map(|n| format!("\"*.h{n}.org\"")).collect();
        server(&format!("shared_hosts = [{}]", hosts.join(",")))
    };
    let config = Config::parse(&list(SHARED_HOSTS_MAX)).unwrap().server;
    assert_eq!(config.shared_hosts.len(), SHARED_HOSTS_MAX);
    assert!(config.is_shared(Some("a.h0.org")));
    assert!(!config.is_shared(Some("h0.org")) && !config.is_shared(None));
    let found = errors(&list(SHARED_HOSTS_MAX + 1));
    assert!(found[0].message.contains("more than 64 hosts"), "{found:?}");
    let found = errors(&server("shared_hosts = [\"*\"]"));
    assert!(found[0].message.contains("`*` is not a host"), "{found:?}");
}

#[test]
fn a_trigger_authenticates_by_one_method_and_its_table() {
    let trigger =
        |lines: &str| function(&format!("[[function.trigger]]\nroute = \"/b\"\n{lines}\n"));
    let auth = |lines: &str| {
        let config = Config::parse(&trigger(lines)).unwrap();
        config.functions[0].triggers[1].auth.clone()
    };
    assert_eq!(auth(""), None);
    let none = auth("auth = \"none\"").unwrap();
    assert_eq!(none.method, AuthMethod::None);
    let jwt = "auth = \"jwt\"\n[function.trigger.jwt]\n";
    let read = auth(&format!("{jwt}secret = \"env:S\"\naudience = \"chat\"")).unwrap();
    assert_eq!(read.method, AuthMethod::Jwt);
    assert_eq!(read.jwt.unwrap().audience, ["chat"]);
    assert!(
        auth("auth = \"ticket\"").is_some(),
        "the defaults need no table"
    );
    for (lines, line, expected) in [
        ("auth = \"basic\"", 7, "unknown variant `basic`"),
        ("auth = \"jwt\"", 7, "needs keys for its tokens"),
        ("auth = \"signature\"", 7, "needs keys for its signatures"),
        ("auth = \"first-message\"", 7, "needs keys for its tokens"),
        (
            "auth = \"jwt\"\n[function.trigger.jwt]\nsecret = \"env:S\"\n[function.trigger.first_message]",
            10,
            "the table `first_message` has no effect",
        ),
        (
            "auth = \"ticket\"\n[function.trigger.jwt]\nsecret = \"env:S\"",
            8,
            "the table `jwt` has no effect",
        ),
        (
            "[function.trigger.ticket]\ntime = \"5 s\"",
            7,
            "the table `ticket` has no effect",
        ),
        (
            "auth = \"ticket\"\n[function.trigger.ticket]\ntime = \"11 min\"",
            8,
            "`time` is out of its range",
        ),
        (&format!("{jwt}key = 1"), 9, "unknown field `key`"),
    ] {
        let found = errors(&trigger(lines));
        assert!(found[0].message.contains(expected), "{lines}: {found:?}");
        assert_eq!(found[0].line, line, "{lines}: {found:?}");
    }
    // A secret that was written into the file is not shown.
    let found = errors(&trigger(&format!("{jwt}secret = \"hunter2hunter2\"")));
    assert!(found[0].message.contains("a secret is not written"));
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
}

#[test]
fn a_claim_chooses_the_instance_where_every_trigger_authenticates() {
    let with = |auth: &str| {
        let text = "[[function]]\nname = \"a\"\n[function.instance]\naffinity = \"claim:sub\"\n\
                    [[function.trigger]]\nroute = \"/b\"\n";
        format!("{text}{auth}\n")
    };
    assert!(Config::parse(&with("auth = \"ticket\"")).is_ok());
    for auth in ["", "auth = \"none\""] {
        let found = errors(&with(auth));
        assert!(
            found[0].message.contains("does not authenticate"),
            "{found:?}"
        );
        assert_eq!(found[0].line, 4);
    }
}
