//! The medians that criterion has left in the target folder, so that one table
//! shows all figures. Benchmarks that have not run are left out.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A figure measured inside of one process, for the functions it was measured
/// with.
#[derive(Debug, Serialize)]
pub(crate) struct InProcess {
    pub(crate) figure: &'static str,
    /// In the unit that the figure's name says.
    pub(crate) echo: Option<f64>,
    pub(crate) echo_async: Option<f64>,
}

/// Figure, nanoseconds in its unit, and the benchmarks' folders.
const FIGURES: [(&str, f64, &str, &str); 5] = [
    (
        "dispatch, 1 message, µs",
        1e3,
        "dispatch/plain/1",
        "dispatch/async/1",
    ),
    (
        "dispatch, 16 messages, µs",
        1e3,
        "dispatch/plain/16",
        "dispatch/async/16",
    ),
    (
        "upgrade, warm instance, µs",
        1e3,
        "instance/plain_warm",
        "instance/async_warm",
    ),
    (
        "upgrade, new instance, µs",
        1e3,
        "instance/plain_new",
        "instance/async_new",
    ),
    (
        "fan-out to 1,000, ns/delivery",
        1e3,
        "fan-out/1000",
        "fan-out/-",
    ),
];

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds.
    point_estimate: f64,
}

/// The figures that are there, in the folder that criterion writes to.
pub(crate) fn read(folder: &Path) -> Vec<InProcess> {
    let median = |benchmark: &str, unit: f64| {
        let text = fs::read(folder.join(benchmark).join("new/estimates.json")).ok()?;
        let estimates: Estimates = serde_json::from_slice(&text).ok()?;
        Some(estimates.median.point_estimate / unit)
    };
    let figure = |(figure, unit, echo, echo_async)| InProcess {
        figure,
        echo: median(echo, unit),
        echo_async: median(echo_async, unit),
    };
    let figures = FIGURES.into_iter().map(figure);
    figures
        .filter(|figure| figure.echo.is_some() || figure.echo_async.is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn medians_are_read_in_their_units_and_gaps_stay_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let estimates = folder.path().join("dispatch/plain/1/new");
        std::fs::create_dir_all(&estimates).unwrap();
        let text = r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":1400.0}}"#;
        std::fs::write(estimates.join("estimates.json"), text).unwrap();
        let read = read(folder.path());
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].echo, read[0].echo_async), (Some(1.4), None));
    }
}
