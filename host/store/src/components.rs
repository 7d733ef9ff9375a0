//! Components by digest: each in a file, or all in memory.
//!
//! A file is written beside its place, forced to the disk and then moved there,
//! so a file whose name is a digest is whole. The digest is checked again when
//! the file is read.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use openline_core::component::Component;
use openline_core::digest::Digest;
use parking_lot::Mutex;

use crate::error::StoreError;

/// The ending of the name of a file that is not whole yet.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// Where components are.
#[derive(Debug)]
pub(crate) enum Components {
    Folder(Folder),
    Memory(Mutex<HashMap<Digest, Component>>),
}

/// A folder of components.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Gives two writes of the same component different files.
    writes: AtomicU64,
}

/// The component that a file's name stands for, if it is one.
pub(crate) fn component_of(name: &OsStr) -> Option<Digest> {
    let digest = name.to_str()?.strip_suffix(".wasm")?;
    Digest::parse(digest).ok()
}

/// Makes a folder that only its owner may open, and the folders above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Forces the names in a folder to the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

// === impl Components ===

impl Components {
    pub(crate) fn memory() -> Self {
        Self::Memory(Mutex::default())
    }

    /// Opens the folder, and removes files that interrupted writes have left.
    /// Only one process may use it.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        make_folder(&path)?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self::Folder(Folder {
            path,
            writes: AtomicU64::new(0),
        }))
    }

    pub(crate) fn put(&self, component: Component) -> Result<(), StoreError> {
        let digest = component.digest();
        match self {
            Self::Folder(folder) => folder
                .put(&digest, component.bytes())
                .map_err(|error| StoreError::io(&error))?,
            Self::Memory(components) => {
                components.lock().insert(digest, component);
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, digest: &Digest) -> Result<Option<Component>, StoreError> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Memory(components) => return Ok(components.lock().get(digest).cloned()),
        };
        let path = folder.file(digest);
        match fs::read(&path).map(Component::from) {
            Ok(component) if component.digest() == *digest => Ok(Some(component)),
            Ok(_) => Err(StoreError::Damaged(format!(
                "{} is not the component that its name says",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&error)),
        }
    }

    pub(crate) fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match self {
            Self::Folder(folder) => folder
                .remove(digest)
                .map_err(|error| StoreError::io(&error)),
            Self::Memory(components) => {
                components.lock().remove(digest);
                Ok(())
            }
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = match self {
            Self::Folder(folder) => folder.list().map_err(|error| StoreError::io(&error))?,
            Self::Memory(components) => components.lock().keys().copied().collect(),
        };
        digests.sort();
        Ok(digests)
    }
}

// === impl Folder ===

impl Folder {
    fn file(&self, digest: &Digest) -> PathBuf {
        self.path.join(format!("{digest}.wasm"))
    }

    fn put(&self, digest: &Digest, component: &[u8]) -> io::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path.join(format!("{digest}.{number}{UNFINISHED}"));
        let written = File::create(&unfinished)
            .and_then(|mut file| {
                file.write_all(component)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, self.file(digest)));
        if written.is_err() {
            // Report the first error.
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        sync_folder(&self.path)
    }

    fn remove(&self, digest: &Digest) -> io::Result<()> {
        match fs::remove_file(self.file(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&self.path),
        }
    }

    /// Lists the files with the name of a component; others are not the host's.
    fn list(&self) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            digests.extend(component_of(&entry?.file_name()));
        }
        Ok(digests)
    }
}
