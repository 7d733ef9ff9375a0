//! Calls of a peer (`rpc`), which the function answers.
//!
//! Bounded like messages: a connection has one that its function has got and one
//! that waits, and an answer has at most `message_bytes`.

use std::sync::{Arc, Weak};

use bytestring::ByteString;
use openline_channels::connection::Connection;
use openline_channels::forms;
use openline_core::call::{Answer, Call, CallError};
use openline_core::message::Message;
use openline_dialects::{Refusal, Reply};
use openline_engine::commons::Commons;

use super::message_of;

/// The codes that Centrifugo leaves to applications.
const CODES: std::ops::RangeInclusive<u32> = 400..=1_999;

/// A call for the function, whose result goes into the outbox of its connection.
pub(super) fn call(
    reply: Reply,
    call: openline_dialects::Call,
    connection: &Arc<Connection>,
    function: &Arc<Commons>,
) -> Box<Call> {
    let connection = Arc::clone(connection);
    // The function may go while a call waits.
    let function = Arc::downgrade(function);
    let answer = Answer::new(move |result| {
        let mut answer = frame(&reply, result, &function);
        if answer.len() > connection.limits().message_bytes {
            answer = reply.refused(&Refusal::LimitExceeded);
        }
        connection.push_frame(Message::Text(answer));
        connection.wake();
    });
    Box::new(Call {
        method: call.method,
        data: message_of(call.data),
        answer,
    })
}

fn frame(
    reply: &Reply,
    result: Result<Message, CallError>,
    function: &Weak<Commons>,
) -> ByteString {
    match result {
        Ok(message) => reply.returned(forms::data_view(&forms::data_of(message))),
        Err(error) => reply.refused(&refusal(error, function)),
    }
}

fn refusal(error: CallError, function: &Weak<Commons>) -> Refusal {
    match error {
        CallError::NoSuchMethod => Refusal::MethodNotFound,
        CallError::Failed {
            code,
            message,
            temporary,
        } if CODES.contains(&code) => Refusal::Function {
            code,
            message,
            temporary,
        },
        CallError::Failed { code, .. } => {
            if let Some(function) = function.upgrade().filter(|it| it.tells_of_code()) {
                let function = function.name();
                tracing::warn!(%function, code, "the function's error of a call has a code that is not from 400 to 1999");
            }
            Refusal::Internal
        }
    }
}
