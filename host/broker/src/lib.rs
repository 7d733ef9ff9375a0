//! What a channel remembers.
