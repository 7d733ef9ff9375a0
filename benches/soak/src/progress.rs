//! How far the soak is, on stderr: a bar on a terminal, else a line every ten
//! seconds.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use openline_kit::observed::Observed;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::peer::Site;

/// How often the bar is drawn, and after how many times a line is written.
const INTERVAL: Duration = Duration::from_secs(1);
const LINE_EVERY: u64 = 10;

/// Shows how far the soak is.
#[derive(Debug)]
pub(crate) struct Progress {
    site: Arc<Site>,
    process: u32,
    bar: Option<ProgressBar>,
    /// The most that was seen resident of the host, in bytes.
    peak: Arc<AtomicU64>,
}

/// Shows one part of the soak until it is dropped.
#[derive(Debug)]
pub(crate) struct Showing(JoinHandle<()>);

impl Progress {
    pub(crate) fn new(site: &Arc<Site>, process: u32) -> Self {
        let style = ProgressStyle::with_template("{prefix:>14} [{bar:32}] {msg}");
        let bar = std::io::stderr().is_terminal().then(|| {
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            site: Arc::clone(site),
            process,
            bar,
            peak: Arc::default(),
        }
    }

    pub(crate) fn resident_bytes_peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    /// Shows how far a part is that takes so long.
    pub(crate) fn show(&self, part: &'static str, length: Duration) -> Showing {
        let (site, bar) = (Arc::clone(&self.site), self.bar.clone());
        let (process, peak) = (self.process, Arc::clone(&self.peak));
        Showing(tokio::spawn(async move {
            let begun = Instant::now();
            let mut interval = tokio::time::interval(INTERVAL);
            for tick in 0.. {
                interval.tick().await;
                // A host that has ended is found by others.
                let resident = Observed::take(process).map_or(0, |process| process.resident_bytes);
                peak.fetch_max(resident, Relaxed);
                let text = figures(&site, resident);
                let elapsed = begun.elapsed().as_secs();
                if let Some(bar) = &bar {
                    bar.set_prefix(part);
                    bar.set_length(length.as_secs());
                    bar.set_position(elapsed);
                    bar.set_message(text);
                } else if tick % LINE_EVERY == 0 {
                    tell(&format!(
                        "{part}, {elapsed} of {} s: {text}",
                        length.as_secs()
                    ));
                }
            }
        }))
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn figures(site: &Site, resident_bytes: u64) -> String {
    let tally = &site.tally;
    format!(
        "{} open, {} opened, {} answers, {} wrong, host {} MiB",
        tally.open.load(Relaxed),
        tally.opened.load(Relaxed),
        tally.answered.load(Relaxed),
        tally.wrongs.sum(),
        resident_bytes >> 20,
    )
}

/// Prints a line for a person, apart from the data.
pub(crate) fn tell(text: &str) {
    // Where stderr is gone, there is nowhere to report it.
    let _ = writeln!(std::io::stderr(), "{text}");
}
