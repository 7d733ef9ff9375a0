//! The end-to-end benchmark: the same load on a native echo server and on the
//! host with the echo functions, in turns on one machine, as ratios.
//!
//! Every measurement has a fresh server process and a fresh load process. A
//! round measures every setting on every server; ratios are taken within a
//! round, so that a change of the machine's mood between rounds cancels out.
//! `noisy` measures how the echo fares while other functions compute, `idle`
//! what connections cost on which nothing happens, `peers` how the host compares
//! with JavaScript runtimes and with a process for each connection.
//!
//! Nothing here links wasmtime: the host is a program like any other.

pub mod arguments;
mod criterion;
pub mod goes;
pub mod idle;
mod load;
pub mod measure;
pub mod native;
pub mod noisy;
pub mod peers;
mod pinning;
mod server;
mod setting;
pub mod starts;
mod summary;
mod table;
