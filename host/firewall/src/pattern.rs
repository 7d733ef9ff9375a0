//! Regular expressions and globs. Their memory is bounded by
//! [`PATTERN_SIZE_MAX`], and the work of a search by a [`Meter`].
//!
//! That a search is linear in the text and in the expression does not bound it
//! enough: `.{0,100}` has a hundred states, and a value that keeps them all busy
//! takes a microsecond for each byte. So a search counts what it does. It has two
//! ways. The first reads the text by a table that is made while it is needed, and
//! kept: a nanosecond for each byte that the table knows. Adding to the table is
//! what takes long, so a request may do it only for [`WARM_UP_WORK_MAX`]. Then the
//! search begins again on the second way, which follows all states of the
//! expression at once and counts each.
//!
//! A dot covers the end of a line, too: otherwise a peer could hide the rest of
//! a value behind an escaped one. Classes and `(?i)` are about ASCII, as in
//! nginx, unless an expression asks for Unicode by `(?u)`; that also keeps it
//! small.
//!
//! [`WARM_UP_WORK_MAX`]: crate::limits::WARM_UP_WORK_MAX

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use crate::limits::{PATTERN_DEPTH_MAX, PATTERN_SIZE_MAX};
use crate::work::{Exceeded, Meter};

/// The work of adding to the table, for each state of the expression: measured
/// where nearly all of them are busy.
const ADDED: usize = 8;

/// A compiled expression or glob. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pattern(Arc<Compiled>);

struct Compiled {
    nfa: NFA,
    /// The table. `None` for expressions that have none, those with `(?u)\b`.
    dfa: Option<DFA>,
    /// Finds where the first match can begin, if it begins by known letters.
    prefilter: Option<Prefilter>,
    /// One for each thread that has searched at the same time.
    scratch: Mutex<Vec<Scratch>>,
}

/// The memory of searches: of the table, and of the second way.
struct Scratch {
    table: Option<Cache>,
    now: States,
    next: States,
    stack: Vec<StateID>,
}

/// Why a text is not an expression, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// It takes more memory than one may, in bytes.
    #[error("it takes more than {} KiB", .0 / 1024)]
    TooLarge(usize),
    /// It is written wrongly.
    #[error("{0}")]
    Invalid(String),
}

/// Why the first way has no result.
enum NoResult {
    /// The table may not grow.
    Unknown,
    Exceeded,
}

/// A set of states that is emptied at once.
struct States {
    /// The states in the set, in the order in which they came.
    dense: Vec<StateID>,
    /// For each state of the expression where it is in `dense`, if it is there.
    sparse: Vec<u32>,
}

// === impl Pattern ===

/// Compiles an expression, which finds its text anywhere in a value.
///
/// # Errors
///
/// When it is not one, or is larger than its bounds.
pub(crate) fn expression(text: &str) -> Result<Pattern, PatternError> {
    build(text, false)
}

fn build(text: &str, is_unicode: bool) -> Result<Pattern, PatternError> {
    let config = syntax::Config::new()
        .nest_limit(PATTERN_DEPTH_MAX)
        .unicode(is_unicode)
        .utf8(false)
        .dot_matches_new_line(true);
    // The message draws the place below the expression; its last line says what
    // is wrong.
    let hir = syntax::parse_with(text, &config).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        PatternError::Invalid(last.trim_start_matches("error: ").to_owned())
    })?;
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(PATTERN_SIZE_MAX));
    let compiled = thompson::Compiler::new()
        .configure(config)
        .build_from_hir(&hir);
    let nfa = compiled.map_err(|error| match error.size_limit() {
        Some(most) => PatternError::TooLarge(most),
        None => PatternError::Invalid(error.to_string()),
    })?;
    nfa.look_set_any()
        .available()
        .map_err(|error| PatternError::Invalid(error.to_string()))?;
    let config = DFA::config()
        .match_kind(MatchKind::LeftmostFirst)
        .cache_capacity(PATTERN_SIZE_MAX)
        .skip_cache_capacity_check(true);
    let dfa = DFA::builder().configure(config).build_from_nfa(nfa.clone());
    // An expression for the beginning of a text has nothing to find behind it.
    let prefilter = match nfa.is_always_start_anchored() {
        true => None,
        false => Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, &hir),
    };
    Ok(Pattern(Arc::new(Compiled {
        nfa,
        dfa: dfa.ok(),
        prefilter,
        scratch: Mutex::new(Vec::new()),
    })))
}

/// Compiles a glob, which covers a whole value: `*` stands for any characters,
/// `?` for one.
///
/// # Errors
///
/// When it is larger than its bounds.
pub(crate) fn glob(text: &str) -> Result<Pattern, PatternError> {
    let mut pattern = String::from(r"\A");
    for letter in text.chars() {
        match letter {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push_str(r"\z");
    build(&pattern, true)
}

impl Pattern {
    /// Whether it finds something in a text.
    ///
    /// # Errors
    ///
    /// When the work that is left does not suffice to tell.
    pub(crate) fn finds(&self, text: &[u8], meter: &mut Meter) -> Result<bool, Exceeded> {
        meter.read(text.len())?;
        let compiled = &*self.0;
        let mut begin = 0;
        if let Some(prefilter) = &compiled.prefilter {
            match prefilter.find(text, (0..text.len()).into()) {
                Some(first) => begin = first.start,
                None => return Ok(false),
            }
        }
        let kept = compiled.scratch.lock().pop();
        let mut scratch = kept.unwrap_or_else(|| compiled.scratch());
        let found = match compiled.look_up(text, begin, &mut scratch, meter) {
            Err(NoResult::Unknown) => compiled.follow(text, begin, &mut scratch, meter),
            Err(NoResult::Exceeded) => Err(Exceeded),
            Ok(found) => Ok(found),
        };
        compiled.scratch.lock().push(scratch);
        found
    }
}

impl Compiled {
    fn scratch(&self) -> Scratch {
        Scratch {
            table: self.dfa.as_ref().map(DFA::create_cache),
            now: States::new(),
            next: States::new(),
            stack: Vec::new(),
        }
    }

    /// Searches by the table, which it completes as far as that is allowed.
    fn look_up(
        &self,
        text: &[u8],
        begin: usize,
        scratch: &mut Scratch,
        meter: &mut Meter,
    ) -> Result<bool, NoResult> {
        let (Some(dfa), Some(cache)) = (&self.dfa, &mut scratch.table) else {
            return Err(NoResult::Unknown);
        };
        let cost = ADDED * self.nfa.states().len();
        let mut add = || match meter.warm_up(cost) {
            None => Err(NoResult::Unknown),
            Some(Err(Exceeded)) => Err(NoResult::Exceeded),
            Some(Ok(())) => Ok(()),
        };
        let anchored = match self.nfa.is_always_start_anchored() {
            true => Anchored::Yes,
            false => Anchored::No,
        };
        let input = Input::new(text).range(begin..).anchored(anchored);
        let start = dfa.start_state_forward(cache, &input);
        let mut state = start.map_err(|_| NoResult::Unknown)?;
        if state.is_dead() {
            return Ok(false);
        }
        for byte in &text[begin..] {
            let mut next = dfa.next_state_untagged(cache, state, *byte);
            if next.is_unknown() {
                add()?;
                let added = dfa.next_state(cache, state, *byte);
                next = added.map_err(|_| NoResult::Unknown)?;
            }
            if next.is_tagged() {
                if next.is_match() {
                    return Ok(true);
                }
                if next.is_dead() {
                    return Ok(false);
                }
                return Err(NoResult::Unknown);
            }
            state = next;
        }
        // A match shows one step later than it ends. The end of a text is added
        // once for each state, whose own addition was counted.
        let end = dfa.next_eoi_state(cache, state);
        end.map(|end| end.is_match()).map_err(|_| NoResult::Unknown)
    }

    /// Searches by following all states at once.
    fn follow(
        &self,
        text: &[u8],
        begin: usize,
        scratch: &mut Scratch,
        meter: &mut Meter,
    ) -> Result<bool, Exceeded> {
        let count = self.nfa.states().len();
        scratch.now.prepare(count);
        scratch.next.prepare(count);
        let start = match self.nfa.is_always_start_anchored() {
            true => self.nfa.start_anchored(),
            false => self.nfa.start_unanchored(),
        };
        if self.reach(start, text, begin, scratch, meter)? {
            return Ok(true);
        }
        for (index, byte) in text.iter().enumerate().skip(begin) {
            std::mem::swap(&mut scratch.now, &mut scratch.next);
            scratch.next.clear();
            meter.take(scratch.now.dense.len())?;
            for place in 0..scratch.now.dense.len() {
                let state = scratch.now.dense[place];
                let next = match self.nfa.state(state) {
                    State::ByteRange { trans } => trans.matches_byte(*byte).then_some(trans.next),
                    State::Sparse(all) => all.matches_byte(*byte),
                    State::Dense(all) => all.matches_byte(*byte),
                    _ => None,
                };
                if let Some(next) = next
                    && self.reach(next, text, index + 1, scratch, meter)?
                {
                    return Ok(true);
                }
            }
            if scratch.next.dense.is_empty() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Adds a state and all that it leads to without a byte. Whether one of them
    /// is a match.
    fn reach(
        &self,
        state: StateID,
        text: &[u8],
        at: usize,
        scratch: &mut Scratch,
        meter: &mut Meter,
    ) -> Result<bool, Exceeded> {
        let Scratch { next, stack, .. } = scratch;
        stack.clear();
        stack.push(state);
        while let Some(state) = stack.pop() {
            meter.take(1)?;
            if !next.insert(state) {
                continue;
            }
            match self.nfa.state(state) {
                State::Match { .. } => return Ok(true),
                State::Look { look, next } => {
                    if self.nfa.look_matcher().matches(*look, text, at) {
                        stack.push(*next);
                    }
                }
                State::Union { alternates } => stack.extend(alternates.iter()),
                State::BinaryUnion { alt1, alt2 } => stack.extend([*alt1, *alt2]),
                State::Capture { next, .. } => stack.push(*next),
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Fail => {}
            }
        }
        Ok(false)
    }
}

// === impl States ===

impl States {
    fn new() -> Self {
        Self {
            dense: Vec::new(),
            sparse: Vec::new(),
        }
    }

    /// Makes it an empty set of at most so many states.
    fn prepare(&mut self, count: usize) {
        self.dense.clear();
        self.sparse.resize(count, 0);
    }

    fn clear(&mut self) {
        self.dense.clear();
    }

    /// Whether the state was not there.
    fn insert(&mut self, state: StateID) -> bool {
        let place = self.sparse[state.as_usize()];
        if self.dense.get(place as usize) == Some(&state) {
            return false;
        }
        // There are fewer than 2^31 states.
        self.sparse[state.as_usize()] = u32::try_from(self.dense.len()).unwrap_or(u32::MAX);
        self.dense.push(state);
        true
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.0.nfa.states().len();
        f.debug_struct("Pattern").field("states", &states).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{REQUEST_WORK_MAX, SEARCH_WORK_MAX, WARM_UP_WORK_MAX};

    fn finds(pattern: &Pattern, text: &[u8]) -> bool {
        pattern.finds(text, &mut Meter::new()).unwrap()
    }

    #[test]
    fn a_glob_covers_the_whole() {
        for (pattern, text, expected) in [
            ("/a/*.js", "/a/b/c.js", true),
            ("/a/*.js", "/a/b/c.jsx", false),
            ("/a/*.js", "/a/bxjs", false),
            ("?", "\u{fc}", true),
            ("?", "", false),
            ("*", "", true),
            ("*", "a\nb", true),
            ("[a]+", "[a]+", true),
            ("[a]+", "aa", false),
            ("A", "a", false),
        ] {
            assert_eq!(
                finds(&glob(pattern).unwrap(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn an_expression_that_is_wrong_or_too_large_is_refused() {
        for (text, expected) in [
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            (r"(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"(?u)\w{20}", "more than 128 KiB"),
            (r"((((a{100}){100}){100}){100}){100}", "more than 128 KiB"),
        ] {
            let error = expression(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
        let depth = usize::try_from(PATTERN_DEPTH_MAX).unwrap();
        let nested = |count: usize| "(".repeat(count) + "a" + &")".repeat(count);
        assert!(expression(&nested(depth)).is_ok());
        assert!(expression(&nested(depth + 1)).is_err());
        assert!(expression(r"(?i)^/(admin|\w{1,200})$").is_ok());
        assert!(finds(
            &expression(r"(?u)^\w+$").unwrap(),
            "\u{fc}".as_bytes()
        ));
        assert!(!finds(&expression(r"^\w+$").unwrap(), "\u{fc}".as_bytes()));
    }

    #[test]
    fn a_line_end_hides_nothing() {
        assert!(finds(&expression("^a.*z$").unwrap(), b"a\nz"));
    }

    /// Searches on the second way only.
    fn follows(pattern: &Pattern, text: &[u8]) -> bool {
        let mut scratch = pattern.0.scratch();
        let mut meter = Meter::new();
        pattern.0.follow(text, 0, &mut scratch, &mut meter).unwrap()
    }

    /// A pattern of a web application firewall, and a value that keeps all of its
    /// states busy.
    fn costly() -> (Pattern, Vec<u8>) {
        let pattern = r"(?i)(?:;|\|\|?|&&?).{0,100}(?:cat|wget|curl).{0,100}/0001";
        let words = ["; ", "|", "cat", "wget", "a", "& ", "nc"];
        let mut number = 12_345_u64;
        let mut text = Vec::new();
        while text.len() < 8_000 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            let word = words[usize::try_from(number % 7).unwrap()];
            text.extend_from_slice(word.as_bytes());
        }
        (expression(pattern).unwrap(), text)
    }

    #[test]
    fn a_search_ends_when_its_work_is_used_up() {
        let (pattern, text) = costly();
        for _ in 0..3 {
            let mut meter = Meter::new();
            assert_eq!(pattern.finds(&text, &mut meter), Err(Exceeded));
        }
        // Alone, the second way needs so much for it.
        let mut work = 0;
        let mut scratch = pattern.0.scratch();
        for part in text.chunks(500) {
            let mut meter = Meter::new();
            let found = pattern.0.follow(part, 0, &mut scratch, &mut meter);
            assert_eq!(found, Ok(false));
            work += meter.taken();
        }
        assert!(work > SEARCH_WORK_MAX, "{work}");
        // What browsers send is cheap, and free of all but its length once the
        // table has it.
        let agent = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
        let mut works = (0..100).map(|_| {
            let mut meter = Meter::new();
            assert_eq!(pattern.finds(agent, &mut meter), Ok(false));
            meter.taken()
        });
        let first = works.next().unwrap();
        let most = WARM_UP_WORK_MAX + REQUEST_WORK_MAX / 100;
        assert!(first < most, "{first}");
        assert_eq!(works.next_back(), Some(agent.len().div_ceil(4)));
    }

    #[test]
    fn every_expression_can_decide_about_a_value_of_ordinary_length() {
        // As large as one may be, and all of its states are busy.
        let mut count = 100;
        let busy = |count: usize| expression(&format!("a.{{0,{count}}}b.{{0,{count}}}c"));
        while busy(count + 1).is_ok() {
            count += 1;
        }
        let pattern = busy(count).unwrap();
        let text = "ab".repeat(175);
        let mut meter = Meter::new();
        assert_eq!(pattern.finds(text.as_bytes(), &mut meter), Ok(false));
    }

    #[test]
    fn unicode_word_boundaries_have_no_table_and_are_found() {
        let pattern = expression(r"(?u)\bb").unwrap();
        assert!(pattern.0.dfa.is_none());
        assert!(finds(&pattern, b"a b"));
        assert!(!finds(&pattern, "\u{fc}b".as_bytes()));
        assert!(finds(&expression(r"\bb").unwrap(), "\u{fc}b".as_bytes()));
    }

    const PIECES: [&str; 16] = [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        "^",
        "$",
        r"\b",
        r"\B",
        "(?:a|b)",
        "(?:ab|b|)",
        "a{2,3}",
        ".{0,3}",
        "(?i:A)",
        "(?u:.)",
        "(?u:[\u{e4}-\u{fc}])",
    ];

    proptest! {
        /// Both ways find what the regex crate finds.
        #[test]
        fn both_ways_find_the_same(
            pieces in prop::collection::vec((prop::sample::select(&PIECES[..]), "[*+?]?"), 1..6),
            text in "[abA \u{fc}\n]{0,12}",
        ) {
            let pieces = pieces.iter().map(|(piece, times)| match *piece {
                "^" | "$" | r"\b" | r"\B" => (*piece).to_owned(),
                _ => format!("{piece}{times}"),
            });
            let text = text.as_bytes();
            let source: String = pieces.collect();
            let regex = regex::bytes::RegexBuilder::new(&source)
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
                .unwrap();
            let pattern = expression(&source).unwrap();
            let expected = regex.is_match(text);
            prop_assert_eq!(finds(&pattern, text), expected, "{}", source);
            prop_assert_eq!(follows(&pattern, text), expected, "{}", source);
            // Once more, by the table that is there.
            prop_assert_eq!(finds(&pattern, text), expected, "{}", source);
        }
    }
}
