//! The load generator behind `openline bench`: opens WebSocket connections to
//! a function that echoes, sends messages, and reports throughput, latency and
//! faults.
//!
//! A latency counts from the time a message was **due**, not from the time it
//! could be sent. So a server that stalls for a second does not hide the
//! messages that would have been sent in it (no coordinated omission).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use openline_load::{Options, run};
//!
//! let mut options = Options::new("ws://127.0.0.1:8080/echo".parse()?);
//! options.rate = Some(10_000.0);
//! let report = run(options, |_progress| {}).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! Bounds: every setting of [`Options`] has one. Each connection holds at most
//! `depth` messages in flight; what is due beyond that is a number, not a
//! queue.

mod connect;
mod error;
mod open_files;
mod options;
pub mod process;
mod progress;
mod report;
mod run;
mod seconds;
mod tally;
mod target;
mod worker;

pub use connect::ConnectFailure;
pub use error::LoadError;
pub use options::{
    CONNECTIONS_MAX, DEPTH_MAX, DURATION_MAX, MESSAGE_BYTES_MAX, MessageKind, Options, RATE_MAX,
    THREADS_MAX, Tls,
};
pub use progress::{Activity, Progress};
pub use report::{Connections, Latency, Messages, Report, Server};
pub use run::run;
pub use target::{Target, TargetError};
