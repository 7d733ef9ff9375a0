//! Runs one path, in a process of its own: what it asks the allocator for is
//! counted here, its instructions by valgrind if that is underneath.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;

use tokio::runtime::Builder;

use crate::allocator::{self, Asked};
use crate::paths::{CountedPath, Ready};

/// The name that valgrind looks for: at each call of [`counted_from_here`] it
/// writes down its counts and starts again from zero.
pub(crate) const MARK: &str = "*counted_from_here*";

/// Rounds whose allocations are shown by [`sites`].
const SITES_ROUNDS: usize = 8;

/// The frames of a call stack that are shown.
const FRAMES_MAX: usize = 24;

/// Runs a path so often, then twice as often, with a mark before, between and
/// behind. Answers what one message, or connection, asked the allocator for:
/// pieces and bytes.
pub(crate) fn run(path: CountedPath, cache: &Path) -> anyhow::Result<(f64, f64)> {
    let cache = cache.to_owned();
    block_on(async move {
        let mut ready = warm(path, &cache).await?;
        let once = counted(&mut ready, path.rounds).await?;
        let twice = counted(&mut ready, 2 * path.rounds).await?;
        counted_from_here();
        let units = (path.rounds * path.units()) as f64;
        let per_unit = |once: u64, twice: u64| (twice as f64 - once as f64) / units;
        Ok((
            per_unit(once.allocations, twice.allocations),
            per_unit(once.bytes, twice.bytes),
        ))
    })
}

/// Prints who asks the allocator for memory on a path: how often in some
/// rounds, how many bytes, and the call stack.
pub(crate) fn sites(path: CountedPath, cache: &Path) -> anyhow::Result<()> {
    let cache = cache.to_owned();
    let notes = block_on(async move {
        let mut ready = warm(path, &cache).await?;
        allocator::note();
        let ran = ready.run(SITES_ROUNDS).await;
        let notes = allocator::notes();
        ran.map(|()| notes)
    })?;
    let mut sites = std::collections::HashMap::<(String, usize), usize>::new();
    for (bytes, stack) in notes {
        *sites.entry((shown(&stack.to_string()), bytes)).or_default() += 1;
    }
    let mut sites: Vec<_> = sites.into_iter().collect();
    sites.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let mut out = std::io::stdout().lock();
    let messages = SITES_ROUNDS * path.units();
    writeln!(out, "{}, {messages} messages or connections", path.name)?;
    for ((stack, bytes), times) in sites {
        writeln!(out, "\n{times} × {bytes} bytes\n{stack}")?;
    }
    Ok(())
}

/// A call stack without what is below the allocator and without files.
fn shown(stack: &str) -> String {
    let frames: Vec<_> = stack
        .lines()
        .filter(|line| !line.trim_start().starts_with("at "))
        .collect();
    // The last is our own, where the others are inlined without a name.
    let allocator = |line: &&str| {
        let names = ["__rust_alloc", "__rust_realloc", ": count"];
        names.iter().any(|name| line.ends_with(name))
    };
    let skipped = frames.iter().rposition(allocator).map_or(0, |at| at + 1);
    let shown = frames[skipped..].iter().take(FRAMES_MAX);
    shown.copied().collect::<Vec<_>>().join("\n")
}

/// A path that has run long enough to have all buffers and instances.
async fn warm(path: CountedPath, cache: &Path) -> anyhow::Result<Ready> {
    let mut ready = Ready::new(path.kind, cache).await?;
    ready.run(path.rounds / 4).await?;
    Ok(ready)
}

/// The memory that these rounds ask the allocator for.
async fn counted(ready: &mut Ready, rounds: usize) -> anyhow::Result<Asked> {
    counted_from_here();
    let before = allocator::asked();
    ready.run(rounds).await?;
    let after = allocator::asked();
    Ok(Asked {
        allocations: after.allocations - before.allocations,
        bytes: after.bytes - before.bytes,
    })
}

/// The mark. The compiler must believe that it does something.
#[inline(never)]
fn counted_from_here() {
    std::hint::black_box(());
}

/// One thread for host and peer, and a task like a connection's: the runtime's
/// own future would pay for a system call between the two.
fn block_on<T: Send + 'static>(
    task: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(runtime.spawn(task))?
}
