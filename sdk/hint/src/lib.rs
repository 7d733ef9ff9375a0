//! Errors that say what a person can do about them, and the one form in which
//! every program of Openline shows both:
//!
//! ```text
//! error: WHAT
//!   where, if a line of a file is to blame
//! hint: WHAT TO DO
//! ```
//!
//! An error's `Display` is about what is wrong and nothing else. So what contains
//! an error can say more about it, and the hint still comes last.

use std::borrow::Cow;
use std::fmt;

/// An error with advice to a person: `Display` says what is wrong, `hint` how
/// to fix it.
pub trait Hint: fmt::Display {
    /// The advice, one sentence without a full stop; `None` where none would
    /// help.
    fn hint(&self) -> Option<Cow<'_, str>>;

    /// The error and its hint, in the form that people see.
    fn explained(&self) -> String {
        explained(self, self.hint().as_deref())
    }
}

/// Puts what is wrong and what to do about it into the form of all programs.
#[must_use]
pub fn explained(what: impl fmt::Display, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{what}\nhint: {hint}"),
        None => what.to_string(),
    }
}

/// An error that is made where it is met: a sentence, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hinted {
    what: String,
    hint: Option<Cow<'static, str>>,
}

impl Hinted {
    /// An error with a hint.
    pub fn new(what: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    /// Another error's hint, with `what` in place of that error's own words.
    pub fn about(what: impl Into<String>, error: &impl Hint) -> Self {
        let hint = error.hint().map(|hint| Cow::Owned(hint.into_owned()));
        Self {
            what: what.into(),
            hint,
        }
    }
}

impl Hint for Hinted {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.hint.as_deref().map(Cow::Borrowed)
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Hinted {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl fmt::Display for Silent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("it is wrong")
        }
    }

    impl Hint for Silent {
        fn hint(&self) -> Option<Cow<'_, str>> {
            None
        }
    }

    #[test]
    fn a_hint_is_a_line_behind_what_is_wrong() {
        let error = Hinted::new("there is no file `a`", "make it");
        assert_eq!(error.to_string(), "there is no file `a`");
        assert_eq!(error.explained(), "there is no file `a`\nhint: make it");
        let about = Hinted::about("the folder is not complete", &error);
        let expected = "the folder is not complete\nhint: make it";
        assert_eq!(about.explained(), expected);
    }

    #[test]
    fn without_a_hint_there_is_no_line() {
        assert_eq!(Silent.explained(), "it is wrong");
        assert_eq!(Hinted::about("so it is", &Silent).explained(), "so it is");
    }
}
