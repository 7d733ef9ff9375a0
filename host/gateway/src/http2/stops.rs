//! Ends one stream of a TCP connection, and no other: the library gives a body no
//! turn while its peer has no room for it, so a body cannot end a stream that is not
//! read.
//!
//! The library has each stream answered by a task of its own, which is spawned here.
//! A task that is dropped resets its stream (`CANCEL`).

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;

tokio::task_local! {
    static STOP: Arc<Stop>;
}

/// Ends a stream.
#[derive(Debug, Default)]
pub(super) struct Stop {
    is_stopped: AtomicBool,
    task: AtomicWaker,
}

/// Spawns the tasks of streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spawner;

impl Stop {
    /// That of the stream whose task this is.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        STOP.try_with(Arc::clone).ok()
    }

    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.task.wake();
    }

    async fn stopped(&self) {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            match self.is_stopped.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
{
    fn execute(&self, answering: F) {
        let stop = Arc::<Stop>::default();
        let until = Arc::clone(&stop);
        let serving = async move {
            tokio::select! {
                biased;
                () = until.stopped() => {}
                _ = answering => {}
            }
        };
        tokio::spawn(STOP.scope(stop, serving));
    }
}
