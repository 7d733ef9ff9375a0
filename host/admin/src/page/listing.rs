//! The page's view of the host: its version and its functions, as JSON.
//!
//! A snapshot for each request, with one entry a function. It says nothing
//! about peers.

use openline_engine::CallStyle;
use serde::Serialize;

/// The answer to a request for the listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Listing {
    /// The version of the host.
    pub(crate) version: &'static str,
    /// Whether the admin interface answers, with its endpoints at `/v1/`.
    pub(crate) admin: bool,
    /// The functions, in the order in which the page shows them.
    pub(crate) functions: Vec<FunctionEntry>,
}

/// One function, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FunctionEntry {
    /// Unique within the listing: the page identifies its forms by it.
    pub(crate) name: String,
    /// The route as configured: `{name}` stands for one segment, a last
    /// `{*name}` for the rest.
    pub(crate) route: String,
    /// The addresses of its trigger to give away; none if the host does not
    /// know its `public_url`.
    pub(crate) urls: Vec<String>,
    /// How its WebSocket handler is called.
    pub(crate) handler: CallStyle,
    /// The names in the route, in its order, without braces and asterisk.
    pub(crate) parameters: Vec<String>,
    /// Connections open now.
    pub(crate) connections: u64,
    /// Instances alive now.
    pub(crate) instances: u64,
}

#[cfg(test)]
mod tests {
    use openline_engine::CallStyle;

    use super::{FunctionEntry, Listing};

    #[test]
    fn a_listing_is_the_json_that_the_page_reads() {
        let listing = Listing {
            version: "0.1.0",
            admin: false,
            functions: vec![FunctionEntry {
                name: "chat".to_owned(),
                route: "/chat/{room}".to_owned(),
                urls: vec!["wss://edge.example.org/chat/{room}".to_owned()],
                handler: CallStyle::Async,
                parameters: vec!["room".to_owned()],
                connections: 3,
                instances: 1,
            }],
        };
        assert_eq!(
            serde_json::to_string(&listing).unwrap(),
            r#"{"version":"0.1.0","admin":false,"functions":[{"name":"chat","route":"/chat/{room}","urls":["wss://edge.example.org/chat/{room}"],"handler":"async","parameters":["room"],"connections":3,"instances":1}]}"#
        );
    }

    #[test]
    fn the_other_style_is_called_plain() {
        assert_eq!(
            serde_json::to_string(&CallStyle::Plain).unwrap(),
            r#""plain""#
        );
    }
}
