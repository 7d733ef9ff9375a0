//! The way of connections to their instances.

#[path = "../../../engine/src/front/accepted.rs"]
mod accepted;
#[path = "../../../engine/src/front/alias.rs"]
pub mod alias;
#[path = "../../../engine/src/front/binding.rs"]
pub mod binding;
#[path = "../../../engine/src/front/ring.rs"]
mod ring;
#[path = "../../../engine/src/front/split.rs"]
mod split;
