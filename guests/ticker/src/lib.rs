//! Counts what is said in all rooms, and publishes the count on `stats`. It
//! serves no connections: the channels `room:*` wake it.

use openline_sdk::channel::{Batch, Channel, ChannelHandler};

/// The count is a cache, in the memory of the one instance: the next one begins
/// at zero. `openline_sdk::state` would keep it.
#[derive(Default)]
struct Ticker {
    said: u64,
    lost: u64,
}

impl ChannelHandler for Ticker {
    fn published(&mut self, batch: Batch) {
        self.said += u64::try_from(batch.publications.len()).unwrap_or(u64::MAX);
        self.lost += batch.lost;
        let count = format!("{} said, {} lost", self.said, self.lost);
        if let Err(error) = Channel::new("stats").publish(count.as_str()).send() {
            eprintln!("not published: {error}");
        }
    }
}

openline_sdk::export_channel_handler!(Ticker);
