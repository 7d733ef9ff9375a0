//! What polls an instance, and its mailbox; the instance is stood in for.

#[path = "../../../engine/src/instance/mailbox.rs"]
pub(crate) mod mailbox;
#[path = "../../../engine/src/instance/poller.rs"]
pub(crate) mod poller;

/// What of an instance its driver and those that give it jobs touch.
pub(crate) mod live {
    use super::mailbox::Mailbox;
    use super::poller::Driver;

    #[derive(Debug, Default)]
    pub(crate) struct Instance {
        pub(crate) mailbox: Mailbox,
        pub(crate) driver: Driver,
    }
}
