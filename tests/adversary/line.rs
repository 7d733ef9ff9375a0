//! One connection, as its peer knows it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::carried::Carried;

/// How many lines of a peer's history are kept.
const TRAIL_MAX: usize = 40;

/// One connection, as its peer knows it.
pub struct Line {
    pub peer: usize,
    pub function: usize,
    pub room: String,
    /// The number of the host's start to which it belongs.
    pub(super) start: u32,
    pub id: Option<String>,
    pub(super) born: Option<Instant>,
    pub(super) pending: VecDeque<Pending>,
    pub(super) sequence: u64,
    pub(super) answered: u64,
    pub(super) handled: u64,
    /// The version that answered last.
    pub(super) version: Option<char>,
    /// When its handshake was done.
    pub opened: Instant,
    /// For the removable name: its function, if that is certain.
    pub incarnation: Option<u32>,
    /// How often it has requested `save`.
    pub(super) saves: u64,
    /// How many pings it got, and how many before a long pause.
    pub pings: u32,
    pub(super) pings_at_pause: Option<u32>,
    /// Whether its outbox was flooded, so that messages may be missing.
    pub lossy: bool,
    /// Whether it has begun to leave by itself.
    pub leaving: bool,
    /// Whether another connection was asked to close or terminate it.
    pub closed_by_others: bool,
    /// Whether it has asked to be closed or terminated.
    pub(super) closes_itself: bool,
    pub(super) carried: Carried,
    pub ended: Option<(u16, String)>,
    pub(super) subscribed: HashMap<String, Instant>,
    pub(super) heard: HashMap<String, u32>,
    pub(super) alarms: HashMap<String, Instant>,
    pub(super) cleared: HashSet<String>,
    pub(super) told_stuck: bool,
    pub deaf_until: Option<Instant>,
    pub(super) last_result: Option<String>,
    pub(super) trail: VecDeque<String>,
    pub changed: Rc<Notify>,
}

pub(super) struct Pending {
    pub(super) sequence: u64,
    pub(super) script: String,
    pub(super) sent: Instant,
}

impl Line {
    pub fn new(peer: usize, function: usize, room: &str, start: u32) -> Self {
        Self {
            peer,
            function,
            room: room.into(),
            start,
            id: None,
            born: None,
            pending: VecDeque::new(),
            sequence: 0,
            answered: 0,
            handled: 0,
            version: None,
            opened: Instant::now(),
            incarnation: None,
            saves: 0,
            pings: 0,
            pings_at_pause: None,
            lossy: false,
            leaving: false,
            closed_by_others: false,
            closes_itself: false,
            carried: Carried::default(),
            ended: None,
            subscribed: HashMap::new(),
            heard: HashMap::new(),
            alarms: HashMap::new(),
            cleared: HashSet::new(),
            told_stuck: false,
            deaf_until: None,
            last_result: None,
            trail: VecDeque::new(),
            changed: Rc::default(),
        }
    }

    pub fn is_answered(&self, sequence: u64) -> bool {
        self.answered >= sequence || self.ended.is_some()
    }

    /// The answer to the last script.
    pub fn last_result(&self) -> Option<&str> {
        self.last_result.as_deref()
    }

    pub fn is_quiet(&self) -> bool {
        let answered = self.pending.is_empty() && self.carried.unanswered().is_none();
        self.ended.is_some() || self.lossy || answered
    }

    /// Whether messages of others may be missing.
    pub(super) fn may_miss(&self) -> bool {
        self.lossy || self.carried.may_miss
    }

    pub(super) fn note(&mut self, began: Instant, text: &str) {
        if self.trail.len() == TRAIL_MAX {
            self.trail.pop_front();
        }
        let at = began.elapsed().as_millis();
        let text: String = text.chars().take(100).collect();
        self.trail.push_back(format!("{at:>6} ms {text}"));
    }
}
