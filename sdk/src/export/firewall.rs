//! Exports a firewall function: the two macros, and the bridges from the
//! generated interfaces to the two traits.

use crate::firewall::{AsyncFirewall, Firewall, Request};
use crate::raw::asynchronous_firewall::exports::openline::firewall::async_firewall;
use crate::raw::firewall as types;
use crate::raw::plain_firewall::exports::openline::firewall::firewall;

/// Exports a [`Firewall`](crate::firewall::Firewall).
///
/// The crate must be of type `cdylib`. It may export a handler with
/// [`export!`](crate::export) as well; each of the two has a value of its own. A
/// second firewall does not compile. On targets other than wasm, as in unit
/// tests, it exports nothing.
///
/// ```
/// use openline_sdk::firewall::{Answer, Firewall, Request, Verdict};
///
/// #[derive(Default)]
/// struct NoBots;
///
/// impl Firewall for NoBots {
///     fn inspect(&mut self, request: &Request) -> Verdict {
///         match request.header("user-agent").as_deref() {
///             Some(agent) if agent.contains("bot") => Verdict::Deny(Answer::new(403)),
///             _ => Verdict::allow(),
///         }
///     }
/// }
///
/// openline_sdk::export_firewall!(NoBots);
/// ```
///
/// ```compile_fail,E0428
/// # use openline_sdk::firewall::{Firewall, Request, Verdict};
/// # #[derive(Default)]
/// # struct Open;
/// # impl Firewall for Open {
/// #     fn inspect(&mut self, request: &Request) -> Verdict {
/// #         Verdict::allow()
/// #     }
/// # }
/// openline_sdk::export_firewall!(Open);
/// openline_sdk::export_firewall!(Open); // one too many
/// ```
#[macro_export]
macro_rules! export_firewall {
    ($firewall:ty) => {
        #[doc(hidden)]
        const _THE_EXPORTED_FIREWALL: () = {
            struct OpenlineExportedFirewall;

            ::std::thread_local! {
                static FIREWALL: ::std::cell::RefCell<$firewall> = ::core::default::Default::default();
            }

            impl $crate::raw::FirewallFunction for OpenlineExportedFirewall {
                type Firewall = $firewall;

                fn with<R>(call: impl ::core::ops::FnOnce(&mut $firewall) -> R) -> R {
                    FIREWALL.with_borrow_mut(call)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::plain_firewall::export_plain_firewall!(
                OpenlineExportedFirewall with_types_in $crate::raw::plain_firewall
            );
            // On other targets nothing calls it, but it is not dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() =
                || <OpenlineExportedFirewall as $crate::raw::FirewallFunction>::with(|_| ());
        };
    };
}

/// Exports an [`AsyncFirewall`](crate::firewall::AsyncFirewall). It may stand
/// beside [`export_async!`](crate::export_async). Otherwise as
/// [`export_firewall!`](crate::export_firewall).
///
/// ```
/// use openline_sdk::firewall::{AsyncFirewall, Request, Verdict};
///
/// #[derive(Default)]
/// struct Open;
///
/// impl AsyncFirewall for Open {
///     async fn inspect(&self, _request: &Request) -> Verdict {
///         Verdict::allow()
///     }
/// }
///
/// openline_sdk::export_async_firewall!(Open);
/// ```
#[macro_export]
macro_rules! export_async_firewall {
    ($firewall:ty) => {
        #[doc(hidden)]
        const _THE_EXPORTED_FIREWALL: () = {
            struct OpenlineExportedFirewall;

            ::std::thread_local! {
                // Leaked once, for the reason given in `export_async!`.
                static FIREWALL: &'static $firewall =
                    ::std::boxed::Box::leak(::core::default::Default::default());
            }

            impl $crate::raw::AsyncFirewallFunction for OpenlineExportedFirewall {
                type Firewall = $firewall;

                fn firewall() -> &'static $firewall {
                    FIREWALL.with(|firewall| *firewall)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::asynchronous_firewall::export_asynchronous_firewall!(
                OpenlineExportedFirewall with_types_in $crate::freeing::asynchronous_firewall
            );
            // On other targets nothing calls it, but it is not dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() = || {
                _ = <OpenlineExportedFirewall as $crate::raw::AsyncFirewallFunction>::firewall();
            };
        };
    };
}

/// Holds the one value of a plain firewall function.
/// [`crate::export_firewall!`] implements it.
pub trait FirewallFunction {
    /// The author's type.
    type Firewall: Firewall;

    /// Runs one call with it.
    fn with<R>(call: impl FnOnce(&mut Self::Firewall) -> R) -> R;
}

impl<F: FirewallFunction> firewall::Guest for F {
    fn inspect(request: types::Request) -> types::Verdict {
        let request = Request::from(request);
        F::with(|firewall| firewall.inspect(&request)).into()
    }
}

/// Holds the one value of an asynchronous firewall function.
/// [`crate::export_async_firewall!`] implements it.
pub trait AsyncFirewallFunction {
    /// The author's type.
    type Firewall: AsyncFirewall;

    /// The value, for any number of calls at the same time.
    fn firewall() -> &'static Self::Firewall;
}

impl<F: AsyncFirewallFunction> async_firewall::Guest for F {
    async fn inspect(request: types::Request) -> types::Verdict {
        let request = Request::from(request);
        F::firewall().inspect(&request).await.into()
    }
}
