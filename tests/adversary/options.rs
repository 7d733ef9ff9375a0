//! The options of the adversary, and what is wrong with those that cannot be
//! carried out. It then ends with 2, before any plan, as it does for options
//! that are none.

use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser};

use super::checks::CHECKS;

/// The most plans side by side: each has a host of its own.
const JOBS_MAX: u64 = 64;
/// The longest time in an option: more is a typing error.
const SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// Tries what no author thought of.
#[derive(Parser)]
#[command(
    after_help = "examples:\n  --seed 7 --count 1           one plan\n  --budget 3600                as many plans as an hour allows\n  --plan FILE                  a plan that has failed, once more\n  --soak --budget 600          ten minutes of plans in one host"
)]
pub struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// So many plans.
    #[arg(long)]
    pub count: Option<NonZeroU64>,
    /// For so many seconds; the default is what each test run takes.
    #[arg(long, default_value_t = 120, value_parser = seconds())]
    pub budget: u64,
    /// One host lives through all plans, and must keep nothing of any.
    #[arg(long)]
    pub soak: bool,
    /// Carries out a plan from a file.
    #[arg(long)]
    pub plan: Option<PathBuf>,
    /// Another binary than the one that was built with this.
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Where plans that fail are written, and each run has its files.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// How long to shrink a plan that fails, in seconds.
    #[arg(long, default_value_t = 240, value_parser = seconds())]
    pub shrink: u64,
    /// How many plans are carried out side by side.
    #[arg(long, default_value_t = 2, value_parser = jobs())]
    pub jobs: usize,
    /// Ends with the first plan that breaks one of these invariants.
    #[arg(long, value_name = "INVARIANT", value_delimiter = ',', value_parser = invariants())]
    pub until: Vec<String>,
    /// Says what happened how often.
    #[arg(long)]
    pub counts: bool,
    /// Words that choose tests; this one is `adversary`.
    #[arg(hide = true)]
    pub filter: Vec<String>,
}

fn seconds() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(..=SECONDS_MAX)
}

fn jobs() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=JOBS_MAX)
}

fn invariants() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.map(|(check, _)| check))
}

/// Why options cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("`--count {count}`: there are not so many seeds from `--seed {seed}` on")]
    Seeds { seed: u64, count: NonZeroU64 },
    #[error("`--plan {}`: {reason}", file.display())]
    Plan { file: PathBuf, reason: String },
    #[error("`--binary {}`: {error}", file.display())]
    Binary { file: PathBuf, error: io::Error },
    #[error("`--folder {}`: {error}", folder.display())]
    Folder { folder: PathBuf, error: io::Error },
}

impl Unusable {
    /// Advice on how to solve it.
    pub fn hint(&self) -> String {
        match self {
            Self::Seeds { .. } => format!("the last seed is {}", u64::MAX),
            Self::Plan { .. } => {
                "name a file `failed-SEED.json` that the adversary wrote: plans of other versions may differ".into()
            }
            Self::Binary { .. } => "name a program, as `target/debug/openline`".into(),
            Self::Folder { .. } => "name a folder that can be made and written to".into(),
        }
    }
}

impl Arguments {
    /// The last seed, if there are as many as are asked for.
    pub fn last_seed(&self) -> Result<u64, Unusable> {
        let Some(count) = self.count else {
            return Ok(u64::MAX);
        };
        let last = self.seed.checked_add(count.get() - 1);
        last.ok_or(Unusable::Seeds {
            seed: self.seed,
            count,
        })
    }
}
