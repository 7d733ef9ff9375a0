//! The poller and the mailbox of an instance, with stand-ins for the instance
//! and its seats.

#[path = "../../../engine/src/instance/mailbox.rs"]
pub(crate) mod mailbox;
#[path = "../../../engine/src/instance/poller.rs"]
pub(crate) mod poller;

/// The parts of an instance that its poller and the callers with jobs use.
pub(crate) mod live {
    use super::mailbox::{Job, Mailbox};
    use super::poller::{Polled, Poller};

    #[derive(Debug, Default)]
    pub(crate) struct Instance {
        pub(crate) mailbox: Mailbox,
        pub(crate) poller: Poller,
    }

    impl Polled for Instance {
        fn poller(&self) -> &Poller {
            &self.poller
        }

        fn abandon(&self) {
            self.mailbox.close().into_iter().for_each(Job::give_back);
        }
    }
}

/// No model answers requests.
pub(crate) mod exchange {
    /// A request.
    #[derive(Debug)]
    pub(crate) struct Request;

    /// What became of it.
    #[derive(Debug)]
    pub(crate) enum RequestOutcome {
        Fault(openline_core::fault::Fault),
        Full,
        Returned(Box<Request>),
    }

    /// Where the outcome goes.
    #[derive(Debug)]
    pub(crate) struct RequestReply;

    #[expect(clippy::unused_self, reason = "the engine's interface")]
    impl RequestReply {
        pub(crate) fn give(&self, _outcome: RequestOutcome) {}

        pub(crate) fn is_closed(&self) -> bool {
            false
        }
    }
}

/// The mailbox asks a seat one question, once.
pub(crate) mod seat {
    #[derive(Debug)]
    pub(crate) struct Seat {
        pub(crate) is_awaited: bool,
    }

    impl Seat {
        pub(crate) fn take_awaited(&mut self) -> bool {
            std::mem::take(&mut self.is_awaited)
        }
    }
}
