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
