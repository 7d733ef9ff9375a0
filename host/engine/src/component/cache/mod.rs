//! Compiled components on disk, so that a second start is instant.
//!
//! Each component has a file, named by its digest and by wasmtime's own hash of
//! its version and settings, so that another release or setting never reads it.
//! A file begins with the digest of its content, so that a torn or damaged one
//! is compiled again. The content is native code that the host will run, so
//! only the host's user may be able to write it: `trust` checks the folder, all
//! folders above it and each file, each time.
//!
//! Bounded by `cache_bytes` and [`FILES_MAX`]: past either, the files that were
//! not read for the longest time are removed.

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
/// The most files in the cache: each store lists all of them.
pub(crate) const FILES_MAX: usize = 1024;
/// The extension of compiled components.
const COMPILED: &str = "compiled";
/// The extension of files that are still being written.
const UNFINISHED: &str = "part";

/// Marks a file as written now, by the system's clock.
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

/// Numbers the unfinished files of this process.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// The cache's folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Its path without symbolic links, so that the checked folder is the used
    /// one.
    folder: PathBuf,
    bytes_max: u64,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Cache {
    /// Opens the folder, and makes it if it does not exist.
    pub(crate) fn open(folder: &Path, bytes_max: usize) -> Result<Self, CacheError> {
        Ok(Self {
            folder: Self::make(folder)?,
            bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
        })
    }

    /// The compiled form of a component, if the cache has it, whole, and in a
    /// file that only the host's user can write.
    pub(crate) fn load(&self, engine: &Engine, digest: &[u8]) -> Option<Component> {
        let path = self.path(engine, digest);
        let content = match self.look().and_then(|()| self.read(&path)) {
            Ok(content) => content,
            Err(CacheError::Io(_)) => return None,
            Err(CacheError::Untrusted(error)) => {
                tracing::warn!(%error, "ignoring a cached component");
                return None;
            }
        };
        let (expected, artifact) = content.split_at_checked(DIGEST_BYTES)?;
        if Sha256::digest(artifact).as_slice() != expected {
            return None;
        }
        #[expect(unsafe_code, reason = "compiled code from disk; the argument is below")]
        // SAFETY: `deserialize` needs bytes that `Engine::precompile_component`
        // or `Component::serialize` made. The digest shows that `store` wrote
        // these, and only the host's user can write there: the folder, all
        // folders above it and this file were checked. The engine checks its
        // version and settings by itself.
        let loaded = unsafe { Component::deserialize(engine, artifact) };
        loaded.ok()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, CacheError> {
        // Neither follow a link nor wait for a pipe.
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
        // Note that the file was needed now. If this fails, the file is removed
        // earlier.
        let _ = rustix::fs::futimens(&file, &NOW);
        Ok(content)
    }

    /// Stores a compiled component, completely or not at all. Makes the folder
    /// again if a cleaning program has removed it.
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

    /// Checks that the folder is still the one that was opened, or is as safe
    /// as that: if it was removed, another user may have made a new one.
    fn look(&self) -> Result<(), CacheError> {
        let now = trust::folder(&self.folder)?;
        if now == self.folder {
            Ok(())
        } else {
            Err(Untrusted::Moved(now).into())
        }
    }

    /// Makes or finds a folder, and returns its path without symbolic links.
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
        // Two hosts may do this at once: each writes a file of its own, and the
        // last rename wins, with the same content.
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
            // Otherwise half a file would stay for a while. It may not exist.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Creates a file that other users cannot write.
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
