//! The page's additions under `openline dev`: the report, and the files of the
//! section that shows it.

use std::sync::LazyLock;

use super::{Asset, HTML, INDEX_PATH, SCRIPT, STYLE};

/// The path of the report, as `application/json`.
pub(crate) const DEVELOPMENT_PATH: &str = "/.openline/development";

/// The index with the section, made from the index of all hosts.
static INDEX: LazyLock<String> = LazyLock::new(|| {
    let files = "  <link rel=\"stylesheet\" href=\"development.css\">\n  \
                 <script type=\"module\" src=\"development.js\"></script>\n</head>";
    let section = concat!(include_str!("assets/development.html"), "\n  <main>");
    include_str!("assets/index.html")
        .replacen("</head>", files, 1)
        .replacen("  <main>", section, 1)
});

/// The file at `path`, if development changes or adds it.
pub(crate) fn asset(path: &str) -> Option<Asset> {
    let (content_type, body) = match path.strip_prefix(INDEX_PATH)? {
        "" => (HTML, INDEX.as_str()),
        "development.css" => (STYLE, include_str!("assets/development.css")),
        "development.js" => (SCRIPT, include_str!("assets/development.js")),
        _ => return None,
    };
    Some(Asset { content_type, body })
}
