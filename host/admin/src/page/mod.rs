//! The host's page: its files, their headers, and the listing of functions that
//! it fetches.
//!
//! The files are part of the binary, name no other origin, and run under a
//! content security policy without inline script or style; the tests below hold
//! them to that. `serve` decides who may see the page; the code here neither
//! reads a request nor knows a connection.

mod development;
mod listing;
mod serve;
mod state;

use openline_gateway::reserved::RESERVED_PATH;

pub(crate) use listing::{FunctionEntry, Listing};
pub use serve::Page;
pub(crate) use serve::{PageListener, names_loopback};
pub(crate) use state::State;

/// The path of the page. A request for it without the final slash is to be
/// redirected here, because the page names its files relative to itself.
pub(crate) const INDEX_PATH: &str = RESERVED_PATH;

/// The path of the [`Listing`], as `application/json`.
pub(crate) const LISTING_PATH: &str = "/.openline/functions";

/// The path of the state, as `application/json`.
pub(crate) const STATE_PATH: &str = "/.openline/state";

/// Whether a path is that of a file of the page, which is the same for all
/// hosts and reveals nothing about this one.
pub(crate) fn is_asset(path: &str) -> bool {
    path == INDEX_PATH.trim_end_matches('/') || asset(path).is_some()
}

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asset {
    /// The value of the `content-type` header.
    pub(crate) content_type: &'static str,
    /// The whole file; all of them are text.
    pub(crate) body: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The file at `path`, the path of a request as it came (`/.openline/page.js`),
/// or nothing when there is none.
pub(crate) fn asset(path: &str) -> Option<Asset> {
    let (content_type, body) = match path.strip_prefix(INDEX_PATH)? {
        "" => (HTML, include_str!("assets/index.html")),
        "page.css" => (STYLE, include_str!("assets/page.css")),
        "icon.svg" => (IMAGE, include_str!("assets/icon.svg")),
        "page.js" => (SCRIPT, include_str!("assets/page.js")),
        "admin.css" => (STYLE, include_str!("assets/admin.css")),
        "admin.js" => (SCRIPT, include_str!("assets/admin.js")),
        "interface.js" => (SCRIPT, include_str!("assets/interface.js")),
        "managed.js" => (SCRIPT, include_str!("assets/managed.js")),
        "aliases.js" => (SCRIPT, include_str!("assets/aliases.js")),
        "deploy.js" => (SCRIPT, include_str!("assets/deploy.js")),
        "upload.js" => (SCRIPT, include_str!("assets/upload.js")),
        "channels.js" => (SCRIPT, include_str!("assets/channels.js")),
        "channel.js" => (SCRIPT, include_str!("assets/channel.js")),
        "following.js" => (SCRIPT, include_str!("assets/following.js")),
        "publication.js" => (SCRIPT, include_str!("assets/publication.js")),
        "paging.js" => (SCRIPT, include_str!("assets/paging.js")),
        "lines.js" => (SCRIPT, include_str!("assets/lines.js")),
        "line.js" => (SCRIPT, include_str!("assets/line.js")),
        "confirm.js" => (SCRIPT, include_str!("assets/confirm.js")),
        "functions.js" => (SCRIPT, include_str!("assets/functions.js")),
        "panel.js" => (SCRIPT, include_str!("assets/panel.js")),
        "log.js" => (SCRIPT, include_str!("assets/log.js")),
        "address.js" => (SCRIPT, include_str!("assets/address.js")),
        "format.js" => (SCRIPT, include_str!("assets/format.js")),
        "dom.js" => (SCRIPT, include_str!("assets/dom.js")),
        _ => return None,
    };
    Some(Asset { content_type, body })
}

#[cfg(test)]
mod tests;
