//! Side by side: every contestant in turn, round after round, so that whatever drifts (other tenants, heat, caches) meets all of them.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::clock::ticks;
use crate::load::{self, Load, Measured, Requests, exact};
use crate::process::{MachineSeconds, Server, processor_seconds};

/// How long a run takes, and how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Rounds.
    pub rounds: usize,
    /// Not counted, at the beginning of each run.
    pub ramp: Duration,
    /// Counted.
    pub measured: Duration,
    /// Connections.
    pub connections: usize,
}

/// One of those that are compared.
pub struct Contestant<'a, R> {
    /// What the report calls it.
    pub name: &'static str,
    /// The server.
    pub server: &'a Server,
    /// What it is asked.
    pub requests: Arc<R>,
    /// Lengths of a right answer.
    pub length: RangeInclusive<usize>,
}

/// One run of one contestant.
#[derive(Debug, Clone)]
pub struct Run {
    /// Answers in a second.
    pub rate: f64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// 99th percentile in microseconds.
    pub p99: f64,
    /// Processor time of the server for one answer, in microseconds; the kernel's part of it included.
    pub processor: f64,
    /// The same for what was put off until afterwards: activity written down.
    pub put_off: f64,
    /// The same for the processes of the database, where it has any; what was put off included.
    pub database: f64,
    /// The same for the load generator.
    pub generator: f64,
    /// The share of all cores that was used by neither: a database server, or a disturbance.
    pub others: f64,
    /// The share of all cores that the hypervisor took away meanwhile: a disturbance.
    pub stolen: f64,
    /// Seconds until the server had nothing left to do afterwards; `None` if it had not finished within twenty.
    pub settled: Option<f64>,
}

impl Run {
    /// Answers for each second of processor time that server and database together have spent, also afterwards on what they had put off.
    pub fn per_core(&self) -> f64 {
        1e6 / (self.processor + self.put_off + self.database)
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({ "requests_per_second": self.rate, "p50_us": self.p50, "p99_us": self.p99, "processor_us": self.processor,
                "put_off_us": self.put_off, "database_us": self.database,
            "generator_us": self.generator,
            "others": self.others, "stolen": self.stolen, "settled_s": self.settled })
    }
}

/// One load against one server, with the server's own expense; then waits until the server has caught up with itself.
pub async fn run(server: &Server, load: Load, requests: Arc<impl Requests>) -> Result<(Run, Measured), Failure> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let cores = exact(std::thread::available_parallelism()?.get() as u64);
    let used = || {
        Ok::<_, Failure>((server.processor_seconds()?, processor_seconds("self")?, MachineSeconds::read()?, ticks()))
    };
    let (before, database) = (used()?, server.database.processor_seconds()?);
    let ramp = load.ramp.as_secs_f64();
    let measured = load::run(load, requests).await?.checked()?;
    let after = used()?;
    let (spent, generator, busy) = (after.0 - before.0, after.1 - before.1, after.2.busy - before.2.busy);
    let settled = server.settle(PATIENCE).await?.map(|settled| settled.as_secs_f64());
    let settled_busy = MachineSeconds::read()?.busy - after.2.busy;
    let put_off = server.processor_seconds()? - after.0;
    let database = match (server.database.processor_seconds()?, database) {
        (Some(now), Some(before)) => now - before,
        // A server that others look after: all that the machine did besides.
        _ => (busy - spent - generator + settled_busy - put_off).max(0.0),
    };
    let share = |seconds: f64| (seconds / (after.3 - before.3).as_secs_f64() / cores).max(0.0);
    // The ramp is not counted, but paid for.
    let answers = exact(measured.latencies.total().max(1)) * (measured.seconds + ramp) / measured.seconds;
    let run = Run {
        rate: measured.rate(),
        p50: measured.latencies.quantile_us(500),
        p99: measured.latencies.quantile_us(990),
        processor: spent / answers * 1e6,
        put_off: put_off / answers * 1e6,
        database: database / answers * 1e6,
        generator: generator / answers * 1e6,
        others: share(busy - spent - generator),
        stolen: share(after.2.stolen - before.2.stolen),
        settled,
    };
    Ok((run, measured))
}

/// Runs all contestants `pace.rounds` times, forwards and backwards in turn. Gives each one's runs, in the order of contestants.
pub async fn side_by_side<R: Requests>(
    contestants: &[Contestant<'_, R>],
    pace: Pace,
) -> Result<Vec<Vec<Run>>, Failure> {
    let mut runs = vec![Vec::new(); contestants.len()];
    for round in 0..pace.rounds {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let Contestant { name, server, requests, length } = &contestants[index];
            let load = Load {
                address: server.address,
                connections: pace.connections,
                ramp: pace.ramp,
                measured: pace.measured,
                length: length.clone(),
            };
            let (run, _) = run(server, load, requests.clone()).await.map_err(|error| format!("{name}: {error}"))?;
            runs[index].push(run);
        }
    }
    Ok(runs)
}

/// The middle of `values`; of an even number, between the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// What half of the values lie between.
pub fn middle_half(values: &[f64]) -> [f64; 2] {
    let middle = median(values.iter().copied());
    [
        median(values.iter().copied().filter(|value| *value <= middle)),
        median(values.iter().copied().filter(|value| *value >= middle)),
    ]
}

/// `one / other`, round by round.
pub struct Ratio {
    /// The median.
    pub median: f64,
    /// What half of the rounds lie between.
    pub half: [f64; 2],
}

impl Ratio {
    /// Compares two contestants by one of their figures.
    pub fn of(one: &[Run], other: &[Run], figure: impl Fn(&Run) -> f64) -> Self {
        Self::of_rounds(&one.iter().zip(other).map(|(one, other)| figure(one) / figure(other)).collect::<Vec<_>>())
    }

    /// Of what each round gave.
    pub fn of_rounds(ratios: &[f64]) -> Self {
        Self { median: median(ratios.iter().copied()), half: middle_half(ratios) }
    }

    /// `71 % (69–74)`
    pub fn percent(&self) -> String {
        let [low, high] = self.half.map(|bound| bound * 100.0);
        format!("{:.0} % ({low:.0}–{high:.0})", self.median * 100.0)
    }

    /// `1.40 × (1.20–1.50)`
    pub fn times(&self) -> String {
        let [low, high] = self.half;
        format!("{:.2} × ({low:.2}–{high:.2})", self.median)
    }
}

/// `41,234`
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        let _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_grouping() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
        assert_eq!(middle_half(&[5.0, 1.0, 4.0, 2.0, 3.0]).map(grouped), ["2", "4"]);
        assert_eq!([0.0, 999.0, 1000.0, 1_234_567.4].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
