//! Exports a channel handler: the two macros, and the bridges from the generated
//! interfaces to the two traits.

use crate::channel::{AsyncChannelHandler, Batch, ChannelHandler};
use crate::raw::asynchronous_channel::exports::openline::channels::async_channel_handler;
use crate::raw::plain_channel::exports::openline::channels::channel_handler;
use crate::raw::publications as types;

/// Exports a [`ChannelHandler`](crate::channel::ChannelHandler).
///
/// The crate must be of type `cdylib`. It may export a handler with
/// [`export!`](crate::export) as well; each of the two has a value of its own, in
/// an instance of its own. A second one does not compile. On targets other than
/// wasm, as in unit tests, it exports nothing.
///
/// ```
/// use openline_sdk::channel::{Batch, ChannelHandler};
///
/// #[derive(Default)]
/// struct Count(usize);
///
/// impl ChannelHandler for Count {
///     fn published(&mut self, batch: Batch) {
///         self.0 += batch.publications.len();
///     }
/// }
///
/// openline_sdk::export_channel_handler!(Count);
/// ```
#[macro_export]
macro_rules! export_channel_handler {
    ($handler:ty) => {
        #[doc(hidden)]
        const _THE_EXPORTED_CHANNEL_HANDLER: () = {
            struct OpenlineExportedChannelHandler;

            ::std::thread_local! {
                static HANDLER: ::std::cell::RefCell<$handler> = ::core::default::Default::default();
            }

            impl $crate::raw::ChannelFunction for OpenlineExportedChannelHandler {
                type Handler = $handler;

                fn with<R>(call: impl ::core::ops::FnOnce(&mut $handler) -> R) -> R {
                    HANDLER.with_borrow_mut(call)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::plain_channel::export_plain_channel!(
                OpenlineExportedChannelHandler with_types_in $crate::raw::plain_channel
            );
            // On other targets nothing calls it, but it is not dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() =
                || <OpenlineExportedChannelHandler as $crate::raw::ChannelFunction>::with(|_| ());
        };
    };
}

/// Exports an [`AsyncChannelHandler`](crate::channel::AsyncChannelHandler). It may
/// stand beside [`export_async!`](crate::export_async). Otherwise as
/// [`export_channel_handler!`](crate::export_channel_handler).
#[macro_export]
macro_rules! export_async_channel_handler {
    ($handler:ty) => {
        #[doc(hidden)]
        const _THE_EXPORTED_CHANNEL_HANDLER: () = {
            struct OpenlineExportedChannelHandler;

            ::std::thread_local! {
                // Leaked once, for the reason given in `export_async!`.
                static HANDLER: &'static $handler =
                    ::std::boxed::Box::leak(::core::default::Default::default());
            }

            impl $crate::raw::AsyncChannelFunction for OpenlineExportedChannelHandler {
                type Handler = $handler;

                fn handler() -> &'static $handler {
                    HANDLER.with(|handler| *handler)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::asynchronous_channel::export_asynchronous_channel!(
                OpenlineExportedChannelHandler with_types_in $crate::raw::asynchronous_channel
            );
            // On other targets nothing calls it, but it is not dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() = || {
                _ = <OpenlineExportedChannelHandler as $crate::raw::AsyncChannelFunction>::handler(
                );
            };
        };
    };
}

/// Holds the one value of a plain channel handler.
/// [`crate::export_channel_handler!`] implements it.
pub trait ChannelFunction {
    /// The author's type.
    type Handler: ChannelHandler;

    /// Runs one call with it.
    fn with<R>(call: impl FnOnce(&mut Self::Handler) -> R) -> R;
}

impl<F: ChannelFunction> channel_handler::Guest for F {
    fn published(channel: String, publications: Vec<types::Publication>, lost: u64) {
        F::with(|handler| handler.published(batch(channel, publications, lost)));
    }
}

/// Holds the one value of an asynchronous channel handler.
/// [`crate::export_async_channel_handler!`] implements it.
pub trait AsyncChannelFunction {
    /// The author's type.
    type Handler: AsyncChannelHandler;

    /// The value.
    fn handler() -> &'static Self::Handler;
}

impl<F: AsyncChannelFunction> async_channel_handler::Guest for F {
    async fn published(channel: String, publications: Vec<types::Publication>, lost: u64) {
        F::handler()
            .published(batch(channel, publications, lost))
            .await;
    }
}

fn batch(channel: String, publications: Vec<types::Publication>, lost: u64) -> Batch {
    let publications = publications.into_iter().map(Into::into).collect();
    Batch {
        channel,
        publications,
        lost,
    }
}
