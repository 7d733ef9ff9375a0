//! The report as a person reads it: what was done, then aligned lines.

use std::fmt::{self, Display, Formatter};

use super::{Connections, Latency, Messages, Report, Server};
use crate::options::{MessageKind, Options};

/// Width of the first column: the longest label and two spaces.
const LABEL: usize = 15;

/// Width of a column of numbers: `p99.9` and `1,234.5 ms` fit.
const COLUMN: usize = 11;

/// The busy part of a core from which the load generator, not the server, may
/// have set the pace.
const BUSY: f64 = 0.95;

impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        head(formatter, &self.options)?;
        connections(formatter, &self.connections)?;
        if let Some(messages) = &self.messages {
            answered(formatter, messages)?;
        }
        self.durations(formatter)?;
        if let Some(server) = &self.server {
            used(formatter, server, self.elapsed_seconds)?;
        }
        let codes = self.close_codes.iter();
        let codes: Vec<_> = codes
            .map(|(code, count)| format!("{code} ({count} ×)"))
            .collect();
        if !codes.is_empty() {
            writeln!(formatter, "{:LABEL$}{}", "close codes", codes.join(", "))?;
        }
        let mut label = "errors";
        for (kind, count) in &self.errors {
            writeln!(formatter, "{label:LABEL$}{kind} ({count} ×)")?;
            label = "";
        }
        self.notes(formatter)
    }
}

impl Report {
    fn durations(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let rows = [
            ("latency", &self.latency),
            ("sent late", &self.lateness),
            ("connect", &self.connect),
        ];
        let rows: Vec<_> = rows
            .into_iter()
            .filter_map(|(label, latency)| latency.map(|latency| (label, latency)))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        write!(formatter, "\n{:LABEL$}", "")?;
        for name in ["p50", "p90", "p99", "p99.9", "max", "mean"] {
            write!(formatter, "{name:>COLUMN$}")?;
        }
        writeln!(formatter)?;
        for (label, latency) in rows {
            write!(formatter, "{label:LABEL$}")?;
            for microseconds in columns(&latency) {
                write!(formatter, "{:>COLUMN$}", duration(microseconds))?;
            }
            writeln!(formatter)?;
        }
        writeln!(formatter)
    }

    /// Reasons to trust the numbers above less.
    fn notes(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(busy) = self.generator_busy
            && busy > BUSY
        {
            writeln!(
                formatter,
                "note: a thread of the load generator was busy for {:.0} % of the time; \
                 the server may be able to do more\nhint: `--threads {}`, where there are \
                 cores for it",
                busy * 100.0,
                self.options.threads + 1
            )?;
        }
        let behind = self.messages.map_or(0, |messages| messages.unsent);
        if behind > 0 {
            writeln!(
                formatter,
                "note: {} messages were due and could not be sent: the server did not keep \
                 up with the rate\nhint: a lower `--rate`, or more `--connections` or `--depth`",
                grouped(behind)
            )?;
        }
        Ok(())
    }
}

fn head(formatter: &mut Formatter<'_>, options: &Options) -> fmt::Result {
    writeln!(formatter, "{}", options.target)?;
    let seconds = options.duration.as_secs_f64();
    if options.idle {
        return writeln!(
            formatter,
            "{} idle connections, held for {seconds} s\n",
            grouped(u64::from(options.connections))
        );
    }
    let kind = match options.kind {
        MessageKind::Text => "text",
        MessageKind::Binary => "binary",
    };
    let pace = options.rate.map_or_else(
        || "closed loop".to_owned(),
        |rate| format!("{} messages/s", grouped(whole(rate))),
    );
    writeln!(
        formatter,
        "{} connections × {} in flight × {} bytes of {kind}, {pace}, {seconds} s after {} s of \
         warm-up\n",
        grouped(u64::from(options.connections)),
        options.depth,
        grouped(options.message_bytes as u64),
        options.warm_up.as_secs_f64()
    )
}

fn connections(formatter: &mut Formatter<'_>, connections: &Connections) -> fmt::Result {
    let opened = grouped(connections.opened);
    write!(formatter, "{:LABEL$}{opened} opened", "connections")?;
    let others = [
        (connections.failed, "failed"),
        (connections.untried, "not tried"),
        (connections.lost, "lost"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        write!(formatter, ", {} {what}", grouped(count))?;
    }
    writeln!(formatter)
}

fn answered(formatter: &mut Formatter<'_>, messages: &Messages) -> fmt::Result {
    write!(
        formatter,
        "{:LABEL$}{} answered, {}/s, {:.1} MB/s",
        "messages",
        grouped(messages.answered),
        grouped(whole(messages.per_second)),
        messages.megabytes_per_second
    )?;
    let others = [
        (messages.unanswered, "never answered"),
        (messages.unsent, "never sent"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        write!(formatter, ", {} {what}", grouped(count))?;
    }
    writeln!(formatter)
}

fn used(formatter: &mut Formatter<'_>, server: &Server, elapsed: f64) -> fmt::Result {
    if let (Some(cpu), Some(each)) = (server.cpu_seconds, server.cpu_microseconds_per_message) {
        writeln!(
            formatter,
            "{:LABEL$}{each:.2} µs a message, {:.0} % of one core",
            "server CPU",
            100.0 * cpu / elapsed
        )?;
    }
    write!(
        formatter,
        "{:LABEL$}{:.1} MiB before, {:.1} MiB with the connections open",
        "server memory",
        mebibytes(server.resident_bytes_before),
        mebibytes(server.resident_bytes_after)
    )?;
    if let Some(bytes) = server.resident_bytes_per_connection {
        write!(formatter, ", {} bytes for each", grouped(whole(bytes)))?;
    }
    writeln!(formatter)
}

fn columns(latency: &Latency) -> [f64; 6] {
    [
        latency.p50_microseconds,
        latency.p90_microseconds,
        latency.p99_microseconds,
        latency.p99_9_microseconds,
        latency.max_microseconds,
        latency.mean_microseconds,
    ]
}

/// A duration with three digits or so, in the unit that suits it.
fn duration(microseconds: f64) -> String {
    let (number, unit) = match microseconds {
        ..1e3 => (microseconds, "µs"),
        ..1e6 => (microseconds / 1e3, "ms"),
        _ => (microseconds / 1e6, "s"),
    };
    let decimals = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {unit}")
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a negative number shows as 0"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{duration, grouped};

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        let shown = [0.5, 42.0, 999.0, 1_500.0, 250_000.0, 12_000_000.0].map(duration);
        assert_eq!(
            shown,
            [
                "0.50 µs", "42.0 µs", "999 µs", "1.50 ms", "250 ms", "12.0 s"
            ]
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
