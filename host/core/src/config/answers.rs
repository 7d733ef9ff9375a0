//! The rules of automatic responses: each pair has one request and one reply,
//! of a bounded size.

use std::ops::Range;

use bytes::Bytes;
use toml::Spanned;

use super::file;
use super::validate::{Check, bytes};
use crate::auto_response::{AutoResponse, MatchKind};
use crate::limits::AUTO_RESPONSE_BYTES_MAX;
use crate::message::Message;

impl Check<'_> {
    pub(super) fn auto_responses(
        &mut self,
        written: Vec<Spanned<file::AutoResponse>>,
        most: u32,
    ) -> Vec<AutoResponse> {
        let past = usize::try_from(most)
            .ok()
            .and_then(|most| written.get(most));
        if let Some(past) = past {
            let message = format!("there are more than {most} automatic responses");
            let hint = "remove some, or raise `auto_responses` in [function.limit]";
            self.error(Some(past.span()), &message, hint);
        }
        written
            .into_iter()
            .filter_map(|pair| self.auto_response(pair))
            .collect()
    }

    fn auto_response(&mut self, written: Spanned<file::AutoResponse>) -> Option<AutoResponse> {
        let span = written.span();
        let pair = written.into_inner();
        let request = self.message(&span, ["text", "binary_hex"], pair.text, pair.binary_hex);
        let reply = self.message(&span, ["reply", "reply_hex"], pair.reply, pair.reply_hex);
        let request = request?;
        if pair.r#match == MatchKind::Prefix && request.bytes() == 0 {
            let message = "every message begins with an empty one";
            let hint = "write what the message begins with, or `match = \"exact\"`";
            self.error(Some(span), message, hint);
        }
        Some(AutoResponse {
            match_kind: pair.r#match,
            request,
            reply: reply?,
        })
    }

    /// A message that is written in one of two ways.
    fn message(
        &mut self,
        pair: &Range<usize>,
        [text_key, hex_key]: [&str; 2],
        text: Option<Spanned<String>>,
        hex: Option<Spanned<String>>,
    ) -> Option<Message> {
        let (span, key, message) = match (text, hex) {
            (Some(text), None) => {
                let message = Message::Text(text.get_ref().as_str().into());
                (text.span(), text_key, message)
            }
            (None, Some(hex)) => match from_hex(hex.get_ref()) {
                Some(found) => (hex.span(), hex_key, Message::Binary(found)),
                None => {
                    let message = format!("`{hex_key}` is not bytes in hexadecimal");
                    let hint = "write two of 0-9a-f for each byte, as in \"00ff\"";
                    self.error(Some(hex.span()), &message, hint);
                    return None;
                }
            },
            _ => {
                let message =
                    format!("an automatic response has one of `{text_key}` and `{hex_key}`");
                let hint = "as in `text = \"ping\"` and `reply = \"pong\"`";
                self.error(Some(pair.clone()), &message, hint);
                return None;
            }
        };
        if message.bytes() > AUTO_RESPONSE_BYTES_MAX {
            let most = bytes(AUTO_RESPONSE_BYTES_MAX);
            let message = format!("`{key}` has more than {most}");
            self.error(Some(span), &message, "a larger answer is a function's work");
        }
        Some(message)
    }
}

fn from_hex(text: &str) -> Option<Bytes> {
    let letter = |letter: u8| char::from(letter).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| u8::try_from(letter(pair[0])? << 4 | letter(pair[1])?).ok())
        .collect::<Option<Vec<u8>>>()
        .map(Bytes::from)
}
