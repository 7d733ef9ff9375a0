//! Compiled components on disk, so that a second start is instant.
//!
//! One file for each component, named by the digest of the component and
//! wasmtime's own hash of its version and settings: another release or another
//! setting never reads it. A file holds the digest of its content first, so
//! that a torn or damaged one is compiled again. It is native code that the
//! host will run, so nobody but the host's user may be able to write it:
//! `trust` looks at the folder, all folders above it and each file, each time.
//!
//! Bounded by `cache_bytes` and [`FILES_MAX`]: past either, the files that were
//! not read for the longest time go.

mod trim;
mod trust;

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

pub(crate) use trust::Untrusted;

const DIGEST_BYTES: usize = 32;
/// Files of the cache: each store looks at all of them.
pub(crate) const FILES_MAX: usize = 1024;
/// How the names of compiled components end.
const COMPILED: &str = "compiled";
/// How the names of those end that are still being written.
const UNFINISHED: &str = "part";

/// That a file was written to now, by the system's clock.
const NOW: Timestamps = Timestamps {
    last_access: Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_OMIT,
    },
    last_modification: Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    },
};

/// Tells the unfinished files of this process from each other.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// The cache's folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Without symbolic links: what was looked at is what is used.
    folder: PathBuf,
    bytes_max: u64,
}

/// There is no cache.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Cache {
    /// Makes the folder if it is not there.
    pub(crate) fn open(folder: &Path, bytes_max: usize) -> Result<Self, CacheError> {
        Ok(Self {
            folder: Self::make(folder)?,
            bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
        })
    }

    /// The compiled form of a component, if it is here, whole, and nobody
    /// else's.
    pub(crate) fn load(&self, engine: &Engine, digest: &[u8]) -> Option<Component> {
        let path = self.path(engine, digest);
        let content = match self.look().and_then(|()| self.read(&path)) {
            Ok(content) => content,
            Err(CacheError::Io(_)) => return None,
            Err(CacheError::Untrusted(error)) => {
                tracing::warn!(%error, "a cached component is not used");
                return None;
            }
        };
        let (expected, artifact) = content.split_at_checked(DIGEST_BYTES)?;
        if Sha256::digest(artifact).as_slice() != expected {
            return None;
        }
        #[expect(unsafe_code, reason = "compiled code from disk; the argument is below")]
        // SAFETY: `deserialize` needs bytes that `Engine::precompile_component`
        // or `Component::serialize` made. The digest shows that they are the
        // ones `store` wrote, and only the host's user can write there: the
        // folder, all above it and this file were looked at. The engine checks
        // its version and settings by itself.
        let loaded = unsafe { Component::deserialize(engine, artifact) };
        loaded.ok()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, CacheError> {
        // A link is not followed, and a pipe is not waited for.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.cast_signed())
            .open(path)?;
        let length = trust::file(&file, path)?;
        if length > self.bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
        }
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        (&file).take(length).read_to_end(&mut content)?;
        // When it was needed last. Where that cannot be noted it goes early.
        let _ = rustix::fs::futimens(&file, &NOW);
        Ok(content)
    }

    /// Keeps a compiled component: whole or not at all. Makes the folder again
    /// if it was removed meanwhile, as programs that clean up do.
    pub(crate) fn store(
        &self,
        engine: &Engine,
        digest: &[u8],
        artifact: &[u8],
    ) -> Result<(), CacheError> {
        match self.look() {
            Err(CacheError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let folder = self.folder.display();
                tracing::warn!(%folder, "the compile cache was removed; it is made again");
                Self::make(&self.folder)?;
                self.look()
            }
            looked => looked,
        }?;
        Ok(self.try_store(engine, digest, artifact)?)
    }

    /// Whether the folder is still the one that was opened, or another one that
    /// is as good: whoever has removed it may have let others make it.
    fn look(&self) -> Result<(), CacheError> {
        let now = trust::folder(&self.folder)?;
        if now == self.folder {
            Ok(())
        } else {
            Err(Untrusted::Moved(now).into())
        }
    }

    /// Makes a folder, or finds it, and answers its path without symbolic
    /// links.
    fn make(folder: &Path) -> Result<PathBuf, CacheError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder)?;
        trust::folder(folder)
    }

    fn try_store(&self, engine: &Engine, digest: &[u8], artifact: &[u8]) -> io::Result<()> {
        let size = u64::try_from(artifact.len() + DIGEST_BYTES).unwrap_or(u64::MAX);
        if size > self.bytes_max {
            return Err(io::Error::other("it is larger than `cache_bytes`"));
        }
        trim::make_room(&self.folder, self.bytes_max - size, FILES_MAX - 1)?;
        let path = self.path(engine, digest);
        // Two hosts may do this at once: each writes a file of its own, and
        // the last rename wins with the same content.
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let unfinished = path.with_extension(format!("{process}-{number}.{UNFINISHED}"));
        let write = || {
            let mut file = Self::create(&unfinished)?;
            file.write_all(&Sha256::digest(artifact))?;
            file.write_all(artifact)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        };
        let written = write();
        if written.is_err() {
            // Half a file would stay for a while; it may not even be there.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// A new file that nobody else may write.
    fn create(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(path)
    }

    fn path(&self, engine: &Engine, digest: &[u8]) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name: String = digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let settings = hasher.finish();
        self.folder
            .join(format!("{name}-{settings:016x}.{COMPILED}"))
    }
}
