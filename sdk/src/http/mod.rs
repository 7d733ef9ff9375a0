//! Functions that answer requests, and calls out.
//!
//! A [`Handler`](crate::Handler) answers requests beside its connections with its
//! `request`, when it is exported by `export!(Name, http)`; an
//! [`AsyncHandler`](crate::AsyncHandler) by `export_async!(Name, http)`. A function
//! that has no connections of its own is an [`HttpHandler`] or an
//! [`AsyncHttpHandler`]. The types are those of the crate [`http`](::http).
//!
//! ```
//! use openline_sdk::http::{Body, HttpHandler, Request, RequestExt, Response};
//!
//! /// Publishes what is posted to `/rooms/{room}`.
//! #[derive(Default)]
//! struct Post;
//!
//! impl HttpHandler for Post {
//!     fn request(&mut self, mut request: Request<Body>) -> Response<Body> {
//!         let room = request.route_param("room").unwrap_or_default().into_owned();
//!         let Ok(text) = request.body_mut().text(4096) else {
//!             return openline_sdk::http::text(400, "send text of at most 4 KiB\n");
//!         };
//!         match openline_sdk::publish(&room, text) {
//!             Ok(_) => openline_sdk::http::text(202, "published\n"),
//!             Err(error) => openline_sdk::http::text(400, format!("not published: {error}\n")),
//!         }
//!     }
//! }
//!
//! openline_sdk::export_http_handler!(Post);
//! ```
//!
//! Each instance of a plain function answers one request at a time, and no instance
//! that holds connections answers requests, so a slow answer delays nobody. What the
//! handler keeps in memory is that of its instance. Asynchronous functions answer
//! many at a time.
//!
//! A response can also be [held](Hold): the host then keeps it open as a connection,
//! without an instance. With [`send`] and [`send_async`] a function makes requests of
//! its own.

mod async_body;
mod async_writer;
mod body;
mod code;
mod error;
#[cfg(feature = "http-body")]
mod foreign_body;
mod handler;
mod hold;
mod json;
mod request;
mod send;
pub(crate) mod wire;

pub use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
pub use bytes::Bytes;

pub use async_body::{AsyncBody, Frame};
pub use async_writer::AsyncWriter;
pub use body::{Body, Reader, Writer};
pub use code::{ErrorCode, FieldSize};
pub use error::Error;
pub(crate) use handler::not_found;
pub use handler::{AsyncHttpHandler, HttpHandler};
pub use hold::Hold;
pub use request::RequestExt;
pub use send::{CallOptions, send, send_async, send_async_with, send_with};

/// A response of plain text.
///
/// # Panics
///
/// If the status is not one of three digits.
pub fn text<B: From<Bytes>>(status: u16, text: impl Into<String>) -> Response<B> {
    whole(status, "text/plain; charset=utf-8", text.into())
}

/// A response of JSON, which is passed as text.
///
/// # Panics
///
/// If the status is not one of three digits.
pub fn json<B: From<Bytes>>(status: u16, json: impl Into<String>) -> Response<B> {
    whole(status, "application/json", json.into())
}

fn whole<B: From<Bytes>>(status: u16, content_type: &'static str, text: String) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status has three digits");
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// What bodies of both kinds are made from.
macro_rules! body_from {
    ($body:ty) => {
        impl From<()> for $body {
            fn from((): ()) -> Self {
                Self::empty()
            }
        }

        impl From<&'static str> for $body {
            fn from(text: &'static str) -> Self {
                bytes::Bytes::from_static(text.as_bytes()).into()
            }
        }

        impl From<String> for $body {
            fn from(text: String) -> Self {
                bytes::Bytes::from(text).into()
            }
        }

        impl From<Vec<u8>> for $body {
            fn from(all: Vec<u8>) -> Self {
                bytes::Bytes::from(all).into()
            }
        }
    };
}
use body_from;
