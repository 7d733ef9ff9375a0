//! Authentication as it is configured: the method of a trigger, and the keys of
//! `[function.trigger.jwt]`, `signature`, `ticket` and `first_message`.
//!
//! Plain data with the rules that need no cryptography. `lookup` is where a
//! token is, `pass` which of its claims are passed on with the request, `written`
//! the two ways to write both, `paths` which paths are checked, `secret` where a
//! secret comes from, `time` a moment on the wall clock, `shapes` the tables and
//! `check` their rules. `openline-authentication` makes verifiers of them.
//! Bounded by the constants here; each list has one.

mod check;
mod lookup;
mod pass;
mod paths;
mod secret;
mod shapes;
mod time;
mod written;

pub use lookup::{LOOKUP_MAX, Lookup, LookupError, Place};
pub use pass::{CLAIM_PASS_MAX, ClaimPass, PassError, Passed, Position};
pub use paths::{CHECKED_PATHS_MAX, PathPattern, PathPatternError};
pub use secret::{SecretSource, SecretSourceError};
pub use shapes::{
    ACCESS_KEYS_MAX, AccessKeyConfig, AuthMethod, Authentication, FirstMessageConfig, JWK_KEYS_MAX,
    JWKS_TIME_MIN, Jwk, JwtConfig, LEEWAY_MAX, NAMES_MAX, SignatureConfig, SignatureForm,
    TICKET_TIME_MAX, TicketConfig,
};
pub use time::{TimeError, UnixTime};
