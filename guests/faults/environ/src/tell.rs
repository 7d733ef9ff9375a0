//! The answers to messages: `env NAME` is what `std::env` has, `config NAME` what
//! `wasi:config` has, `env` and `config` are the lengths of all names and values
//! together with their number. `messages` is how many the instance has got, and
//! `trap` traps.

use std::env;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package wasi:config@0.2.0-rc.1;
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
            world reader { import store; }
        ",
    });
}

use bindings::wasi::config::store;

pub(crate) fn answer(text: &str, messages: u32) -> String {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("env", "") => sizes(&env::vars().collect::<Vec<_>>()),
        ("env", name) => env::var(name).unwrap_or_else(|_| format!("no {name}")),
        ("config", "") => store::get_all().map_or_else(failed, |all| sizes(&all)),
        ("config", name) => match store::get(name) {
            Ok(Some(value)) => value,
            Ok(None) => format!("no {name}"),
            Err(error) => failed(error),
        },
        ("messages", _) => messages.to_string(),
        ("trap", _) => panic!("this is the trap that was asked for"),
        _ => "what?".into(),
    }
}

fn sizes(all: &[(String, String)]) -> String {
    let bytes: usize = all
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    format!("{} names, {bytes} bytes", all.len())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_or_else`")]
fn failed(error: store::Error) -> String {
    format!("failed: {error:?}")
}
