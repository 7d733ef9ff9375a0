//! Versions of functions: other components out of one, and how they are
//! deployed.

#[cfg(feature = "host")]
use openline_control::DeployOptions;
#[cfg(feature = "host")]
use openline_core::name::AliasName;

/// The same component under another digest: with a custom section behind it, of
/// which a number is the name.
#[must_use]
pub fn variant(component: &[u8], number: u8) -> Vec<u8> {
    // Its size, its name's size, its name.
    [component, &[0, 2, 1, number]].concat()
}

/// A deploy to the alias `live`, with nothing else said.
#[cfg(feature = "host")]
#[must_use]
pub fn deploy_options() -> DeployOptions {
    DeployOptions {
        alias: AliasName::live(),
        weight: None,
        migration: None,
        drain_connections_per_second: None,
        route: None,
        note: None,
        probe: false,
    }
}
