//! The rules for the data that a function keeps with a connection: attachment,
//! alarms, automatic responses. [`attached`](crate::attached) has the data.

use std::time::Duration;

use bytes::Bytes;
use openline_core::auto_response::AutoResponse;
use openline_core::limits::{ALARM_TIME_MAX, AUTO_RESPONSE_BYTES_MAX};
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::time::Instant;

use super::Connection;
use super::flags::Flag;
use crate::attached::AttachError;

impl Connection {
    /// The attachment that the function keeps with the connection.
    pub fn attachment(&self) -> Bytes {
        self.attached.lock().attachment()
    }

    /// Replaces the attachment, at most `attachment_bytes`.
    ///
    /// # Errors
    ///
    /// A larger one is too big, the host's `attached_bytes` may be used up, and
    /// the connection may be gone.
    pub fn set_attachment(&self, bytes: Bytes) -> Result<(), AttachError> {
        if bytes.len() > self.limits.attachment_bytes {
            return Err(AttachError::TooBig);
        }
        let mut attached = self.attached.lock();
        self.keeps()?;
        attached.set_attachment(bytes, &self.budget.attached)
    }

    /// Makes an alarm due after a time, at most [`ALARM_TIME_MAX`], or moves
    /// it. The owner of the socket is not woken.
    ///
    /// # Errors
    ///
    /// More than `alarms` are too many, the host's `attached_bytes` may be
    /// used up, and the connection may be closing.
    pub fn set_alarm(&self, name: AlarmName, after: Duration) -> Result<(), AttachError> {
        if !self.is_open() {
            return Err(AttachError::Gone);
        }
        let due = Instant::now() + after.min(ALARM_TIME_MAX);
        let mut attached = self.attached.lock();
        self.keeps()?;
        attached.set_alarm(name, due, &self.limits, &self.budget.attached)?;
        drop(attached);
        self.flags.set(Flag::AlarmSet, true);
        Ok(())
    }

    /// Clears an alarm.
    pub fn clear_alarm(&self, name: &AlarmName) {
        let mut attached = self.attached.lock();
        attached.clear_alarm(name, &self.budget.attached);
    }

    /// Begins the call of an alarm that the owner of the socket has taken;
    /// `false` when the alarm was cleared or set again since, or the connection
    /// has ended: it is not to be called.
    pub fn begin_alarm(&self, name: &AlarmName) -> bool {
        let mut attached = self.attached.lock();
        attached.begin_alarm(name, &self.budget.attached)
    }

    /// Replaces the messages that the host answers by itself, those of the
    /// function's configuration included.
    ///
    /// # Errors
    ///
    /// More than `auto_responses` are too many, a message over
    /// [`AUTO_RESPONSE_BYTES_MAX`] is too big, the host's `attached_bytes` may
    /// be used up, and the connection may be closing.
    pub fn set_auto_responses(&self, pairs: Vec<AutoResponse>) -> Result<(), AttachError> {
        if pairs.len() > self.limits.auto_responses as usize {
            return Err(AttachError::TooMany);
        }
        let larger = |message: &Message| message.bytes() > AUTO_RESPONSE_BYTES_MAX;
        let mut all = pairs.iter();
        if all.any(|pair| larger(&pair.request) || larger(&pair.reply)) {
            return Err(AttachError::TooBig);
        }
        if !self.is_open() {
            return Err(AttachError::Gone);
        }
        let some = !pairs.is_empty();
        let own = if *pairs == *self.facts.auto_responses {
            None
        } else {
            Some(self.budget.share(pairs)?)
        };
        let mut attached = self.attached.lock();
        self.keeps()?;
        attached.set_pairs(own);
        self.flags.set(Flag::Answers, some);
        Ok(())
    }

    /// Fails when it keeps nothing any more. Asked with `attached` locked.
    fn keeps(&self) -> Result<(), AttachError> {
        if self.flags.has(Flag::Released) {
            return Err(AttachError::Gone);
        }
        Ok(())
    }
}
