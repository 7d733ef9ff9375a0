//! The command line of the soak benchmark.

use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use openline_kit::programs;

use crate::table::Choice;

/// The shortest and the longest run, in minutes: two rounds in which some
/// connections live and end, and a day.
const MINUTES: (f64, f64) = (0.1, 24.0 * 60.0);

/// Soaks a host in connections that misbehave, then looks for what it kept
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Minutes of load, in two equal rounds
    // Each round fills up in 25 seconds, and then every connection is replaced
    // about four times.
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0)]
    minutes: f64,

    /// Connections to keep open
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=50_000))]
    pub(crate) connections: u32,

    /// Connections that are begun in a second at most
    // About an eighth of a core on each side.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections_per_second: u32,

    /// Repeats the choices of an earlier run [default: a random one]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// Only what has this word in its name, as the report lists it; most single
    /// functions have room for 1,600 connections
    #[arg(long, value_name = "WORD")]
    only: Option<String>,

    /// Instead, peers of a durable channel that count what they get while the host
    /// is killed, restarted and deployed to; at most 1,000 connections
    #[arg(long)]
    pub(crate) recovery: bool,

    #[command(flatten)]
    pub(crate) programs: programs::Options,
}

impl Arguments {
    /// How long one of the two rounds is.
    pub(crate) fn round(&self) -> anyhow::Result<Duration> {
        Ok(self.length()? / 2)
    }

    /// How long both are.
    pub(crate) fn length(&self) -> anyhow::Result<Duration> {
        let (least, most) = MINUTES;
        if !(least..=most).contains(&self.minutes) {
            bail!(
                "--minutes: {} is not between {least} and {most}",
                self.minutes
            );
        }
        Ok(Duration::from_secs_f64(self.minutes * 60.0))
    }

    /// The choice of things that peers do.
    pub(crate) fn choice(&self) -> anyhow::Result<Choice> {
        let choice = Choice::new(self.only.as_deref());
        if choice.rows().is_empty() {
            let word = self.only.as_deref().unwrap_or_default();
            bail!("--only: no peer does anything called `{word}`");
        }
        Ok(choice)
    }
}
