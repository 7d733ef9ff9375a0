//! Finds connections of this function: one by its id, or many by a tag. Many
//! come in pages, so that at most [`PAGE`] handles are held at once.

use std::iter::FusedIterator;
use std::vec;

use super::Connection;
use crate::raw::connections;

/// How many connections an iterator requests at a time. An instance may hold
/// 10,000 handles by default, and the handler may iterate over several lists at
/// once; with pages of this size a request costs little compared with sending.
const PAGE: u32 = 64;

/// An open connection of this function, whichever instance serves it; `None` if
/// no open connection has this [`id`](Connection::id).
///
/// Dropping the handle gives it back. A function may hold a limited number at
/// once, so keep ids rather than handles.
#[must_use]
pub fn connection(id: &str) -> Option<Connection> {
    connections::get(id).map(|raw| Connection { raw })
}

/// All open connections of this function that have a tag, whichever instances
/// serve them, in the order of their ids.
/// [`Acceptance::tag`](crate::Acceptance::tag) and [`Connection::set_tags`] set
/// tags.
///
/// The iterator asks the host page by page, and holds the handles of one page
/// at most. It may or may not see connections that open or end meanwhile. To
/// send the same message to many, [`publish`](crate::publish) to a channel
/// costs less.
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

/// One page of [`by_tag`]: only connections after the id `after`, at most
/// `limit` and at most 1,000. To continue, even in another call of the handler,
/// pass the last one's id; an empty page is the end.
#[must_use]
pub fn by_tag_page(tag: &str, after: Option<&str>, limit: u32) -> Vec<Connection> {
    let page = connections::by_tag(tag, after, limit);
    page.into_iter().map(|raw| Connection { raw }).collect()
}

/// One page of [`connections`]; the arguments are those of [`by_tag_page`].
///
/// ```
/// use std::time::Duration;
///
/// use openline_sdk::prelude::*;
/// use openline_sdk::{alarms, connections_page};
///
/// /// Greets all connections after any message, a hundred each second.
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

/// Iterates over a list that comes in pages.
#[derive(Debug)]
struct Pages<T> {
    /// The id of the last connection of the page.
    after: Option<String>,
    page: vec::IntoIter<T>,
    /// Whether a page was empty, so that there are no more.
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

    /// The next item, from a new page if needed. A short page is not yet the
    /// end, because connections that ended meanwhile are missing in it.
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

    /// Iterates over these pages, and returns the items and the requests.
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
        // After the end it makes no more requests.
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
