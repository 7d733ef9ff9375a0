//! The goals, beside the measurements. A measurement is no test: nothing fails
//! here.

use openline_kit::table::Spread;

use super::measurement::{
    BYTES_PER_CONNECTION, BYTES_PER_INSTANCE, BYTES_PER_MESSAGE, COMPRESSED, CPU_OF_INSTANCES,
    CPU_PER_DELIVERY, CPU_PER_IDLE, CPU_PER_MESSAGE, DEEP, FAN_OUT, FAN_OUT_DEEP, FAN_OUT_MANY,
    HUGE, IDLE_COMPRESSED, LARGE, LONGEST_IN_TURNS, MILLISECONDS, Measurement, P50, P99, PINGED,
    SCALING, USUAL,
};
use super::peer::Peer;
use super::results::Results;

use Peer::{
    Bun, Deno, Native, NativeFlushEach, Node, Openline, OpenlineAsync, Websocketd, Workerd,
};

/// How the host's figure is judged.
#[derive(Debug, Clone, Copy)]
enum Measure {
    /// Alone.
    Alone,
    /// Divided by another server's.
    To(Peer),
    /// Less another server's.
    Above(Peer),
}

#[derive(Debug, Clone, Copy)]
struct Goal {
    measurement: Measurement,
    figure: &'static str,
    peer: Peer,
    measure: Measure,
    /// The median may be this much at most; at least where that is better.
    limit: f64,
    more_is_better: bool,
    /// The goal in words, and the unit of its figure.
    text: &'static str,
    unit: &'static str,
}

const fn to(
    measurement: Measurement,
    peer: Peer,
    other: Peer,
    limit: f64,
    text: &'static str,
) -> Goal {
    Goal {
        measurement,
        figure: CPU_PER_MESSAGE,
        peer,
        measure: Measure::To(other),
        limit,
        more_is_better: false,
        text,
        unit: " ×",
    }
}

const fn alone(
    measurement: Measurement,
    figure: &'static str,
    limit: f64,
    unit: &'static str,
    text: &'static str,
) -> Goal {
    Goal {
        measurement,
        figure,
        peer: Openline,
        measure: Measure::Alone,
        limit,
        more_is_better: false,
        text,
        unit,
    }
}

const fn fan_out(measurement: Measurement, other: Peer, limit: f64, text: &'static str) -> Goal {
    Goal {
        figure: CPU_PER_DELIVERY,
        ..to(measurement, Openline, other, limit, text)
    }
}

const IDLE: Measurement = Measurement::Idle { connections: 5_000 };

const fn idle_cpu(connections: u32, text: &'static str) -> Goal {
    let measurement = Measurement::IdleCpu { connections };
    alone(measurement, CPU_PER_IDLE, 0.7, " µs/s", text)
}

/// Whether connections are served in turn.
const fn in_turn(peer: Peer, figure: &'static str, other: Peer, text: &'static str) -> Goal {
    Goal {
        figure,
        ..to(Measurement::Saturation, peer, other, 1.5, text)
    }
}

const fn turns(peer: Peer, text: &'static str) -> Goal {
    Goal {
        peer,
        ..alone(
            Measurement::Saturation,
            LONGEST_IN_TURNS,
            3.0,
            " turns",
            text,
        )
    }
}

const GOALS: [Goal; 38] = [
    to(
        USUAL,
        Openline,
        Native,
        1.08,
        "50 × 1, CPU: at most 1.08 × native",
    ),
    to(
        USUAL,
        Openline,
        Bun,
        1.15,
        "50 × 1, CPU: within 1.15 × of Bun",
    ),
    to(USUAL, Openline, Deno, 1.0, "50 × 1, CPU: less than Deno"),
    to(USUAL, Openline, Node, 1.0, "50 × 1, CPU: less than Node"),
    to(
        USUAL,
        Openline,
        Websocketd,
        1.0,
        "50 × 1, CPU: less than websocketd",
    ),
    to(
        USUAL,
        Openline,
        Workerd,
        0.25,
        "50 × 1, CPU: a quarter of workerd or less",
    ),
    to(
        USUAL,
        OpenlineAsync,
        Native,
        1.3,
        "50 × 1, CPU, async: at most 1.3 × native",
    ),
    to(
        USUAL,
        OpenlineAsync,
        Deno,
        1.0,
        "50 × 1, CPU, async: less than Deno",
    ),
    to(
        DEEP,
        Openline,
        Native,
        1.2,
        "50 × 16, CPU: at most 1.2 × native",
    ),
    to(
        DEEP,
        OpenlineAsync,
        Native,
        2.0,
        "50 × 16, CPU, async: at most 2 × native",
    ),
    to(
        DEEP,
        Openline,
        NativeFlushEach,
        0.2,
        "50 × 16, CPU: at most 0.2 × native, flush each",
    ),
    to(
        DEEP,
        OpenlineAsync,
        NativeFlushEach,
        0.27,
        "50 × 16, CPU, async: at most 0.27 × native, flush each",
    ),
    to(
        DEEP,
        Openline,
        Bun,
        1.2,
        "50 × 16, CPU: within 1.2 × of Bun",
    ),
    to(
        LARGE,
        Openline,
        Native,
        1.0,
        "16 KiB, CPU: no more than native",
    ),
    to(
        HUGE,
        Openline,
        Native,
        1.0,
        "1 MiB, CPU: no more than native",
    ),
    Goal {
        measure: Measure::Above(Native),
        ..alone(
            Measurement::HalfPeak,
            P50,
            15.0,
            " µs",
            "half of the peak, p50: at most 15 µs above native",
        )
    },
    Goal {
        figure: P99,
        ..to(
            Measurement::HalfPeak,
            Openline,
            Native,
            1.5,
            "half of the peak, p99: at most 1.5 × native",
        )
    },
    in_turn(Openline, P99, Bun, "saturation, p99: at most 1.5 × Bun"),
    in_turn(
        OpenlineAsync,
        P99,
        Bun,
        "saturation, p99, async: at most 1.5 × Bun",
    ),
    turns(Openline, "saturation: no wait of more than three turns"),
    turns(
        OpenlineAsync,
        "saturation, async: no wait of more than three turns",
    ),
    idle_cpu(
        PINGED[0],
        "1,000 idle connections, CPU: at most 0.7 µs/s each",
    ),
    idle_cpu(
        PINGED[1],
        "8,000 idle connections, CPU: at most 0.7 µs/s each",
    ),
    idle_cpu(
        PINGED[2],
        "15,000 idle connections, CPU: at most 0.7 µs/s each",
    ),
    alone(
        IDLE,
        BYTES_PER_CONNECTION,
        2_355.0,
        " bytes",
        "idle connection: at most 2.3 KiB",
    ),
    alone(
        Measurement::Warm,
        BYTES_PER_INSTANCE,
        51_200.0,
        " bytes",
        "warm instance: at most 50 KiB",
    ),
    alone(
        Measurement::Warm,
        CPU_OF_INSTANCES,
        50.0,
        " ms",
        "1,000 instances: in at most 50 ms of CPU time",
    ),
    alone(
        Measurement::Start,
        MILLISECONDS,
        20.0,
        " ms",
        "start to first echo: at most 20 ms",
    ),
    Goal {
        more_is_better: true,
        ..alone(
            Measurement::TwoCores,
            SCALING,
            1.8,
            " ×",
            "two cores against one: at least 1.8 ×",
        )
    },
    to(
        COMPRESSED,
        Openline,
        Node,
        1.0,
        "compressed, CPU: less than Node",
    ),
    to(
        COMPRESSED,
        Openline,
        Bun,
        1.0,
        "compressed, CPU: less than Bun",
    ),
    Goal {
        figure: BYTES_PER_MESSAGE,
        ..to(
            COMPRESSED,
            Openline,
            Node,
            1.05,
            "compressed, bytes on the wire: at most 1.05 × Node",
        )
    },
    alone(
        IDLE_COMPRESSED,
        BYTES_PER_CONNECTION,
        4_608.0,
        " bytes",
        "idle connection that has compressed: at most 4.5 KiB",
    ),
    fan_out(
        FAN_OUT,
        Native,
        1.25,
        "fan-out × 1, CPU: at most 1.25 × native",
    ),
    fan_out(FAN_OUT, Bun, 1.0, "fan-out × 1, CPU: no more than Bun"),
    fan_out(
        FAN_OUT_MANY,
        Bun,
        1.0,
        "fan-out to 10,000, CPU: no more than Bun",
    ),
    fan_out(
        FAN_OUT_DEEP,
        Native,
        1.25,
        "fan-out × 16, CPU: at most 1.25 × native",
    ),
    fan_out(
        FAN_OUT_DEEP,
        Bun,
        1.0,
        "fan-out × 16, CPU: no more than Bun",
    ),
];

/// A goal with what was measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) goal: &'static str,
    pub(crate) measured: Spread,
    pub(crate) unit: &'static str,
    /// How many of the measured value's are shown: small ones need some.
    pub(crate) decimals: usize,
    pub(crate) is_reached: bool,
}

/// All goals that can be judged by what was measured.
pub(crate) fn judge(results: &Results) -> Vec<Judged> {
    GOALS
        .iter()
        .filter_map(|goal| goal.judge(results))
        .collect()
}

impl Goal {
    fn judge(&self, results: &Results) -> Option<Judged> {
        let section = results.section(self.measurement)?;
        let column = section.column(self.peer)?;
        let measured = match self.measure {
            Measure::Alone => column.value(self.figure),
            Measure::To(other) => {
                let other = section.column(other)?;
                column.beside(other, self.figure, |mine, theirs| mine / theirs)
            }
            Measure::Above(other) => {
                let other = section.column(other)?;
                column.beside(other, self.figure, |mine, theirs| mine - theirs)
            }
        }?;
        let is_reached = match self.more_is_better {
            true => measured.median >= self.limit,
            false => measured.median <= self.limit,
        };
        Some(Judged {
            goal: self.text,
            measured,
            unit: self.unit,
            decimals: if self.limit < 10.0 { 2 } else { 0 },
            is_reached,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::peers::peer::Peer;
    use crate::peers::results::tests::results;

    #[test]
    fn goals_are_judged_by_the_median_and_only_where_both_were_measured() {
        let results = results(&[
            (Peer::Native, &[10.0, 10.0, 10.0]),
            (Peer::Openline, &[10.5, 10.8, 15.0]),
            (Peer::Deno, &[10.5, 10.5, 10.5]),
        ]);
        let judged = judge(&results);
        let said: Vec<_> = judged
            .iter()
            .map(|judged| (judged.goal, judged.is_reached))
            .collect();
        assert_eq!(
            said,
            [
                ("50 × 1, CPU: at most 1.08 × native", true),
                ("50 × 1, CPU: less than Deno", false),
            ]
        );
    }
}
