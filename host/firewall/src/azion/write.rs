//! Writes rules as the text of a configuration.

use openline_core::escape::Escaped;

/// The longest comment, in bytes.
const COMMENT_BYTES_MAX: usize = 512;

/// The text so far: lists, which come first, and firewalls.
#[derive(Debug, Default)]
pub(super) struct Writer {
    lists: String,
    pub(super) text: String,
}

impl Writer {
    pub(super) fn list(&mut self, name: &str, entries: &[String]) {
        let entries: Vec<_> = entries.iter().map(|entry| quoted(entry)).collect();
        let items = format!("items = [{}]", entries.join(", "));
        self.lists.push_str(&table(name, &items));
    }

    pub(super) fn list_in_file(&mut self, name: &str, file: &str) {
        let source = format!("file = {}", quoted(file));
        self.lists.push_str(&table(name, &source));
    }

    pub(super) fn firewall(&mut self, name: &str, active: bool, debug_rules: bool) {
        let mut lines = format!("[[firewall]]\nname = {}\n", quoted(name));
        if !active {
            lines.push_str("active = false\n");
        }
        if debug_rules {
            lines.push_str("debug_rules = true\n");
        }
        lines.push('\n');
        self.text.push_str(&lines);
    }

    pub(super) fn comment(&mut self, text: &str) {
        let line = format!("# {}\n\n", Escaped::new(text, COMMENT_BYTES_MAX));
        self.text.push_str(&line);
    }

    /// The whole text, with notes before it.
    pub(super) fn finish(self, notes: &[String]) -> String {
        let mut whole = "# Imported from Azion.\n".to_owned();
        for note in notes {
            let line = format!("# - {}\n", Escaped::new(note, COMMENT_BYTES_MAX));
            whole.push_str(&line);
        }
        format!("{whole}\n{}{}", self.lists, self.text.trim_end()) + "\n"
    }
}

fn table(name: &str, source: &str) -> String {
    format!(
        "[[list]]\nname = {}\ntype = \"networks\"\n{source}\n\n",
        quoted(name)
    )
}

/// A rule as the only one of a text, with empty lists.
pub(super) fn alone<'a>(lists: impl Iterator<Item = &'a str>, rule: &str) -> String {
    let lists: String = lists.map(|name| table(name, "items = []")).collect();
    format!("{lists}[[firewall]]\nname = \"alone\"\n\n{rule}")
}

pub(super) fn rule(
    name: &str,
    description: &str,
    active: bool,
    groups: &[Vec<String>],
    behaviors: &[String],
) -> String {
    let mut text = format!("[[firewall.rule]]\nname = {}\n", quoted(name));
    if !description.is_empty() {
        text.push_str(&format!("description = {}\n", quoted(description)));
    }
    if !active {
        text.push_str("active = false\n");
    }
    match groups {
        [] => {}
        [only] => {
            text.push_str("criteria = [\n");
            only.iter()
                .for_each(|it| text.push_str(&format!("    {it},\n")));
            text.push_str("]\n");
        }
        several => {
            text.push_str("criteria = [\n");
            for group in several {
                text.push_str(&format!("    [{}],\n", group.join(", ")));
            }
            text.push_str("]\n");
        }
    }
    text.push_str(&format!("behaviors = [{}]\n\n", behaviors.join(", ")));
    text
}

/// A criterion in its short form, or as a table if the short form would read
/// another argument.
pub(super) fn criterion(
    conditional: &str,
    variable: &str,
    operator: &str,
    argument: Option<&str>,
) -> String {
    match argument {
        None => quoted(&format!("{conditional} {variable} {operator}")),
        Some("") => quoted(&format!("{conditional} {variable} {operator} \"\"")),
        Some(argument) if argument.trim() == argument && argument != "\"\"" => {
            quoted(&format!("{conditional} {variable} {operator} {argument}"))
        }
        Some(argument) => format!(
            "{{ conditional = {}, variable = {}, operator = {}, argument = {} }}",
            quoted(conditional),
            quoted(variable),
            quoted(operator),
            quoted(argument)
        ),
    }
}

pub(super) fn response(status: u16, content_type: &str, body: &str) -> String {
    let mut parts = vec![format!("status_code = {status}")];
    for (key, value) in [("content_type", content_type), ("content_body", body)] {
        if !value.is_empty() {
            parts.push(format!("{key} = {}", quoted(value)));
        }
    }
    format!("{{ set_custom_response = {{ {} }} }}", parts.join(", "))
}

pub(super) fn rate_limit(kind: &str, by: &str, average: u64, burst: Option<u64>) -> String {
    let burst = burst.map_or_else(String::new, |it| format!(", maximum_burst_size = {it}"));
    format!(
        "{{ set_rate_limit = {{ type = \"{kind}\", limit_by = \"{by}\", average_rate_limit = {average}{burst} }} }}"
    )
}

/// A text of TOML, in single quotes where that saves escapes.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = !text.chars().any(|it| it == '\'' || it.is_control());
    if is_plain && text.contains(['"', '\\']) {
        return format!("'{text}'");
    }
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
