//! Authentication: the tokens, signatures and tickets of requests.
//!
//! Rules without I/O: no sockets, no tasks, no clock. The caller passes the time,
//! reads secrets, and fetches key sets when [`jwt::FetchedKeys`] says so. Each
//! verifier belongs to one trigger and is shared by all its handshakes; what it
//! remembers is bounded, and its locks are held for a few instructions.
//!
//! A verifier answers with an [`Identity`] or with [`Denied`]. The tables that
//! configure them are in `openline_core::authentication`.

mod denied;
mod earliest;
mod edits;
mod expiring;
pub mod fuzzing;
mod identity;
mod json;
pub mod jwt;
pub mod key;
mod nonce;
mod request;
mod revocation;
mod secret;
pub mod signature;
mod spending;
mod ticket;
mod token;

pub use denied::{Denial, Denied};
pub use edits::{EditError, Edits};
pub use identity::Identity;
pub use nonce::{ExportedNonce, Nonces};
pub use request::Request;
pub use revocation::{
    KeptRevocation, REVOCATIONS_MAX, Revocation, RevocationError, Revocations, RevokedBy,
};
pub use secret::{ReadSecret, Secret, SecretError};
pub use spending::Spending;
pub use ticket::{CLAIMS_BYTES_MAX, TicketError, TicketRequest, Tickets};
pub use token::{Now, TokenVerifier, first_token};

#[cfg(test)]
mod sources;
