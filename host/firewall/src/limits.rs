//! The bounds of rules, criteria and lists, each with its reason.
//!
//! They bound what a configuration costs in memory and what a request costs in
//! time. Only operators write rules, so the bounds are far above what people
//! write by hand; they are for files that programs write.

/// Firewalls of one host: one for the host and one for each kind of trigger.
pub const FIREWALLS_MAX: usize = 64;

/// Rules of one firewall. A request is compared with all of them.
pub const RULES_MAX: usize = 1_024;

/// Criteria of one rule, those in groups included.
pub const CRITERIA_MAX: usize = 64;

/// How deep groups may lie in each other. Azion's have one level.
pub const GROUP_DEPTH_MAX: usize = 4;

/// Behaviours of one rule, as many as Azion's may have.
pub const BEHAVIORS_MAX: usize = 10;

/// The longest name of a firewall, a rule or a list, in bytes: it is part of a
/// line of the log.
pub const NAME_BYTES_MAX: usize = 128;

/// The longest description, in bytes, as Azion's.
pub const DESCRIPTION_BYTES_MAX: usize = 1_000;

/// The longest argument of a criterion, in bytes; expressions and globs too.
pub const ARGUMENT_BYTES_MAX: usize = 1_024;

/// Expressions and globs of all firewalls together: with [`PATTERN_SIZE_MAX`]
/// they take at most 256 MiB, and far less if they are of the usual size.
pub const PATTERNS_MAX: usize = 2_048;

/// The most memory of one compiled expression, in bytes; its cache, of which
/// each thread has one, may have as much. Far more than expressions of ASCII
/// need: some 2,500 states. A class of Unicode, `(?u)\w`, takes some 20 KiB each
/// time it is repeated. With [`SEARCH_WORK_MAX`] it lets every expression decide
/// about every value of up to 350 bytes, whatever is in it.
pub const PATTERN_SIZE_MAX: usize = 128 * 1024;

/// The work of one request, in units of about 5 ns (1 to 10 were measured), so
/// about 20 ms. A thousand rules of the usual kind take less than a tenth of it
/// for a large request, and less than a hundredth for one of a browser. A request
/// that takes more was made to take long.
pub const REQUEST_WORK_MAX: usize = 4_000_000;

/// The work of one criterion, so about 5 ms: it is not interrupted.
pub const SEARCH_WORK_MAX: usize = 1_000_000;

/// The work after which an evaluation lets other requests have their turn, about
/// 1 ms.
pub const STEP_WORK_MAX: usize = 200_000;

/// The part of a request's work that may go into what expressions remember for
/// the next requests, about 2 ms. They all remember what common requests need
/// after a few of them; and what a peer makes them remember instead costs no more.
pub const WARM_UP_WORK_MAX: usize = 400_000;

/// How deep an expression may nest: its parser is recursive.
pub const PATTERN_DEPTH_MAX: u32 = 64;

/// The longest body of an answer, in bytes. Azion's has 500 characters.
pub const BODY_BYTES_MAX: usize = 4 * 1024;

/// The longest value of a header that a rule sets, in bytes.
pub const HEADER_VALUE_BYTES_MAX: usize = 1_024;

/// Behaviours of all firewalls together that limit a rate. Each has a table of
/// clients of about 1.2 MiB.
pub const RATE_LIMITS_MAX: usize = 64;

/// The highest average rate, and the largest burst.
pub const RATE_MAX: u64 = 1_000_000;

/// Lists of one host.
pub const LISTS_MAX: usize = 64;

/// Networks in one list: every known blocklist has fewer. They take 8 bytes
/// each for IPv4 and 32 for IPv6.
pub const NETWORKS_MAX: usize = 4_000_000;

/// Texts in one list, which take about 80 bytes each.
pub const TEXTS_MAX: usize = 1_000_000;

/// The longest line of a list, in bytes.
pub const LIST_LINE_BYTES_MAX: usize = 1_024;

/// Errors that are reported of one configuration; a program that writes all
/// rules wrong writes thousands.
pub const ERRORS_MAX: usize = 64;

/// Values of one criterion that a trace keeps.
pub const TRACED_VALUES_MAX: usize = 4;

/// How much of each value a trace keeps, in bytes.
pub const TRACED_BYTES_MAX: usize = 200;
