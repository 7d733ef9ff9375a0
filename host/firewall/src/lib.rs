//! The firewall: which requests may pass, before a function is asked.
//!
//! Rules in order, each with criteria and behaviours, in the terms of Azion's
//! firewall. [`rules::Rules`] are read from a configuration, and become
//! [`rules::Firewalls`] with their lists; an [`evaluation::Evaluation`] decides
//! about a [`request::Request`]. Nothing here does I/O or knows a clock: files
//! and the time are passed in. Bounded by the numbers in [`limits`].
//!
//! # How a host uses it
//!
//! [`rules::Rules::parse`] reads the `[[firewall]]` and `[[list]]` tables of a
//! configuration; [`rules::Firewalls::load`] reads the files of lists, and
//! [`rules::Firewalls::reload`] reads them again. For each request the host
//! makes an [`evaluation::Evaluation`] of its own firewall and the trigger's,
//! and does what each [`evaluation::Step`] says. If the request passes, the host
//! removes the headers that [`rules::Firewalls::headers`] names, and adds those
//! of [`evaluation::Effects`].
//!
//! # Rules
//!
//! | variable | value |
//! | --- | --- |
//! | `remote_addr` (`network`), `remote_port` | the peer; `is_equal` takes a network, too |
//! | `request_method`, `scheme`, `host` | hosts are compared in lower case |
//! | `uri` (`request_uri`) | the path in its one spelling, without the query |
//! | `args` (`request_args`, `query_string`) | the query as it was sent |
//! | `arg_{n}`, `cookie_{n}` | keys of the query, decoded, and cookies; names without regard to case, as in nginx; what occurs twice is refused |
//! | `http_{n}` (`header_{n}`), `user_agent`, `origin` | headers; `_` and `.` stand for `-`; several lines are one value |
//! | `ssl_protocol`, `ssl_server_name` | the TLS handshake |
//! | `ssl_client_verify` | `SUCCESS`, `NONE`, `FAILED`, as in nginx |
//! | `ssl_verification_status` | `SUCCESS`, `MISSING_CLIENT_CERTIFICATE`, `CERTIFICATE_VERIFICATION_ERROR`, as Azion's |
//! | `ssl_client_s_dn`, `ssl_client_i_dn`, `ssl_client_serial`, `ssl_client_fingerprint` | the client's certificate |
//! | `claim_{n}` | a claim of the peer's token; `claim_a.b` is `b` in `a` |
//!
//! | operator | opposite | holds if one value |
//! | --- | --- | --- |
//! | `is_equal` | `is_not_equal` | is the argument |
//! | `starts_with`, `ends_with`, `contains` | `does_not_start_with`, `does_not_end_with`, `does_not_contain` | has the argument there |
//! | `matches` | `does_not_match` | has a match of the regular expression |
//! | `matches_glob` | `does_not_match_glob` | is covered by the glob: `*` is any text, `?` one character |
//! | `is_in_list` | `is_not_in_list` | is in the named list |
//! | `exists` | `does_not_exist` | is there, even an empty one |
//!
//! A variable without a value reads as the empty text, except for `exists`. An
//! opposite holds exactly if its operator does not: with several values, which only
//! claims have, if it holds for none of them.
//!
//! | behaviour | what happens |
//! | --- | --- |
//! | `allow` | the firewall ends, and the request passes it |
//! | `deny` | an answer of 400 to 499, 403 unless `status_code` says another; `content_type`, `content_body` |
//! | `drop` | the connection is closed without an answer |
//! | `set_custom_response` | an answer of 200 to 499: `status_code`, `content_type`, `content_body` |
//! | `set_rate_limit` | 429 at once for what exceeds `average_rate_limit` for each `type` (`second`, `minute`), with `maximum_burst_size` at once; `limit_by` is `client_ip`, `global`, `header:NAME` or `claim:NAME` |
//! | `set_header` | `name` and `value` for the function |
//! | `run_function` | a [function] decides, too: `name` or `name@alias` |
//! | `log` | the rule is written to the log |

pub mod azion;
mod behavior;
mod config;
mod criteria;
pub mod describe;
pub mod evaluation;
pub mod function;
pub mod fuzzing;
mod limiter;
pub mod limits;
pub mod list;
mod operator;
mod pattern;
pub mod request;
pub mod rules;
pub mod trace;
mod variable;
mod work;

pub use behavior::Answer;
pub use config::Others;
pub use criteria::Criterion;
