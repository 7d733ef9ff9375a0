//! What the dialects need to know of a publication, a position and a member, as
//! borrowed views: the broker has the things, and this package the words.
//!
//! A view is a few references. It owns nothing and copies nothing.

use std::fmt;

/// A publication, as all its subscribers see it.
#[derive(Clone, Copy, Debug)]
pub struct PublicationView<'a> {
    /// The name of the channel.
    pub channel: &'a str,
    /// Its offset, in a channel that keeps history; 0 in one that does not.
    pub offset: u64,
    /// Its identity, unique in the channel. Not empty.
    pub id: &'a str,
    /// The name of its event, if it has one.
    pub event: Option<&'a str>,
    /// What was published.
    pub data: DataView<'a>,
    /// Its tags. They are written in the order in which they come.
    pub tags: Option<&'a dyn Tags>,
    /// The connection that published it, if it was one.
    pub sender: Option<MemberView<'a>>,
    /// When it was published, in milliseconds since 1970.
    pub time_ms: u64,
}

/// The data of a publication or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataView<'a> {
    /// One JSON value, which is written as it stands. The caller answers for
    /// it: text that is not JSON would break the frame around it. A value that
    /// this package has parsed is good, and so is one of [`DataView::of_text`].
    Json(&'a str),
    /// Any other text. In JSON it is a string.
    Text(&'a str),
    /// Bytes. In JSON they are a string in base64, and what is around it says
    /// so.
    Binary(&'a [u8]),
}

impl<'a> DataView<'a> {
    /// Text from a source that does not say what it is: JSON if the whole text
    /// is one value within [`JSON_DEPTH_MAX`](crate::JSON_DEPTH_MAX), else text. Parses it, so
    /// a host does this once for each publication, not for each subscriber.
    pub fn of_text(text: &'a str) -> Self {
        if crate::json::is_value(text) {
            Self::Json(text)
        } else {
            Self::Text(text)
        }
    }

    /// The number of its bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(text) | Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The tags of a publication, however they are kept.
pub trait Tags: fmt::Debug {
    /// Shows each tag once: its name and its value.
    fn each(&self, show: &mut dyn FnMut(&str, &str));
}

/// Pairs, as lists and slices have them.
impl<N, V> Tags for &[(N, V)]
where
    N: AsRef<str> + fmt::Debug,
    V: AsRef<str> + fmt::Debug,
{
    fn each(&self, show: &mut dyn FnMut(&str, &str)) {
        for (name, value) in *self {
            show(name.as_ref(), value.as_ref());
        }
    }
}

/// A position in the history of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionView<'a> {
    /// Which history it is a position in.
    pub epoch: &'a str,
    /// The offset of the last publication before it.
    pub offset: u64,
}

/// A connection that is subscribed to a channel, or that published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView<'a> {
    /// The connection.
    pub connection: &'a str,
    /// Its user; empty if it has none.
    pub user: &'a str,
    /// What is known of the connection, as JSON.
    pub connection_info: Option<&'a str>,
    /// What is known of it in this channel, as JSON.
    pub channel_info: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_json_only_as_a_whole() {
        for json in ["{}", " [1] ", "\"a\"", "1", "null"] {
            assert_eq!(DataView::of_text(json), DataView::Json(json));
        }
        let deep = "[".repeat(crate::json::DEPTH_MAX + 1) + &"]".repeat(crate::json::DEPTH_MAX + 1);
        for text in ["", "{} {}", "hello", "{", "01", deep.as_str()] {
            assert_eq!(DataView::of_text(text), DataView::Text(text));
        }
        assert!(matches!(
            DataView::of_text(&deep[1..deep.len() - 1]),
            DataView::Json(_)
        ));
    }

    #[test]
    fn tags_of_any_text_are_shown_in_their_order() {
        fn shown<N, V>(tags: &[(N, V)]) -> String
        where
            N: AsRef<str> + fmt::Debug,
            V: AsRef<str> + fmt::Debug,
        {
            let tags: &dyn Tags = &tags;
            let mut seen = String::new();
            tags.each(&mut |name, value| seen += &format!("{name}={value};"));
            seen
        }
        assert_eq!(shown(&[("b", "1"), ("a", "2")]), "b=1;a=2;");
        assert_eq!(shown(&[(String::from("x"), "y")]), "x=y;");
        assert_eq!(shown::<&str, &str>(&[]), "");
    }
}
