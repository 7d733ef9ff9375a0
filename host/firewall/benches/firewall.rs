//! The cost of decisions.
fn main() {}
