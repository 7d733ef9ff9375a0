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
