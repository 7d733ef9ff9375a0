//! Firewall functions: they decide about requests that a rule of the host's
//! firewall gives them, before any function is asked about a connection.
//!
//! A rule names the function with `run_function`. Its memory lasts from call to
//! call, as long as the instance; there may be several instances.
//!
//! ```
//! use openline_sdk::firewall::{Answer, Firewall, Request, Verdict};
//!
//! /// Lets in whoever knows the word, and counts the others.
//! #[derive(Default)]
//! struct Gate {
//!     refused: u64,
//! }
//!
//! impl Firewall for Gate {
//!     fn inspect(&mut self, request: &Request) -> Verdict {
//!         if request.header("x-word").as_deref() == Some("sesame") {
//!             return Verdict::allow();
//!         }
//!         self.refused += 1;
//!         Verdict::Deny(Answer::text(403, format!("refused {} so far\n", self.refused)))
//!     }
//! }
//!
//! openline_sdk::export_firewall!(Gate);
//!
//! // Pure code can be tested without a host.
//! let mut gate = Gate::default();
//! let knows = Request::new("/chat").with_header("x-word", "sesame");
//! assert_eq!(gate.inspect(&knows), Verdict::allow());
//! let other = gate.inspect(&Request::new("/chat"));
//! assert_eq!(other, Verdict::Deny(Answer::text(403, "refused 1 so far\n")));
//! ```

mod request;
mod verdict;

use std::future::Future;

pub use request::{Request, Target};
pub use verdict::{Allow, Answer, Verdict};

/// A plain firewall function: an instance decides about one request after the
/// other. Export it with [`export_firewall!`](crate::export_firewall), alone or
/// beside a [`Handler`](crate::Handler).
///
/// One value of the type decides for an instance; it is made with `Default` when
/// the first call needs it. If a call panics or takes too long, the host denies
/// the request.
pub trait Firewall: Default + 'static {
    /// Decides about a request.
    fn inspect(&mut self, request: &Request) -> Verdict;
}

/// An asynchronous firewall function: while one call awaits, the instance decides
/// about other requests. Export it with
/// [`export_async_firewall!`](crate::export_async_firewall), alone or beside an
/// [`AsyncHandler`](crate::AsyncHandler).
///
/// ```
/// use std::time::Duration;
///
/// use openline_sdk::firewall::{AsyncFirewall, Request, Verdict};
///
/// /// Makes every peer wait a little.
/// #[derive(Default)]
/// struct Slow;
///
/// impl AsyncFirewall for Slow {
///     async fn inspect(&self, _request: &Request) -> Verdict {
///         openline_sdk::time::sleep(Duration::from_millis(50)).await;
///         Verdict::allow()
///     }
/// }
///
/// openline_sdk::export_async_firewall!(Slow);
/// ```
pub trait AsyncFirewall: Default + 'static {
    /// Decides about a request.
    fn inspect(&self, request: &Request) -> impl Future<Output = Verdict>;
}
