//! A component as it travels from where it is read to where it is compiled and
//! kept: its bytes and the digest that names it.
//!
//! The bytes are hashed once, when the component is made. Clones share them.
//! The code that reads a component bounds its size (`component_bytes`).

use std::fmt;

use bytes::Bytes;

use crate::digest::Digest;

/// A component's bytes and digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Component {
    bytes: Bytes,
    digest: Digest,
}

impl Component {
    /// Hashes the bytes. This takes a millisecond or more for each MiB, so a
    /// thread that serves connections must not call it.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    /// The content of its file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest that names it.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl From<Vec<u8>> for Component {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("bytes", &self.bytes.len())
            .field("digest", &self.digest)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_named_by_its_content_and_clones_share_the_bytes() {
        let component = Component::from(b"abc".to_vec());
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            component.digest().to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let clone = component.clone();
        assert_eq!(clone.bytes().as_ptr(), component.bytes().as_ptr());
        assert_ne!(Component::new(&b"abd"[..]), component);
    }
}
