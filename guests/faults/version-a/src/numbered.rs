//! Answers a text `N` with the version and it, `a N`, and counts the
//! connection's messages in its attachment, whichever version answers them:
//! `count` is no message, but answered `a counted 17`.

use openline_sdk::prelude::*;

pub(crate) fn answer(version: &str, connection: &Connection, message: &Message) {
    let counted = connection.attachment();
    let counted = counted.try_into().map_or(0, u64::from_le_bytes);
    let text = message.as_text().unwrap_or("(not text)");
    if text == "count" {
        connection.send(format!("{version} counted {counted}"));
        return;
    }
    connection.send(format!("{version} {text}"));
    // Fails only when the connection is gone, and with it the count.
    let _ = connection.set_attachment((counted + 1).to_le_bytes());
}
