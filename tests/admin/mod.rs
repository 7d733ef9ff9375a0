//! The admin interface: what it answers, to whom, and what it makes of input
//! that is wrong. Its document is held against it.

mod access;
mod components;
mod document;
mod input;
mod routes;

const WASM: &str = "application/wasm";

fn component(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
