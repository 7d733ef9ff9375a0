//! Subscriptions of functions in the configuration: those that `openline check`
//! refuses, and what it says.

use openline_guests::TICKER;

use crate::harness::openline;

#[tokio::test]
async fn check_says_what_is_wrong_with_subscriptions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openline.toml");
    let check = async |tables: &str| {
        let text = format!("[[function]]\nname = \"f\"\ncomponent = \"{TICKER}\"\n{tables}");
        std::fs::write(&path, text).unwrap();
        openline(&["check", "--config", path.to_str().unwrap()]).await
    };
    let subscription = |pattern: &str| format!("[[function.subscription]]\npattern = {pattern}\n");
    let good = check(&subscription("\"room:*\"")).await;
    assert!(good.code == Some(0), "{good:?}");
    for (tables, what) in [
        (
            subscription("\"\""),
            "a pattern of channels has 1 to 256 bytes",
        ),
        (subscription("1"), "invalid type"),
        (subscription("\"a\"") + "patern = 1\n", "unknown field"),
        (
            subscription("\"a:{x}\"") + &subscription("\"a:{y}\""),
            "match the same names",
        ),
        (
            format!(
                "route = \"/f\"\ninstance.instances = 1\n{}",
                subscription("\"a\"")
            ),
            "an instance of its own",
        ),
    ] {
        let wrong = check(&tables).await;
        assert!(wrong.code != Some(0), "{tables}");
        assert!(wrong.stderr.contains(what), "{tables}: {}", wrong.stderr);
        assert!(
            wrong.stderr.contains("openline.toml, line "),
            "{}",
            wrong.stderr
        );
    }
}

/// Its connections, or the firewall, would have no instance.
#[tokio::test]
async fn one_instance_is_not_enough_for_channels_and_others() {
    const RULE: &str = "[[firewall]]\nname = \"calls\"\n[[firewall.rule]]\n\
        behaviors = [{ run_function = \"f\" }]\n";
    for (head, line, instances, is_good) in [
        ("", "", 1, true),
        ("", "route = \"/f\"\n", 1, false),
        ("", "route = \"/f\"\n", 2, true),
        (RULE, "", 1, false),
        (RULE, "", 2, true),
    ] {
        let text = format!(
            "{head}[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\n{line}\
             instance.instances = {instances}\n[[function.subscription]]\npattern = \"a\"\n"
        );
        let parsed = openline_core::config::Config::parse(&text);
        let said = parsed.err().map(|errors| format!("{errors:?}"));
        let what = "which would take the only one from connections or the firewall";
        match &said {
            None => assert!(is_good, "{text}"),
            Some(said) => assert!(!is_good && said.contains(what), "{text}: {said}"),
        }
    }
}
