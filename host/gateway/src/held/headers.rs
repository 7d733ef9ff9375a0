//! The headers by which a function holds an answer: reads them strictly, and takes
//! them out, because no peer gets them.
//!
//! Bounded by the function's limits of tags, channels and the attachment, and by
//! [`HELD_POLL_TIME_MAX`]. What is wrong is said in a sentence for the log.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::kind::ConnectionKind;
use openline_core::limits::{FunctionLimits, HELD_POLL_TIME, HELD_POLL_TIME_MAX};
use openline_core::name::{ChannelName, Tag};

/// What all headers of the host begin with.
const PREFIX: &str = "openline-";
pub(crate) const HOLD: HeaderName = HeaderName::from_static("openline-hold");
const TAGS: HeaderName = HeaderName::from_static("openline-hold-tags");
const CHANNELS: HeaderName = HeaderName::from_static("openline-hold-channels");
const ATTACHMENT: HeaderName = HeaderName::from_static("openline-hold-attachment");
const TIMEOUT: HeaderName = HeaderName::from_static("openline-hold-timeout-ms");

/// How a function holds its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) kind: ConnectionKind,
    pub(crate) tags: Vec<Tag>,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) attachment: Bytes,
    /// How long a poll waits for its message.
    pub(crate) time: Duration,
}

impl Hold {
    /// Takes what a function asks for out of the head of its answer; `None` if it
    /// does not hold it.
    ///
    /// # Errors
    ///
    /// When a header is not valid, past a limit, or none that a function may send.
    pub(crate) fn take(
        headers: &mut HeaderMap,
        limits: &FunctionLimits,
    ) -> Result<Option<Self>, String> {
        let Some(kind) = single(headers, &HOLD)? else {
            return match headers.keys().find(|name| is_ours(name)) {
                Some(name) => Err(format!("only an answer that is held has `{name}`")),
                None => Ok(None),
            };
        };
        let held = ConnectionKind::held(kind.as_bytes()).ok_or_else(|| {
            let kind = String::from_utf8_lossy(kind.as_bytes()).into_owned();
            format!(
                "`{HOLD}` is `event-stream`, `stream` or `poll`, and not `{}`",
                kind.escape_debug()
            )
        })?;
        let tags = list(headers, &TAGS, limits.tags, |name| Tag::new(name).ok())?;
        let channels = list(headers, &CHANNELS, limits.channels, |name| {
            ChannelName::new(name).ok()
        })?;
        let attachment = attachment(headers, limits.attachment_bytes)?;
        let time = time(headers, held)?;
        if let Some(name) = headers.keys().find(|name| is_ours(name)) {
            return Err(format!("`{name}` is no header of an answer that is held"));
        }
        Ok(Some(Self {
            kind: held,
            tags,
            channels,
            attachment,
            time,
        }))
    }
}

fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// Takes the one value of a header.
fn single(headers: &mut HeaderMap, name: &HeaderName) -> Result<Option<HeaderValue>, String> {
    let count = headers.get_all(name).iter().count();
    let value = headers.remove(name);
    match count {
        0 | 1 => Ok(value),
        _ => Err(format!("there is more than one `{name}`")),
    }
}

/// A list of names, each of which `parse` must take, and at most `most`.
fn list<T>(
    headers: &mut HeaderMap,
    name: &HeaderName,
    most: u32,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let Some(value) = single(headers, name)? else {
        return Ok(Vec::new());
    };
    let text = value.to_str().ok();
    let names: Option<Vec<String>> = text.and_then(|text| serde_json::from_str(text).ok());
    let names = names.ok_or_else(|| format!("`{name}` is not a JSON array of strings in ASCII"))?;
    if names.len() > most as usize {
        let count = names.len();
        return Err(format!(
            "`{name}` has {count} names, and the limit is {most}"
        ));
    }
    let parsed = names.iter().map(|each| {
        let invalid = || {
            let shown: String = each.chars().take(40).collect();
            format!(
                "`{name}` has a name that is not valid: `{}`",
                shown.escape_debug()
            )
        };
        parse(each).ok_or_else(invalid)
    });
    parsed.collect()
}

fn attachment(headers: &mut HeaderMap, most: usize) -> Result<Bytes, String> {
    let Some(value) = single(headers, &ATTACHMENT)? else {
        return Ok(Bytes::new());
    };
    let bytes = STANDARD.decode(value.as_bytes());
    let bytes = bytes.map_err(|_| format!("`{ATTACHMENT}` is not standard base64 with padding"))?;
    if bytes.len() > most {
        let count = bytes.len();
        return Err(format!(
            "the attachment has {count} bytes, and the limit is {most}"
        ));
    }
    Ok(bytes.into())
}

fn time(headers: &mut HeaderMap, kind: ConnectionKind) -> Result<Duration, String> {
    let Some(value) = single(headers, &TIMEOUT)? else {
        return Ok(HELD_POLL_TIME);
    };
    if kind != ConnectionKind::Poll {
        return Err(format!("`{TIMEOUT}` is for a poll, and this is a {kind}"));
    }
    let digits = value.to_str().ok();
    let digits = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    let milliseconds = digits.and_then(|it| it.parse().ok());
    let time = milliseconds.map(Duration::from_millis);
    let time = time.filter(|time| (Duration::from_millis(1)..=HELD_POLL_TIME_MAX).contains(time));
    let most = HELD_POLL_TIME_MAX.as_millis();
    time.ok_or_else(|| format!("`{TIMEOUT}` is not a number from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> FunctionLimits {
        FunctionLimits {
            tags: 3,
            channels: 2,
            attachment_bytes: 6,
            ..FunctionLimits::default()
        }
    }

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn take(list: &[(&str, &str)]) -> Result<Option<Hold>, String> {
        Hold::take(&mut headers(list), &limits())
    }

    #[test]
    fn what_a_function_asks_for_is_taken_out() {
        let mut all = headers(&[
            ("openline-hold", "poll"),
            ("content-type", "text/plain"),
            ("openline-hold-tags", r#"["a", "\u00e9"]"#),
            ("openline-hold-channels", r#"["news"]"#),
            ("openline-hold-attachment", "AAEC"),
            ("openline-hold-timeout-ms", "1500"),
        ]);
        let hold = Hold::take(&mut all, &limits()).unwrap().unwrap();
        assert_eq!(all, headers(&[("content-type", "text/plain")]));
        let tags = ["a", "é"].map(|tag| Tag::new(tag).unwrap());
        assert_eq!(hold.tags, tags);
        assert_eq!(hold.channels, [ChannelName::new("news").unwrap()]);
        assert_eq!(
            (hold.kind, &hold.attachment[..]),
            (ConnectionKind::Poll, &[0, 1, 2][..])
        );
        assert_eq!(hold.time, Duration::from_millis(1500));
        let plain = take(&[("openline-hold", "stream")]).unwrap().unwrap();
        assert!(plain.tags.is_empty() && plain.channels.is_empty());
        assert!(plain.attachment.is_empty() && plain.time == HELD_POLL_TIME);
        assert_eq!(take(&[("content-type", "text/plain")]), Ok(None));
    }

    #[test]
    fn each_limit_at_it_and_past_it() {
        for (name, good, bad, why) in [
            (
                "tags",
                r#"["a","b","c"]"#,
                r#"["a","b","c","d"]"#,
                "has 4 names, and the limit is 3",
            ),
            (
                "channels",
                r#"["a","b"]"#,
                r#"["a","b","c"]"#,
                "has 3 names, and the limit is 2",
            ),
            (
                "attachment",
                "AAAAAAAA",
                "AAAAAAAAAA==",
                "has 7 bytes, and the limit is 6",
            ),
        ] {
            let name = format!("openline-hold-{name}");
            let with = |value| take(&[("openline-hold", "event-stream"), (&name, value)]);
            assert!(with(good).unwrap().is_some(), "{name}");
            let error = with(bad).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        for (time, good) in [
            ("1", true),
            ("600000", true),
            ("0", false),
            ("600001", false),
        ] {
            let held = take(&[
                ("openline-hold", "poll"),
                ("openline-hold-timeout-ms", time),
            ]);
            assert_eq!(held.is_ok(), good, "{time}");
        }
        for (length, good) in [(256, true), (257, false)] {
            let tags = format!("[\"{}\"]", "t".repeat(length));
            let held = take(&[("openline-hold", "stream"), ("openline-hold-tags", &tags)]);
            assert_eq!(held.is_ok(), good, "{length}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (kind, why) in [("websocket", "and not `websocket`"), ("", "and not ``")] {
            let error = take(&[("openline-hold", kind)]).unwrap_err();
            assert!(error.contains(why), "{kind}: {error}");
        }
        let alone = "only an answer that is held";
        for name in ["openline-hold-tags", "openline-request-id"] {
            assert!(take(&[(name, "[]")]).unwrap_err().contains(alone), "{name}");
        }
        for (name, value, why) in [
            ("openline-hold", "poll", "more than one"),
            ("openline-peer", "1", "`openline-peer` is no header"),
            ("openline-hold-x", "1", "`openline-hold-x` is no"),
            ("openline-hold-tags", "a", "not a JSON array"),
            ("openline-hold-tags", "[1]", "not a JSON array"),
            ("openline-hold-tags", "[\"\"]", "not valid: ``"),
            ("openline-hold-channels", "[\"\\n\"]", "not valid"),
            ("openline-hold-attachment", "AA", "base64"),
            ("openline-hold-attachment", "_-8=", "base64"),
            ("openline-hold-timeout-ms", "+5", "not a number"),
            ("openline-hold-timeout-ms", "1.5", "not a number"),
        ] {
            let error = take(&[("openline-hold", "poll"), (name, value)]).unwrap_err();
            assert!(error.contains(why), "{name}: {value}: {error}");
        }
        let stream = [
            ("openline-hold", "stream"),
            ("openline-hold-timeout-ms", "5"),
        ];
        assert!(take(&stream).unwrap_err().contains("for a poll"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_of_ours_is_left(
            kind in "event-stream|stream|poll|[ -~]{0,12}",
            values in proptest::collection::vec((0..5_usize, "[ -~]{0,40}"), 0..8),
        ) {
            let names = [&HOLD, &TAGS, &CHANNELS, &ATTACHMENT, &TIMEOUT];
            let mut all = HeaderMap::new();
            all.insert(HOLD, HeaderValue::from_str(&kind).unwrap());
            for (name, value) in values {
                all.append(names[name].clone(), HeaderValue::from_str(&value).unwrap());
            }
            if let Ok(Some(hold)) = Hold::take(&mut all, &limits()) {
                prop_assert!(all.is_empty());
                prop_assert!(hold.tags.len() <= 3 && hold.channels.len() <= 2);
                prop_assert!(hold.attachment.len() <= 6 && hold.time <= HELD_POLL_TIME_MAX);
            }
        }
    }
}
