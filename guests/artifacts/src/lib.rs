//! The paths of the sample functions' components: building this package builds
//! them, to `target/guests/NAME.wasm`.
//!
//! There is a constant for each (`ECHO`, `ECHO_ASYNC`), [`ALL`] of them, and
//! [`for_each_guest!`], with which a test suite ensures that a function without
//! a test does not compile:
//!
//! ```
//! mod echo {}
//! // ... and a module, or a test, named like every other function
//!
//! macro_rules! is_tested {
//!     ($guest:ident) => {
//!         #[expect(unused_imports, reason = "that it can be named is the proof")]
//!         use self::$guest as _;
//!     };
//! }
//! openline_guests::for_each_guest!(is_tested);
//! ```

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
