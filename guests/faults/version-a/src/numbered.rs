//! Answers a text `N` with the version and the text, `a N`, and counts the
//! connection's messages in its attachment, whichever version answers them:
//! `count` does not count as a message, and is answered with `a counted 17`.

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
    // Fails only if the connection has ended, and then the count has, too.
    let _ = connection.set_attachment((counted + 1).to_le_bytes());
}
