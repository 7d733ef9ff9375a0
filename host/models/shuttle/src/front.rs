//! The connections' way to the instances.

#[path = "../../../engine/src/front/alias.rs"]
pub mod alias;
#[path = "../../../engine/src/front/binding.rs"]
pub mod binding;
