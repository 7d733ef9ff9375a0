//! The asynchronous exports with parameters that do not fit into registers, and
//! that free the memory in which the host passes them.
//!
//! Parameters of more than 16 flat values are in a block that the host has had
//! allocated by `cabi_realloc`. The bindings of wit-bindgen (0.61 to 0.63) free
//! it after a plain call, and not after an asynchronous one: some hundred bytes
//! for each call. The modules here have the paths of the generated ones, for the
//! generated macros that write the exports, and replace two functions in them.
//! `tests/contract_layout.rs` compares the sizes with the contract, and says if
//! another export needs the same.

use std::alloc::{Layout, dealloc};

/// The parameters of `async-websocket-handler.upgrade`: bytes and alignment.
pub const UPGRADE_BLOCK: (usize, usize) = (120, 4);
/// Those of `async-firewall.inspect`.
pub const INSPECT_BLOCK: (usize, usize) = (168, 4);

/// Frees a block of parameters.
///
/// # Safety
///
/// The host has had it allocated by `cabi_realloc` with this size and alignment,
/// and nothing reads it any more.
#[expect(unsafe_code, reason = "the block belongs to this call")]
unsafe fn free(block: *mut u8, (bytes, align): (usize, usize)) {
    if let Ok(layout) = Layout::from_size_align(bytes, align) {
        // SAFETY: `cabi_realloc` takes memory from the global allocator, with
        // this layout.
        unsafe { dealloc(block, layout) };
    }
}

/// The world of asynchronous functions.
pub mod asynchronous {
    /// Its exports.
    pub mod exports {
        /// Of the contract.
        pub mod openline {
            pub use crate::raw::asynchronous::exports::openline::{alarms, channels};

            /// Of connections.
            pub mod websocket {
                /// The handler.
                pub mod async_websocket_handler {
                    use crate::raw::asynchronous::exports::openline::websocket::async_websocket_handler as generated;
                    pub use generated::*;

                    /// Calls `upgrade`, and frees the request.
                    ///
                    /// # Safety
                    ///
                    /// As an export, by the host.
                    #[expect(unsafe_code, reason = "the generated function is unsafe")]
                    pub unsafe fn _export_upgrade_cabi<T: Guest>(request: *mut u8) -> i32 {
                        // SAFETY: the caller's.
                        let state = unsafe { generated::_export_upgrade_cabi::<T>(request) };
                        // SAFETY: the call has polled the task once, which reads
                        // the block before anything else.
                        unsafe { crate::freeing::free(request, crate::freeing::UPGRADE_BLOCK) };
                        state
                    }
                }
            }
        }
    }
}

/// The world of asynchronous firewall functions.
pub mod asynchronous_firewall {
    /// Its exports.
    pub mod exports {
        /// Of the contract.
        pub mod openline {
            /// Of firewalls.
            pub mod firewall {
                /// The handler.
                pub mod async_firewall {
                    use crate::raw::asynchronous_firewall::exports::openline::firewall::async_firewall as generated;
                    pub use generated::*;

                    /// Calls `inspect`, and frees the request.
                    ///
                    /// # Safety
                    ///
                    /// As an export, by the host.
                    #[expect(unsafe_code, reason = "the generated function is unsafe")]
                    pub unsafe fn _export_inspect_cabi<T: Guest>(request: *mut u8) -> i32 {
                        // SAFETY: the caller's.
                        let state = unsafe { generated::_export_inspect_cabi::<T>(request) };
                        // SAFETY: as above.
                        unsafe { crate::freeing::free(request, crate::freeing::INSPECT_BLOCK) };
                        state
                    }
                }
            }
        }
    }
}
