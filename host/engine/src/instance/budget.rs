//! The budget of one call, and how the host notices that it is spent.
//!
//! [`RunClock`] measures computing: the driver notes when it hands the thread
//! to guest code, and the epoch callback asks how much CPU time the thread has
//! used since. The guest is not charged for other processes, nor for the host's
//! copying before guest code runs. [`crate::instance::allowance`] has the
//! limit. [`MemoryLimiter`] counts memory. wasmtime counts fuel. The driver's
//! timer bounds the whole time of a call.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openline_core::limits::{EPOCH_TICK, InstancePolicy};
use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::allowance::{Allowance, SLICE_NANOSECONDS};
use crate::component::failure::Spent;

// This is not tokio's clock, because a paused test clock must not stop the
// measuring of real work. Only this file reads it.
#[expect(
    clippy::disallowed_types,
    reason = "measures computing, which tokio's clock cannot"
)]
use std::time::Instant;

/// Measures how much an instance's guest code computes, from when the driver
/// hands it the thread until it returns, awaits or yields. [`Allowance`]
/// decides how much it may. Yields to the thread's other tasks, and the wait
/// for its turn ([`crate::instance::turns`]), are neither computing nor rest.
#[derive(Debug)]
pub(crate) struct RunClock {
    #[expect(clippy::disallowed_types, reason = "see above")]
    origin: Instant,
    /// Nanoseconds since `origin` when the thread was handed over.
    entered: AtomicU64,
    /// The same for the last time guest code awaited; 0 when it does not rest.
    paused: AtomicU64,
    yielded: AtomicBool,
    /// The CPU time of the thread when it was handed over, in nanoseconds. 0 in
    /// a call's first slice, in which most calls end, and which is not worth a
    /// system call.
    thread_before: AtomicU64,
    allowance: Allowance,
}

impl RunClock {
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub(crate) fn new(cpu_timeout: Duration) -> Self {
        Self {
            origin: Instant::now(),
            entered: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            yielded: AtomicBool::new(false),
            thread_before: AtomicU64::new(0),
            allowance: Allowance::new(cpu_timeout),
        }
    }

    /// Starts again with this many calls in flight; earlier computing is not
    /// charged to them.
    pub(crate) fn start_over(&self, calls: u64) {
        self.paused.store(0, Ordering::Relaxed);
        self.yielded.store(false, Ordering::Relaxed);
        self.allowance.start_over(calls);
    }

    /// Notes that one more call begins; others may be in flight.
    pub(crate) fn begin_call(&self) {
        self.allowance.begin_call();
    }

    /// Notes that a call has returned.
    pub(crate) fn end_call(&self) {
        self.allowance.end_call();
    }

    /// Notes that guest code gets the thread.
    pub(crate) fn enter(&self) {
        let exactly = self.is_long() || self.allowance.is_low();
        self.yielded.store(false, Ordering::Relaxed);
        let thread_before = if exactly { thread_time() } else { 0 };
        self.thread_before.store(thread_before, Ordering::Relaxed);
        let now = self.now();
        self.end_rest(|| now);
        self.entered.store(now, Ordering::Relaxed);
    }

    /// Notes that the thread comes back while the call has not returned: guest
    /// code awaits, unless it has only yielded.
    pub(crate) fn pause(&self) {
        if self.yielded.load(Ordering::Relaxed) {
            return;
        }
        let now = self.now();
        self.allowance.charge(self.computed(now));
        self.allowance.pause();
        self.paused.store(now.max(1), Ordering::Relaxed);
    }

    /// Notes that guest code has work and waits for its turn, which is not
    /// rest.
    pub(crate) fn wake(&self) {
        self.end_rest(|| self.now());
    }

    fn end_rest(&self, now: impl FnOnce() -> u64) {
        let paused = self.paused.load(Ordering::Relaxed);
        if paused != 0 {
            self.paused.store(0, Ordering::Relaxed);
            self.allowance.rest(now().saturating_sub(paused));
        }
    }

    /// The moment at which the thread was last handed over. It is exact enough
    /// to date an event without reading the clock again.
    pub(crate) fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// How long ago such a moment was.
    pub(crate) fn since(&self, moment: u64) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(moment))
    }

    /// Whether the calls in flight have used up a slice and want to go on.
    pub(crate) fn is_long(&self) -> bool {
        self.yielded.load(Ordering::Relaxed) || self.allowance.is_long()
    }

    /// Called when an epoch passes while guest code runs.
    pub(crate) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        let now = self.now();
        let computed = self.computed(now);
        if self.allowance.is_spent_with(computed) {
            return Err(Spent::Cpu.into());
        }
        // Leave a run alone that has just begun: it met the end of an epoch
        // that passed while nothing ran.
        let slice = now.saturating_sub(self.entered.load(Ordering::Relaxed));
        if Duration::from_nanos(slice) < EPOCH_TICK / 2 {
            return Ok(UpdateDeadline::Continue(1));
        }
        self.allowance.charge(computed);
        self.yielded.store(true, Ordering::Relaxed);
        Ok(UpdateDeadline::Yield(1))
    }

    /// How much was computed since the thread was handed over.
    fn computed(&self, now: u64) -> u64 {
        let slice = now.saturating_sub(self.entered.load(Ordering::Relaxed));
        match self.thread_before.load(Ordering::Relaxed) {
            // If the first slice computes for longer than a tick, another tick
            // follows. Any excess here is the host's copying, or another
            // process.
            0 => slice.min(SLICE_NANOSECONDS),
            before => thread_time().saturating_sub(before).min(slice),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The CPU time of the thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// Counts the memories and tables of an instance. An instance that would grow
/// past its memory is ended, because after a failed `memory.grow` the guest's
/// allocator would trap without an explanation.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    memory_bytes: usize,
    /// The size of all linear memories of the instance together.
    used: usize,
    /// The bytes that the last growth added, in case it fails after all.
    added: usize,
    table_elements: usize,
    /// The elements of all tables of the instance together.
    elements: usize,
    elements_added: usize,
}

impl MemoryLimiter {
    pub(crate) fn new(policy: &InstancePolicy) -> Self {
        Self {
            memory_bytes: policy.memory_bytes,
            used: 0,
            added: 0,
            table_elements: policy.table_elements as usize,
            elements: 0,
            elements_added: 0,
        }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.added = desired.saturating_sub(current);
        let used = self.used.saturating_add(self.added);
        if used > self.memory_bytes {
            return Err(Spent::Memory.into());
        }
        self.used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.used -= self.added;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.elements_added = desired.saturating_sub(current);
        let elements = self.elements.saturating_add(self.elements_added);
        let fits = elements <= self.table_elements;
        if fits {
            self.elements = elements;
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements -= self.elements_added;
        Ok(())
    }
}
