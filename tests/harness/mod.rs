//! Tools for tests: the kit, and those that only this binary needs: a browser,
//! a debugger, proxies, an ACME authority, programs and sites of others, and peers
//! that speak TLS and HTTP/2.
//! Every wait is bounded by [`PATIENCE`].

pub mod acme;
mod browser;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod debugger;
pub mod driven;
pub mod http2;
pub mod proxy;
pub mod site;
pub mod tls;

pub use browser::{Browser, ENTER, ESCAPE, TAB, program};
pub use openline_kit::admin::AdminHost;
pub use openline_kit::client::{Client, Closed};
pub use openline_kit::compressing::{Arrived, Compressing, TEXT, offer_on};
pub use openline_kit::exchange::Answer;
pub use openline_kit::host::{Host, HostBuilder, runtime};
#[cfg(target_os = "linux")]
pub use openline_kit::openline::openline_that_may_not_execute;
pub use openline_kit::openline::{
    Ended, Serving, openline, openline_in, openline_under, openline_with, shell, signal, spawned,
};
pub use openline_kit::raw::{HANDSHAKE, Raw, close_frame, frame, frame_saying};
pub use openline_kit::versions::{deploy_options, variant};
pub use openline_kit::{ASK_AGAIN, PATIENCE, eventually, within};
