//! Storage below the database, where that is not simply a file.
//!
//! [`Shared`] lets a database be opened again on storage that another one used.
//! An [`Overlay`] lets a database on read-only storage be opened for reading:
//! when the database repairs itself, its writes stay in memory. These are its
//! header and its list of free pages.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// The size of the blocks that are copied when a part of them is written.
const BLOCK_BYTES: usize = 4096;

/// A handle to storage that outlives the database.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<dyn StorageBackend>);

/// Reads from the storage below, and keeps writes in memory.
#[derive(Debug)]
pub(crate) struct Overlay {
    below: Box<dyn StorageBackend>,
    state: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// How much of the storage below is still visible.
    below_bytes: u64,
    bytes: u64,
    blocks: HashMap<u64, Box<[u8; BLOCK_BYTES]>>,
}

// === impl Shared ===

impl StorageBackend for Shared {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }
}

// === impl Overlay ===

impl Overlay {
    pub(crate) fn new(below: Box<dyn StorageBackend>) -> io::Result<Self> {
        let bytes = below.len()?;
        let written = Written {
            below_bytes: bytes,
            bytes,
            blocks: HashMap::new(),
        };
        Ok(Self {
            below,
            state: Mutex::new(written),
        })
    }

    /// Reads the storage below, without the writes; past its end there are
    /// zeros.
    fn read_below(&self, written: &Written, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = written.below_bytes.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        let (read, zeros) = out.split_at_mut(there);
        zeros.fill(0);
        if read.is_empty() {
            Ok(())
        } else {
            self.below.read(offset, read)
        }
    }
}

/// Splits a range at the blocks: for each part the block, the offset in it, and
/// the part's place in the range.
fn parts(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let block_bytes = BLOCK_BYTES as u64;
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == bytes {
            return None;
        }
        let at = offset + start as u64;
        let inside = usize::try_from(at % block_bytes).unwrap_or(0);
        let end = bytes.min(start + BLOCK_BYTES - inside);
        let part = (at / block_bytes, inside, start..end);
        start = end;
        Some(part)
    })
}

fn past_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "past the end of the database")
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let written = self.state.lock();
        if offset + out.len() as u64 > written.bytes {
            return Err(past_the_end());
        }
        for (block, inside, range) in parts(offset, out.len()) {
            let at = offset + range.start as u64;
            let out = &mut out[range];
            match written.blocks.get(&block) {
                Some(bytes) => out.copy_from_slice(&bytes[inside..inside + out.len()]),
                None => self.read_below(&written, at, out)?,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut written = self.state.lock();
        written.bytes = len;
        // Bytes that are cut off do not come back when it grows again.
        written.below_bytes = written.below_bytes.min(len);
        let end = len.div_ceil(BLOCK_BYTES as u64);
        written.blocks.retain(|block, _| *block < end);
        let inside = usize::try_from(len % BLOCK_BYTES as u64).unwrap_or(0);
        if inside > 0
            && let Some(last) = written.blocks.get_mut(&(end - 1))
        {
            last[inside..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut written = self.state.lock();
        if offset + data.len() as u64 > written.bytes {
            return Err(past_the_end());
        }
        for (block, inside, range) in parts(offset, data.len()) {
            if !written.blocks.contains_key(&block) {
                let mut bytes = Box::new([0; BLOCK_BYTES]);
                self.read_below(&written, block * BLOCK_BYTES as u64, &mut bytes[..])?;
                written.blocks.insert(block, bytes);
            }
            if let Some(bytes) = written.blocks.get_mut(&block) {
                bytes[inside..inside + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn an_overlay_reads_as_what_was_written_and_leaves_what_is_below() {
        let below = Shared(Arc::new(InMemoryBackend::new()));
        let bytes: Vec<u8> = (1..=250).cycle().take(10_000).collect();
        below.set_len(10_000).unwrap();
        below.write(0, &bytes).unwrap();
        let overlay = Overlay::new(Box::new(below.clone())).unwrap();
        let mut model = bytes.clone();
        for (offset, count) in [(0, 1), (4_090, 20), (9_999, 1), (100, 9_000)] {
            overlay.write(offset as u64, &vec![0xee; count]).unwrap();
            model[offset..offset + count].fill(0xee);
            let mut read = vec![0; model.len()];
            overlay.read(0, &mut read).unwrap();
            assert_eq!(read, model);
        }
        for bytes in [5_000_usize, 12_000] {
            overlay.set_len(bytes as u64).unwrap();
            model.resize(bytes, 0);
            let mut read = vec![1; bytes];
            overlay.read(0, &mut read).unwrap();
            assert_eq!(read, model);
        }
        assert!(overlay.read(11_999, &mut [0; 2]).is_err());
        assert!(overlay.write(11_999, &[0; 2]).is_err());
        let mut read = vec![0; 10_000];
        below.read(0, &mut read).unwrap();
        assert_eq!(read, bytes);
    }
}
