//! Calls of functions to the outside.
