//! The secrets that commands show to an interface of a host: a token or a key.
//!
//! They come from a file or a variable, because other users of a machine can read
//! command lines.

use std::fs;
use std::path::Path;

use anyhow::bail;
use openline_hint::Hinted;

use super::client::ClientError;
use super::url::Interface;
use crate::causes;

/// The variable that has a secret, and what a file with one holds.
fn place(interface: Interface) -> (&'static str, &'static str) {
    match interface {
        Interface::Admin => ("OPENLINE_ADMIN_TOKEN", "the host's `admin_token`"),
        Interface::Publishers => ("OPENLINE_KEY", "an API key"),
    }
}

/// The secret of a file, or else of the environment; none if neither has one.
/// Waits for the file.
pub(crate) fn read(interface: Interface, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let (variable, held) = place(interface);
    let Some(path) = file else {
        let text = std::env::var(variable).ok().filter(|it| !it.is_empty());
        return text.map(|text| sendable(interface, text)).transpose();
    };
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let missing = format!("name a file that holds {held}");
        let hint = causes::of_reading(error.kind(), &missing).to_owned();
        Hinted::new(format!("cannot read {shown}: {error}"), hint)
    })?;
    if text.trim().is_empty() {
        let what = format!("{shown} is empty");
        bail!(Hinted::new(what, format!("it should hold {held}")));
    }
    sendable(interface, text.trim().to_owned()).map(Some)
}

/// The secret, if headers can carry it. This is checked before a connection is
/// made.
pub(crate) fn sendable(interface: Interface, text: String) -> anyhow::Result<String> {
    if text.bytes().all(|it| it.is_ascii_graphic() || it == b' ') {
        return Ok(text);
    }
    let error = ClientError::Token(interface);
    bail!(Hinted::about(error.to_string(), &error))
}
