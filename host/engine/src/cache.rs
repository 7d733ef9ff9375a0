//! Compiled components on disk, so that a second start is instant.
//!
//! One file for each component, named by the digest of the component and
//! wasmtime's own hash of its version and settings: another release or another
//! setting never reads it. A file holds the digest of its content first, so
//! that a torn or damaged one is compiled again. It is native code that the
//! host will run, so the folder must be writable by the host's user alone; it
//! is made so. Bounded by what is deployed: one file for each component.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

const DIGEST_BYTES: usize = 32;

/// The cache's folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder if it is not there.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        // It may have been there before.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let others_may_write = fs::metadata(folder)?.permissions().mode() & 0o022 != 0;
            if others_may_write {
                let text = "other users may write to it; take that away with `chmod go-w`";
                return Err(std::io::Error::new(
                    std::io::ErrorKind::PermissionDenied,
                    text,
                ));
            }
        }
        Ok(Self {
            folder: folder.into(),
        })
    }

    /// The compiled form of a component, if it is here and whole.
    pub(crate) fn load(&self, engine: &Engine, digest: &[u8]) -> Option<Component> {
        let content = fs::read(self.path(engine, digest)).ok()?;
        let (expected, artifact) = content.split_at_checked(DIGEST_BYTES)?;
        if Sha256::digest(artifact).as_slice() != expected {
            return None;
        }
        #[expect(unsafe_code, reason = "compiled code from disk; the argument is below")]
        // SAFETY: `deserialize` needs bytes that `Engine::precompile_component`
        // or `Component::serialize` made. The digest shows that they are the
        // ones `store` wrote, and only the host's user can write there; the
        // engine checks its version and settings by itself.
        let loaded = unsafe { Component::deserialize(engine, artifact) };
        loaded.ok()
    }

    /// Keeps a compiled component: whole or not at all.
    pub(crate) fn store(
        &self,
        engine: &Engine,
        digest: &[u8],
        component: &Component,
    ) -> std::io::Result<()> {
        let artifact = component.serialize().map_err(std::io::Error::other)?;
        let path = self.path(engine, digest);
        // Two hosts may do this at once: each writes a file of its own, and
        // the last rename wins with the same content.
        let unfinished = path.with_extension(format!("{}.part", std::process::id()));
        let write = || {
            let mut file = fs::File::create(&unfinished)?;
            file.write_all(&Sha256::digest(&artifact))?;
            file.write_all(&artifact)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        };
        let written = write();
        if written.is_err() {
            // Half a file would stay for good; it may not even be there.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn path(&self, engine: &Engine, digest: &[u8]) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name: String = digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder
            .join(format!("{name}-{:016x}.compiled", hasher.finish()))
    }
}
