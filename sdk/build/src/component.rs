//! Makes a component from the output of a linker.
//!
//! `wasm32-wasip2` gives a component, which stays as it is. `wasm32-wasip1`
//! gives a core module that carries its WIT types in custom sections; it is
//! wrapped, with the reactor adapter for its imports from WASI preview 1.

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// The first eight bytes of each kind: the magic number, then the version and
/// the layer (component model, `Binary.md`).
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Why a file cannot be made a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// The file is neither a core module nor a component.
    #[error("this is not WebAssembly, or a version of it that is not known here")]
    NotWasm,
    /// The core module cannot be wrapped.
    #[error("the module cannot be made a component: {reason}")]
    NotWrapped {
        /// The reason.
        reason: String,
    },
}

/// Makes a component from a module; returns a component as it is.
pub(crate) fn componentize(wasm: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, ComponentError> {
    if wasm.starts_with(COMPONENT) {
        return Ok(wasm);
    }
    if !wasm.starts_with(CORE_MODULE) {
        return Err(ComponentError::NotWasm);
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&wasm)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode());
    match component {
        Ok(component) => Ok(component.into()),
        Err(error) => Err(ComponentError::NotWrapped {
            reason: format!("{error:#}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_left_alone() {
        assert_eq!(componentize(COMPONENT.into()).unwrap(), COMPONENT);
    }

    #[test]
    fn a_module_becomes_a_component() {
        let component = componentize(CORE_MODULE.into()).unwrap();
        assert!(component.starts_with(COMPONENT));
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [&b""[..], b"\0asm", b"\x7fELF\x02\x01\x01\0"] {
            assert_eq!(componentize(bytes.into()), Err(ComponentError::NotWasm));
        }
    }

    #[test]
    fn a_broken_module_is_refused() {
        let broken = [CORE_MODULE, b"\xff\xff\xff"].concat();
        let error = componentize(broken.into()).unwrap_err();
        assert!(
            matches!(error, ComponentError::NotWrapped { .. }),
            "{error}"
        );
    }
}
