//! The files that are mapped into the host: how to unwind through them, and the
//! names of their functions. Compiled guests are not in a file: they are
//! unwound by their frame pointers, and have no names here.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;

use framehop::{ExplicitModuleSectionInfo, Module, Unwinder as _, UnwinderNative};
use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, ReadCache};

/// The longest name of a function, in bytes, after which it is cut: names of
/// generic functions have thousands.
const NAME_BYTES_MAX: usize = 200;
/// The file of the program itself, even if it was replaced.
const PROGRAM: &str = "exe";

/// The executable files that are mapped, with their tables for unwinding.
pub(super) struct Modules {
    unwinder: UnwinderNative<Vec<u8>, framehop::MayAllocateDuringUnwind>,
    mapped: Vec<Mapped>,
}

/// A mapped file.
struct Mapped {
    path: String,
    start: u64,
    end: u64,
    /// Add this to the file's own addresses to get those in the process.
    bias: u64,
}

impl Modules {
    /// Reads the modules of a process, by its number.
    pub(super) fn of(process: i32) -> io::Result<Self> {
        let folder = format!("/proc/{process}");
        let program = fs::read_link(format!("{folder}/{PROGRAM}"))?;
        let program = program.to_string_lossy();
        let mut unwinder = UnwinderNative::new();
        let mut mapped = Vec::new();
        for (path, (start, end)) in ranges(&fs::read_to_string(format!("{folder}/maps"))?) {
            let path = if path == program {
                format!("{folder}/{PROGRAM}")
            } else {
                path
            };
            // A file that cannot be read is unwound by frame pointers.
            let Some((bias, sections)) = sections(&path, start) else {
                continue;
            };
            unwinder.add_module(Module::new(path.clone(), start..end, bias, sections));
            mapped.push(Mapped {
                path,
                start,
                end,
                bias,
            });
        }
        Ok(Self { unwinder, mapped })
    }

    /// For a process that may not be traced.
    pub(super) fn none() -> Self {
        Self {
            unwinder: UnwinderNative::new(),
            mapped: Vec::new(),
        }
    }

    pub(super) fn unwinder(&self) -> &UnwinderNative<Vec<u8>, framehop::MayAllocateDuringUnwind> {
        &self.unwinder
    }

    /// The names of the functions that contain the addresses.
    pub(super) fn names(&self, addresses: impl Iterator<Item = u64>) -> HashMap<u64, String> {
        let mut sorted: Vec<_> = addresses.collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut names = HashMap::new();
        for module in &self.mapped {
            let within = |address: &u64| (module.start..module.end).contains(address);
            let here: Vec<_> = sorted.iter().copied().filter(within).collect();
            if !here.is_empty() {
                module.name(&here, &mut names);
            }
        }
        names
    }
}

impl Mapped {
    /// Finds the names of sorted addresses.
    fn name(&self, addresses: &[u64], names: &mut HashMap<u64, String>) {
        let Ok(file) = File::open(&self.path) else {
            return;
        };
        let cache = ReadCache::new(file);
        let Ok(object) = object::File::parse(&cache) else {
            return;
        };
        for symbol in object.symbols().chain(object.dynamic_symbols()) {
            let start = symbol.address().wrapping_add(self.bias);
            let end = start.saturating_add(symbol.size());
            let first = addresses.partition_point(|address| *address < start);
            let inside = addresses[first..]
                .iter()
                .take_while(|address| **address < end);
            for address in inside {
                if let Ok(name) = symbol.name() {
                    names.entry(*address).or_insert_with(|| readable(name));
                }
            }
        }
    }
}

/// Files that are mapped as executable, with their ranges. Executable and
/// readable parts of one file belong together.
fn ranges(maps: &str) -> BTreeMap<String, (u64, u64)> {
    let mut ranges: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in maps.lines() {
        // Address, rights, offset, device, inode, and a path that may have
        // spaces.
        let mut fields = line.splitn(6, ' ');
        let Some((start, end)) = fields.next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let number = |text| u64::from_str_radix(text, 16);
        let (Ok(start), Ok(end)) = (number(start), number(end)) else {
            continue;
        };
        let path = fields.nth(4).unwrap_or_default().trim_start();
        if path.starts_with('/') {
            let range = ranges.entry(path.to_owned()).or_insert((start, end));
            *range = (range.0.min(start), range.1.max(end));
        }
    }
    ranges
}

/// The bias of a file's addresses, and its tables for unwinding.
fn sections(path: &str, start: u64) -> Option<(u64, ExplicitModuleSectionInfo<Vec<u8>>)> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let object = object::File::parse(&cache).ok()?;
    let range = |name| {
        let section = object.section_by_name(name)?;
        Some(section.address()..section.address() + section.size())
    };
    let data = |name| Some(object.section_by_name(name)?.data().ok()?.to_vec());
    // The first segment is mapped at the beginning of its page.
    let first = object.segments().map(|segment| segment.address()).min()?;
    let bias = start.wrapping_sub(first & !0xfff);
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        ..Default::default()
    };
    Some((bias, sections))
}

/// A symbol as its author wrote it, without the hash at its end.
fn readable(symbol: &str) -> String {
    let mut name = format!("{:#}", rustc_demangle::demangle(symbol));
    if name.len() > NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        name.push('…');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_files_are_found_with_all_of_their_parts() {
        let maps = "\
            1000-2000 r--p 00000000 08:01 17                     /bin/a b\n\
            2000-4000 r-xp 00001000 08:01 17                     /bin/a b\n\
            5000-6000 rw-p 00000000 00:00 0                      [heap]\n\
            7000-8000 rw-p 00000000 00:00 0\n\
            damaged\n";
        let expected = BTreeMap::from([("/bin/a b".to_owned(), (0x1000, 0x4000))]);
        assert_eq!(ranges(maps), expected);
    }

    #[test]
    fn a_name_is_demangled_and_bounded() {
        assert_eq!(
            readable("_ZN4core3ptr5write17h0123456789abcdefE"),
            "core::ptr::write"
        );
        let long = readable(&"é".repeat(NAME_BYTES_MAX));
        assert_eq!(long.chars().count(), NAME_BYTES_MAX / 2 + 1);
    }
}
