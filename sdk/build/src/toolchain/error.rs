//! Why there is no compiler for WebAssembly, and the hint.

use std::borrow::Cow;

use openline_hint::Hint;

use super::{TARGET_VARIABLE, Target};

/// Why there is no compiler for WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolchainError {
    /// The environment asks for an unknown target.
    #[error(
        "the environment variable `{TARGET_VARIABLE}` is `{value}`, which is not a target to build components for"
    )]
    UnknownTarget {
        /// The value of the variable.
        value: String,
    },
    /// No usable compiler is installed, and none could be installed.
    #[error(
        "no Rust toolchain that compiles to WebAssembly was found{}",
        listed(absences)
    )]
    Missing {
        /// Each target that was looked for, and why it cannot be used.
        absences: Vec<(Target, String)>,
    },
}

// === impl ToolchainError ===

impl Hint for ToolchainError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::UnknownTarget { .. } => {
                "use `wasm32-wasip2` or `wasm32-wasip1`, or unset it to use what is there".into()
            }
            Self::Missing { absences } => {
                let remedies: Vec<String> =
                    absences.iter().map(|(target, _)| target.remedy()).collect();
                remedies.join(",\nor ").into()
            }
        })
    }
}

/// The targets that were looked for, each on a line.
fn listed(absences: &[(Target, String)]) -> String {
    let line = |(target, reason): &(Target, String)| {
        format!("\n  {target}: {}", reason.replace('\n', "\n    "))
    };
    absences.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_for_each_target() {
        let absences = vec![
            (Target::Preview2, "no target; no network".to_owned()),
            (Target::Preview1, "no compiler".to_owned()),
        ];
        let error = ToolchainError::Missing { absences };
        assert_eq!(
            error.to_string(),
            "no Rust toolchain that compiles to WebAssembly was found\n  \
             wasm32-wasip2: no target; no network\n  \
             wasm32-wasip1: no compiler"
        );
        assert_eq!(
            error.hint().unwrap(),
            "run `rustup target add wasm32-wasip2`,\n\
             or on Debian 12, as root, run `apt-get update` and `apt-get install -y \
             --no-install-recommends rustc-web cargo-web rust-web-src wasi-libc lld`"
        );
    }
}
