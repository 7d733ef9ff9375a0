//! The admin interface: its answers, its access rules, and invalid input; and
//! its document, compared with its answers.

mod access;
mod channel_streams;
mod channels;
mod components;
mod document;
mod input;
mod routes;
mod triggers;

pub(crate) use channels::until;

const WASM: &str = "application/wasm";

fn component(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
