//! Calls out.

use std::time::Duration;

use http::{Request, Response};

use super::{AsyncBody, Body, Error, wire};

/// How long a call out may take. A timeout that is not set is the host's; none can be
/// longer than the host's.
///
/// ```
/// use std::time::Duration;
///
/// use openline_sdk::http::CallOptions;
///
/// let options = CallOptions::new()
///     .connect_timeout(Duration::from_secs(2))
///     .first_byte_timeout(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    between_bytes: Option<Duration>,
}

impl CallOptions {
    /// With the host's timeouts.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            connect: None,
            first_byte: None,
            between_bytes: None,
        }
    }

    /// Until the connection is made.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect = Some(timeout);
        self
    }

    /// Until the response begins.
    #[must_use]
    pub const fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.first_byte = Some(timeout);
        self
    }

    /// Between two pieces of the response's body.
    #[must_use]
    pub const fn between_bytes_timeout(mut self, timeout: Duration) -> Self {
        self.between_bytes = Some(timeout);
        self
    }

    /// As wasi:http has them.
    pub(super) fn nanoseconds(&self) -> (Option<u64>, Option<u64>, Option<u64>) {
        let nanoseconds = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        (
            self.connect.map(nanoseconds),
            self.first_byte.map(nanoseconds),
            self.between_bytes.map(nanoseconds),
        )
    }
}

/// Sends a request, and waits for the response: of plain functions. The URI is
/// absolute (`https://api.example.org/v1`). The body of the request is written before
/// anything is read, that of the response is read when the function asks for it.
/// Redirects are not followed.
///
/// # Errors
///
/// When the host does not let the function call there (`[function.outbound]`), and when
/// the call fails. Any status of a response is no error.
///
/// ```no_run
/// use openline_sdk::http::{self, Body, Error, Request};
///
/// fn weather(city: &str) -> Result<String, Error> {
///     let request = Request::get(format!("https://api.example.org/weather/{city}"))
///         .body(Body::empty())
///         .map_err(|error| Error::Invalid(error.to_string()))?;
///     http::send(request)?.body_mut().text(64 << 10)
/// }
/// ```
pub fn send(request: Request<Body>) -> Result<Response<Body>, Error> {
    send_with(request, &CallOptions::new())
}

/// The same with timeouts.
///
/// # Errors
///
/// As for [`send`].
pub fn send_with(request: Request<Body>, options: &CallOptions) -> Result<Response<Body>, Error> {
    wire::plain::send(request, options)
}

/// Sends a request, and waits for the response: of asynchronous functions. The body of
/// the request is written while the response is awaited and read. Otherwise as
/// [`send`].
///
/// # Errors
///
/// As for [`send`].
pub async fn send_async(request: Request<AsyncBody>) -> Result<Response<AsyncBody>, Error> {
    send_async_with(request, &CallOptions::new()).await
}

/// The same with timeouts.
///
/// # Errors
///
/// As for [`send`].
pub async fn send_async_with(
    request: Request<AsyncBody>,
    options: &CallOptions,
) -> Result<Response<AsyncBody>, Error> {
    wire::asynchronous::send(request, options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_passed_in_nanoseconds_and_cut_if_they_do_not_fit() {
        let options = CallOptions::new()
            .connect_timeout(Duration::from_millis(1))
            .between_bytes_timeout(Duration::MAX);
        assert_eq!(
            options.nanoseconds(),
            (Some(1_000_000), None, Some(u64::MAX))
        );
    }

    #[test]
    fn a_call_out_needs_a_host() {
        let request = Request::get("/path").body(Body::empty()).unwrap();
        let error = send(request).unwrap_err();
        assert!(error.to_string().contains("names no host"), "{error}");
    }
}
