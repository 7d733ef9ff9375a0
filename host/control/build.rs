//! Assembles the host's own component from its text.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=assets/bare.wat");
    let folder = env::var("OUT_DIR").expect("cargo sets it");
    let assembled = wat::parse_file("assets/bare.wat").expect("the text is a component");
    let path = Path::new(&folder).join("bare.wasm");
    fs::write(path, assembled).expect("the folder is cargo's");
}
