//! Finds connections of this function: one by its id, or many by a tag. Many
//! come in pages, so that what is held at once is bounded: [`PAGE`] handles.

use std::iter::FusedIterator;
use std::vec;

use super::Connection;
use crate::raw::connections;

/// How many connections an iterator asks for at a time. An instance may hold
/// 10,000 handles by default and the handler may go through several lists at
/// once; and with this many the cost of asking is lost in that of sending.
const PAGE: u32 = 64;

/// An open connection of this function, whichever instance serves it; `None`
/// when no open connection has this [`id`](Connection::id).
///
/// The handle is given back when it is dropped. A function may hold a limited
/// number at once, so keep ids rather than handles.
#[must_use]
pub fn connection(id: &str) -> Option<Connection> {
    connections::get(id).map(|raw| Connection { raw })
}

/// All open connections of this function that have a tag, whichever instances
/// serve them, in the order of their ids. Tags are given by
/// [`Acceptance::tag`](crate::Acceptance::tag) or
/// [`Connection::set_tags`].
///
/// It asks the host page by page and holds a page's handles at most. What
/// comes or goes meanwhile may be seen or not. To tell all of many the same,
/// [`publish`](crate::publish) to a channel costs less.
///
/// ```no_run
/// # fn sign_out(user: &str) {
/// for connection in openline_sdk::by_tag(&format!("user:{user}")) {
///     let _ = connection.close(4001, "signed out elsewhere");
/// }
/// # }
/// ```
pub fn by_tag(tag: &str) -> Connections {
    Connections::new(Some(tag.to_owned()))
}

/// All open connections of this function, as [`by_tag`] finds them.
///
/// ```no_run
/// # fn slow() -> usize {
/// openline_sdk::connections()
///     .filter(|connection| connection.buffered_bytes() > 0)
///     .count()
/// # }
/// ```
pub fn connections() -> Connections {
    Connections::new(None)
}

/// One page of [`by_tag`]: those behind the id `after` only, at most `limit`
/// and at most 1,000. To go on, also in another call of the handler, pass the
/// last one's id; there is no more when none comes.
#[must_use]
pub fn by_tag_page(tag: &str, after: Option<&str>, limit: u32) -> Vec<Connection> {
    let page = connections::by_tag(tag, after, limit);
    page.into_iter().map(|raw| Connection { raw }).collect()
}

/// One page of [`connections`], as [`by_tag_page`] gives them.
///
/// ```
/// use std::time::Duration;
///
/// use openline_sdk::prelude::*;
/// use openline_sdk::{alarms, connections_page};
///
/// /// Greets everybody at the word of one, a hundred each second.
/// #[derive(Default)]
/// struct Greeter {
///     after: Option<String>,
/// }
///
/// impl Handler for Greeter {
///     fn message(&mut self, connection: &Connection, _message: Message) {
///         self.after = None;
///         if let Err(error) = alarms::set("next", Duration::ZERO) {
///             connection.send(format!("not begun: {error}"));
///         }
///     }
///
///     fn alarm(&mut self, _connection: Option<&Connection>, _alarm: Alarm) {
///         let page = connections_page(self.after.as_deref(), 100);
///         for connection in &page {
///             connection.send("hello");
///         }
///         if let Some(last) = page.last() {
///             self.after = Some(last.id());
///             let _ = alarms::set("next", Duration::from_secs(1));
///         }
///     }
/// }
///
/// openline_sdk::export!(Greeter);
/// ```
#[must_use]
pub fn connections_page(after: Option<&str>, limit: u32) -> Vec<Connection> {
    let page = connections::all(after, limit);
    page.into_iter().map(|raw| Connection { raw }).collect()
}

/// Open connections of this function: see [`connections`] and [`by_tag`].
#[derive(Debug)]
#[must_use = "iterators do nothing unless they are asked"]
pub struct Connections {
    tag: Option<String>,
    pages: Pages<Connection>,
}

impl Connections {
    fn new(tag: Option<String>) -> Self {
        let pages = Pages::new();
        Self { tag, pages }
    }
}

impl Iterator for Connections {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        let tag = self.tag.as_deref();
        let page = |after: Option<&str>| match tag {
            Some(tag) => by_tag_page(tag, after, PAGE),
            None => connections_page(after, PAGE),
        };
        self.pages.next(page, Connection::id)
    }
}

impl FusedIterator for Connections {}

/// Goes through a list that comes in pages.
#[derive(Debug)]
struct Pages<T> {
    /// The id of the last one of the page.
    after: Option<String>,
    page: vec::IntoIter<T>,
    /// Whether a page was empty: there is no other.
    is_over: bool,
}

impl<T> Pages<T> {
    fn new() -> Self {
        Self {
            after: None,
            page: Vec::new().into_iter(),
            is_over: false,
        }
    }

    /// The next one, of a page that is asked for if need be. A short page is
    /// not yet the end: who ended meanwhile may be missing in it.
    fn next(
        &mut self,
        page: impl FnOnce(Option<&str>) -> Vec<T>,
        id: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        if self.page.len() == 0 && !self.is_over {
            let next = page(self.after.as_deref());
            match next.last() {
                Some(last) => self.after = Some(id(last)),
                None => self.is_over = true,
            }
            self.page = next.into_iter();
        }
        self.page.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through what comes in these pages, and says what was asked for.
    fn walk(pages: &[&[&'static str]]) -> (Vec<&'static str>, Vec<Option<String>>) {
        let (mut found, mut asked) = (Vec::new(), Vec::new());
        let mut walk = Pages::new();
        loop {
            let page = |after: Option<&str>| {
                asked.push(after.map(str::to_owned));
                pages[asked.len() - 1].to_vec()
            };
            match walk.next(page, |id| (*id).to_owned()) {
                Some(id) => found.push(id),
                None => break,
            }
        }
        // Once over it asks no more.
        assert!(walk.next(|_| vec!["more"], |_| String::new()).is_none());
        (found, asked)
    }

    #[test]
    fn pages_are_joined_and_each_is_asked_for_behind_the_last_id() {
        let (found, asked) = walk(&[&["a", "b"], &["c"], &[]]);
        assert_eq!(found, ["a", "b", "c"]);
        let after = |id: &str| Some(id.to_owned());
        assert_eq!(asked, [None, after("b"), after("c")]);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        assert_eq!(walk(&[&[]]), (Vec::new(), vec![None]));
    }
}
