//! Commands of a peer, from their text to actions.
//!
//! Unknown members are passed by; of several requests in one command, the first
//! in the protocol's order counts; `null` is a member that is not there. All
//! this is as in Centrifugo. What it closes a connection for, this does, too.

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::action::{
    Action, Call, Connect, HistoryQuery, Publish, RefreshSubscription, Since, Subscribe,
};
use crate::centrifugo::codes::{BAD_REQUEST, INVALID_TOKEN};
use crate::centrifugo::{PING, PositionRequest};
use crate::filter::Filter;
use crate::history::HistoryLimit;
use crate::json::{self, Fields, Members, Text, or_default, raw};
use crate::limits::{
    CHANNEL_BYTES_MAX, HEADERS_MAX, METHOD_BYTES_MAX, NAME_BYTES_MAX, SUBSCRIPTIONS_MAX,
    TOKEN_BYTES_MAX,
};
use crate::outcome::{Close, Refusal};
use crate::query;
use crate::reply::{Kind, Reply};
use crate::share::{kept, shared};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Command<'a> {
    #[serde(deserialize_with = "or_default")]
    id: u32,
    #[serde(borrow)]
    connect: Option<Fields<ConnectRequest<'a>>>,
    #[serde(borrow)]
    subscribe: Option<Fields<SubscribeRequest<'a>>>,
    #[serde(borrow)]
    unsubscribe: Option<Fields<ChannelRequest<'a>>>,
    #[serde(borrow)]
    publish: Option<Fields<PublishRequest<'a>>>,
    #[serde(borrow)]
    presence: Option<Fields<ChannelRequest<'a>>>,
    #[serde(borrow)]
    presence_stats: Option<Fields<ChannelRequest<'a>>>,
    #[serde(borrow)]
    history: Option<Fields<HistoryRequest<'a>>>,
    #[serde(borrow)]
    rpc: Option<Fields<RpcRequest<'a>>>,
    #[serde(borrow)]
    send: Option<Fields<SendRequest<'a>>>,
    #[serde(borrow)]
    refresh: Option<Fields<TokenRequest<'a>>>,
    #[serde(borrow)]
    sub_refresh: Option<Fields<TokenRequest<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConnectRequest<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    subs: Members<(Text<'a>, Fields<SinceRequest<'a>>), SUBSCRIPTIONS_MAX>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    headers: Members<(Text<'a>, Text<'a>), HEADERS_MAX>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SinceRequest<'a> {
    #[serde(deserialize_with = "or_default")]
    recover: bool,
    #[serde(deserialize_with = "or_default")]
    offset: u64,
    #[serde(borrow)]
    epoch: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubscribeRequest<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(deserialize_with = "or_default")]
    recover: bool,
    #[serde(deserialize_with = "or_default")]
    offset: u64,
    #[serde(borrow)]
    epoch: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    #[serde(deserialize_with = "or_default")]
    positioned: bool,
    #[serde(deserialize_with = "or_default")]
    recoverable: bool,
    #[serde(deserialize_with = "or_default")]
    join_leave: bool,
    #[serde(borrow)]
    tf: Option<&'a RawValue>,
    #[serde(deserialize_with = "or_default")]
    flag: i64,
    /// 0 is a channel; the others are maps and shared polls.
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChannelRequest<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PublishRequest<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    /// As in [`SubscribeRequest`].
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HistoryRequest<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    since: Option<Fields<PositionRequest<'a>>>,
    #[serde(deserialize_with = "or_default")]
    limit: i32,
    #[serde(deserialize_with = "or_default")]
    reverse: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RpcRequest<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SendRequest<'a> {
    #[serde(borrow, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenRequest<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
}

/// The subscription's wish to be refused if it cannot be recovered.
const REJECT_UNRECOVERED: i64 = 2;

/// What a command is.
#[derive(Debug)]
pub(crate) enum Read {
    /// The answer to a ping.
    Pong,
    /// The wish to connect.
    Connect(u32, Box<Connect>),
    /// Anything else, which only a connected peer may send.
    Other(Action),
}

/// Reads one command, which is a line of the frame.
///
/// # Errors
///
/// When the connection is to be closed.
pub(crate) fn read(frame: &Bytes, line: &[u8]) -> Result<Read, Close> {
    // The most frequent command.
    if line == PING.as_bytes() {
        return Ok(Read::Pong);
    }
    let command: Fields<Command<'_>> = json::read(line).map_err(|_| BAD_REQUEST)?;
    let reader = Reader {
        frame,
        id: command.id,
    };
    if command.id == 0 {
        return match &command.send {
            Some(send) => Ok(Read::Other(reader.message(send))),
            None => Ok(Read::Pong),
        };
    }
    if let Some(request) = &command.connect {
        let connect = connect(frame, request)?;
        return Ok(Read::Connect(command.id, Box::new(connect)));
    }
    reader.action(&command).map(Read::Other)
}

/// What is common to the requests of a command.
struct Reader<'a> {
    frame: &'a Bytes,
    id: u32,
}

impl Reader<'_> {
    fn reply(&self) -> Reply {
        self.reply_since(0)
    }

    fn reply_since(&self, since: u64) -> Reply {
        Reply(Kind::Centrifugo { id: self.id, since })
    }

    fn refuse(&self, refusal: &Refusal) -> Action {
        Action::Send(self.reply().refused(refusal))
    }

    fn text(&self, text: &str) -> ByteString {
        shared(self.frame, text)
    }

    fn since(&self, epoch: &str, offset: u64) -> Since {
        Since {
            epoch: self.text(epoch),
            offset,
        }
    }

    fn data(&self, data: Option<&RawValue>) -> Option<Bytes> {
        data.map(|data| kept(self.frame, data.get().as_bytes()))
    }

    fn action(&self, command: &Command<'_>) -> Result<Action, Close> {
        if let Some(request) = &command.subscribe {
            self.subscribe(request)
        } else if let Some(request) = &command.unsubscribe {
            self.on_channel(&request.channel, Action::Unsubscribe)
        } else if let Some(request) = &command.publish {
            self.publish(request)
        } else if let Some(request) = &command.presence {
            self.on_channel(&request.channel, Action::Presence)
        } else if let Some(request) = &command.presence_stats {
            self.on_channel(&request.channel, Action::PresenceStats)
        } else if let Some(request) = &command.history {
            self.on_channel(&request.channel, |reply, channel| {
                let query = HistoryQuery {
                    channel,
                    since: request
                        .since
                        .as_ref()
                        .map(|since| self.since(&since.epoch, since.offset)),
                    limit: HistoryLimit::of_number(request.limit),
                    reverse: request.reverse,
                };
                Action::History(reply, query)
            })
        } else if let Some(request) = &command.rpc {
            if request.method.len() > METHOD_BYTES_MAX {
                return Ok(self.refuse(&Refusal::MethodNotFound));
            }
            let call = Call {
                method: self.text(&request.method),
                data: self.data(request.data).unwrap_or_default(),
            };
            Ok(Action::Call(self.reply(), call))
        } else if let Some(request) = &command.send {
            Ok(self.message(request))
        } else if let Some(request) = &command.refresh {
            let token = self.token(&request.token)?;
            if token.is_empty() {
                return Err(BAD_REQUEST);
            }
            Ok(Action::Refresh(self.reply(), token))
        } else if let Some(request) = &command.sub_refresh {
            self.refresh_subscription(request)
        } else {
            Err(BAD_REQUEST)
        }
    }

    /// An action on a channel that is named.
    fn on_channel(
        &self,
        channel: &str,
        make: impl FnOnce(Reply, ByteString) -> Action,
    ) -> Result<Action, Close> {
        match channel.len() {
            0 => Err(BAD_REQUEST),
            1..=CHANNEL_BYTES_MAX => Ok(make(self.reply(), self.text(channel))),
            _ => Ok(self.refuse(&Refusal::BadRequest)),
        }
    }

    fn token(&self, token: &str) -> Result<ByteString, Close> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(INVALID_TOKEN);
        }
        Ok(self.text(token))
    }

    fn subscribe(&self, request: &SubscribeRequest<'_>) -> Result<Action, Close> {
        let token = self.token(&request.token)?;
        self.on_channel(&request.channel, |_, channel| {
            if request.kind != 0 {
                return self.refuse(&Refusal::NotAvailable);
            }
            let filter = request.tf.map(|filter| Filter::read(filter.get()));
            let Ok(filter) = filter.transpose() else {
                return self.refuse(&Refusal::BadRequest);
            };
            let since = request
                .recover
                .then(|| self.since(&request.epoch, request.offset));
            let subscribe = Subscribe {
                channel,
                token,
                data: self.data(request.data),
                since,
                reject_unrecovered: request.flag & REJECT_UNRECOVERED != 0,
                join_leave: request.join_leave,
                positioned: request.positioned,
                recoverable: request.recoverable,
                filter,
            };
            Action::Subscribe(self.reply_since(request.offset), Box::new(subscribe))
        })
    }

    fn publish(&self, request: &PublishRequest<'_>) -> Result<Action, Close> {
        self.on_channel(&request.channel, |reply, channel| {
            if request.kind != 0 {
                return self.refuse(&Refusal::NotAvailable);
            }
            match self.data(request.data) {
                Some(data) => Action::Publish(reply, Publish { channel, data }),
                None => self.refuse(&Refusal::BadRequest),
            }
        })
    }

    fn refresh_subscription(&self, request: &TokenRequest<'_>) -> Result<Action, Close> {
        let token = self.token(&request.token)?;
        self.on_channel(&request.channel, |reply, channel| {
            if token.is_empty() {
                return self.refuse(&Refusal::BadRequest);
            }
            Action::RefreshSubscription(reply, RefreshSubscription { channel, token })
        })
    }

    fn message(&self, request: &SendRequest<'_>) -> Action {
        Action::Message(self.data(request.data).unwrap_or_default())
    }
}

/// Checks a wish to connect.
///
/// # Errors
///
/// When the connection is to be closed.
fn connect(frame: &Bytes, request: &ConnectRequest<'_>) -> Result<Connect, Close> {
    if request.token.len() > TOKEN_BYTES_MAX {
        return Err(INVALID_TOKEN);
    }
    let named = |text: &str| shared(frame, &text[..text.floor_char_boundary(NAME_BYTES_MAX)]);
    let mut subscriptions = Vec::with_capacity(request.subs.0.len());
    for (channel, since) in &request.subs.0 {
        if channel.is_empty() || channel.len() > CHANNEL_BYTES_MAX {
            return Err(BAD_REQUEST);
        }
        let position = since.recover.then(|| Since {
            epoch: shared(frame, &since.epoch),
            offset: since.offset,
        });
        subscriptions.push((shared(frame, channel), position));
    }
    let headers = request.headers.0.iter();
    let headers = headers.map(|(name, value)| (shared(frame, name), shared(frame, value)));
    Ok(Connect {
        token: shared(frame, &request.token),
        data: request.data.map(|data| kept(frame, data.get().as_bytes())),
        name: named(&request.name),
        version: named(&request.version),
        headers: headers.collect(),
        subscriptions,
    })
}

/// Reads the query parameter `cf_connect` of a request for an event stream: see
/// [`read_connect`].
///
/// # Errors
///
/// When the request is to be refused, also because there are two of them.
pub fn connect_of_query(query: &str) -> Result<Connect, Close> {
    let connect = query::one(query, "cf_connect").map_err(|_| BAD_REQUEST)?;
    read_connect(&Bytes::from(connect.unwrap_or_default().into_owned()))
}

/// Reads the wish to connect of a transport that has no commands: the query
/// parameter `cf_connect`, or the body, of a request for an event stream.
/// Nothing, and `null`, is an empty one.
///
/// # Errors
///
/// When the request is to be refused.
pub fn read_connect(text: &Bytes) -> Result<Connect, Close> {
    if text.is_empty() {
        return Ok(Connect::default());
    }
    let request: Option<Fields<ConnectRequest<'_>>> = json::read(text).map_err(|_| BAD_REQUEST)?;
    connect(text, &request.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_connects_in_its_query() {
        let query = "cf_connect=%7B%22token%22%3A%22t%22%2C%22subs%22%3A%7B%22c%22%3A%7B%7D%7D%7D";
        let connect = connect_of_query(query).unwrap();
        assert_eq!(connect.token, "t");
        assert_eq!(connect.subscriptions, [("c".into(), None)]);
        for empty in ["", "cf_connect=", "cf_connect=null", "cf_connect=%7B%7D"] {
            assert_eq!(connect_of_query(empty), Ok(Connect::default()), "{empty}");
        }
        for bad in [
            "cf_connect=x",
            "cf_connect=1",
            "cf_connect={}&cf_connect={}",
        ] {
            assert_eq!(connect_of_query(bad), Err(BAD_REQUEST), "{bad}");
        }
        for array in [r#"["t"]"#, r#"{"subs":{"c":[true,1,"e"]}}"#] {
            let refused = read_connect(&Bytes::from(array));
            assert_eq!(refused, Err(BAD_REQUEST), "{array}");
        }
        let channel = |bytes: usize| {
            let body = format!(r#"{{"subs":{{"{}":{{}}}}}}"#, "c".repeat(bytes));
            read_connect(&Bytes::from(body))
        };
        assert!(channel(CHANNEL_BYTES_MAX).is_ok());
        assert_eq!(channel(CHANNEL_BYTES_MAX + 1), Err(BAD_REQUEST));
    }
}
