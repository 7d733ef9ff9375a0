//! Tests of what a file may have: at its bounds, and past them.

use super::yaml::{COPIED_BYTES_MAX, DEPTH_MAX, Entry, KEYS_MAX, NODES_MAX};
use super::*;

fn wrong(text: &str) -> Wrong {
    let wrong = fc(text).unwrap_err();
    assert!(!wrong.hint.is_empty());
    wrong
}

/// A file with one function that has these lines, without a trigger's.
fn function(lines: &str) -> String {
    format!("resources:\n  a:\n    component: fc3\n    props:\n      functionName: chat\n{lines}")
}

const TRIGGER: &str = "      triggers:\n        - triggerName: t\n          triggerType: http\n          triggerConfig:\n            methods: [GET]\n";

fn notes(text: &str) -> Vec<String> {
    let imported = fc(text).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    imported.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_document_has_so_many_values_and_levels() {
    let reads = |text: &str| yaml::read(text).map_err(|wrong| wrong.what);
    let list = |entries: usize| format!("[{}]", "1,".repeat(entries));
    assert!(reads(&list(NODES_MAX - 1)).is_ok());
    assert!(
        reads(&list(NODES_MAX))
            .unwrap_err()
            .contains("more than 100000 values")
    );
    let deep = |levels: usize| format!("{}{}", "- ".repeat(levels), 1);
    assert!(reads(&deep(DEPTH_MAX)).is_ok());
    assert!(reads(&deep(DEPTH_MAX + 1)).unwrap_err().contains("levels"));
    let keys = |keys: usize| -> String { (0..keys).map(|it| format!("k{it}: 1\n")).collect() };
    assert!(reads(&keys(KEYS_MAX)).is_ok());
    assert!(reads(&keys(KEYS_MAX + 1)).unwrap_err().contains("keys"));
    // A key in the place of a merged one is not one more.
    let base = keys(KEYS_MAX).replace("k", "  k");
    let merged = |key: &str| format!("a: &a\n{base}b:\n  <<: *a\n  {key}: 2\n");
    assert!(reads(&merged("k0")).is_ok());
    assert!(reads(&merged("k")).unwrap_err().contains("keys"));
    // Brackets that nothing closes are as many levels.
    assert!(reads(&"[".repeat(100_000)).is_err());
    assert!(reads(&"{a: ".repeat(100_000)).is_err());
}

/// Ten lines that would be a billion values.
#[test]
fn aliases_do_not_multiply_without_end() {
    let mut text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for level in 1..10 {
        let before = format!("*a{},", level - 1).repeat(10);
        text += &format!("a{level}: &a{level} [{before}]\n");
    }
    let error = wrong(&text);
    assert!(error.what.contains("more than 100000 values"), "{error:?}");
    assert_eq!(error.line, 5);
}

#[test]
fn anchors_and_aliases_copy_so_many_bytes() {
    // A copy takes one MiB: the anchor's own, and one for each alias.
    let text = "x".repeat((1 << 20) - size_of::<Entry>());
    let copies = COPIED_BYTES_MAX >> 20;
    let read = |aliases: usize| {
        let text = format!("a: &a {text}\nb: [{}]\n", "*a,".repeat(aliases));
        yaml::read(&text).map_err(|wrong| (wrong.line, wrong.what))
    };
    assert!(read(copies - 1).is_ok());
    let (line, what) = read(copies).unwrap_err();
    assert!(line == 2 && what.contains("more than 16 MiB"), "{what}");
}

#[test]
fn expressions_that_refer_to_each_other_end() {
    let text = format!(
        "vars:\n  a: ${{vars.b}}\n  b: ${{vars.a}}\n{}",
        function("").replace("chat", "${vars.a}")
    );
    assert!(wrong(&text).what.contains("refer to each other"));
    let text = format!(
        "vars:\n  a: ${{vars.b}}-1\n  b: two\n{}",
        function(TRIGGER).replace("chat", "${vars.a}")
    );
    assert!(fc(&text).unwrap().text.contains("name = \"two-1\""));
    let text = function("").replace("chat", "${vars.a");
    assert!(wrong(&text).what.contains("without `}`"));
}

#[test]
fn a_merged_key_gives_way_and_a_second_one_is_wrong() {
    let merged = format!(
        "base: &base\n  timeout: 5\n  memorySize: 64\n{}      <<: *base\n      timeout: 6\n{TRIGGER}",
        function("")
    );
    let text = fc(&merged).unwrap().text;
    assert!(
        text.contains("connection_time = \"6 s\"") && text.contains("memory_bytes = \"64 MiB\""),
        "{text}"
    );
    let twice = function("      timeout: 5\n      timeout: 6\n");
    assert_eq!(wrong(&twice).line, 7);
}

#[test]
fn each_key_without_a_counterpart_is_named_with_its_line() {
    let text = function(&format!(
        "      cpu: 1\n      nasConfig: auto\n      brandNew: 1\n{TRIGGER}"
    ));
    let notes = notes(&text);
    assert_eq!(
        notes[..3],
        [
            "line 6: left out: `cpu` of `chat`: all instances share the host's CPUs; `cpu_timeout` bounds one call",
            "line 7: left out: `nasConfig` of `chat`: a function has no file system",
            "line 8: left out: `brandNew` of `chat`: it is not known here",
        ]
    );
}

#[test]
fn several_functions_share_one_host() {
    let more = "  b:\n    component: fc3\n    props:\n      functionName: news\n";
    let text = format!("{}{more}{TRIGGER}", function(TRIGGER));
    let imported = fc(&text).unwrap();
    for route in ["/chat/", "/chat/{*path}", "/news/", "/news/{*path}"] {
        let route = format!("route = \"{route}\"");
        assert!(imported.text.contains(&route), "{route}: {}", imported.text);
    }
    assert!(
        imported
            .notes
            .iter()
            .any(|note| note.text.contains("it is at `/news` here"))
    );
    let alone = fc(&function(TRIGGER)).unwrap();
    assert!(alone.text.contains("route = \"/{*path}\"") && alone.notes.is_empty());
}

#[test]
fn what_the_host_does_not_take_is_told_with_the_line_of_the_function() {
    let text = function(&format!("      timeout: 99999999999\n{TRIGGER}"));
    let error = wrong(&text);
    assert_eq!(error.line, 5, "{error:?}");
    let name = function("").replace("chat", "a b");
    assert!(wrong(&name).what.contains("not a function name"));
    assert!(wrong("resources: {}").what.contains("no function"));
    assert!(
        wrong(&function(""))
            .what
            .contains("no function of the file has")
    );
    let more = "  b:\n    component: fc3\n    props:\n      functionName: news\n";
    let some = notes(&format!("{}{more}", function(TRIGGER)));
    assert!(some[0].contains("no connection reaches it"), "{some:?}");
}
