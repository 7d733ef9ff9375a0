//! The host's own component: it accepts every connection and answers nothing.
//!
//! A function without a component whose triggers all have a dialect has it: its
//! peers subscribe and publish within the terms of their channels. It is a version
//! like any other, so limits, drains and deploys stay as they are, and what an
//! operator deploys takes its place.

use openline_core::component::Component;
use openline_core::config::FunctionConfig;
use openline_core::deployment::Deployment;

/// Assembled from `assets/bare.wat`.
const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bare.wasm"));

/// The note of its version.
pub(crate) const NOTE: &str = "the host's own, for peers of a dialect";

/// The host's own component.
pub(crate) fn component() -> Component {
    Component::from(COMPONENT.to_vec())
}

/// The component of a function that the configuration gives none, if the host has
/// one for it: nothing else was deployed, and all its peers speak dialects.
pub(crate) fn of(config: &FunctionConfig, record: &Deployment) -> Option<Component> {
    let mut triggers = config.triggers.iter();
    let speaks = !config.triggers.is_empty() && triggers.all(|it| it.dialect.is_some());
    let has_none = config.component.is_none() && record.versions().is_empty();
    (speaks && has_none).then(component)
}
