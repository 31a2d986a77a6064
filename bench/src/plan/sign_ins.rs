//! Sign-ins beside Argon2id alone, and introspection while people sign in.

use std::time::Duration;

use serde_json::json;

use super::{Bench, LONGEST, Warm};
use crate::Failure;
use crate::contest::{Ratio, grouped, median};
use crate::load::Load;
use crate::passes::Introspections;
use crate::sign_in;

/// People who sign in at a time.
const CONNECTIONS: usize = 16;

impl Bench<'_> {
    /// Sign-ins against Argon2id alone, then introspection without and with a flood of sign-ins.
    pub(super) async fn sign_ins(&mut self, warm: &mut Warm) -> Result<(), Failure> {
        self.against_hashing(warm).await?;
        self.in_a_flood(warm).await
    }

    async fn against_hashing(&mut self, warm: &Warm) -> Result<(), Failure> {
        let (ramp, measured, rounds) = self.plan.sign_ins;
        let (address, people) = (warm.server.address, warm.sessions);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut alone, mut whole) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // In turns first: a machine that becomes slower meanwhile, shared or warm, then speaks for neither.
            let alone_first = round % 2 == 0;
            if alone_first {
                alone.push(sign_in::argon2_alone(threads, (ramp, measured)).await?);
            }
            whole.push(sign_in::rate(address, CONNECTIONS, people, (ramp, measured)).await?);
            warm.server.settle(Duration::from_secs(10)).await?;
            if !alone_first {
                alone.push(sign_in::argon2_alone(threads, (ramp, measured)).await?);
            }
        }
        let share = Ratio::of_rounds(&whole.iter().zip(&alone).map(|(whole, alone)| whole / alone).collect::<Vec<_>>());
        let [ours, most] = [&whole, &alone].map(|rates| median(rates.iter().copied()));
        let figures = format!("{}; {ours:.1} of {most:.1} per second", share.percent());
        self.report.check(
            &self.what("sign-ins per second against Argon2id alone"),
            "≥ 85 %",
            &figures,
            share.median >= 0.85,
        );
        self.keep("sign_ins", json!({ "per_second": whole, "argon2id_alone_per_second": alone }));
        Ok(())
    }

    async fn in_a_flood(&mut self, warm: &mut Warm) -> Result<(), Failure> {
        let (ramp, measured, rounds) = self.plan.flood;
        let (address, people) = (warm.server.address, warm.sessions);
        self.refresh(warm).await?;
        let requests = Introspections::random(&warm.authorization, &warm.passes);
        let mut figures = [const { [const { Vec::new() }; 2] }; 2];
        let mut rows = Vec::new();
        for round in 0..rounds {
            // In turns first, as above.
            for flooded in [round % 2 == 1, round % 2 == 0] {
                let count = sign_in::Count::default();
                let crew = flooded.then(|| sign_in::flood(address, CONNECTIONS, people, &count));
                let (every, pace) = (Duration::from_millis(4), (ramp, measured));
                let steady = sign_in::steady(address, &requests, warm.sessions, 8, every, pace).await?;
                let load =
                    Load { address, connections: self.plan.pace.connections, ramp, measured, length: 300..=LONGEST };
                let full = crate::load::run(load, requests.clone()).await?.checked()?;
                if let Some(crew) = crew {
                    crew.stop().await?;
                }
                warm.server.settle(Duration::from_secs(10)).await?;
                for (kind, latencies, rate) in [(0, &steady, 0.0), (1, &full.latencies, full.rate())] {
                    figures[kind][usize::from(flooded)].push(latencies.quantile_us(990));
                    let load = if kind == 0 {
                        "2,000/s in all".to_owned()
                    } else {
                        format!("as many as possible: {}/s", grouped(rate))
                    };
                    let flood = if flooded { "flood" } else { "quiet" };
                    rows.push(vec![
                        flood.to_owned(),
                        load,
                        (round + 1).to_string(),
                        grouped(latencies.quantile_us(500)),
                        grouped(latencies.quantile_us(990)),
                    ]);
                }
            }
        }
        let compared = |kind: usize| {
            let [quiet, flooded] = &figures[kind];
            let rounds: Vec<f64> = flooded.iter().zip(quiet).map(|(flooded, quiet)| flooded / quiet).collect();
            let ratio = Ratio::of_rounds(&rounds);
            let [quiet, flooded] = [quiet, flooded].map(|values| grouped(median(values.iter().copied())));
            (ratio.median, format!("{}; {quiet} → {flooded} µs", ratio.times()))
        };
        let what = self.what("p99 of introspection during a flood of sign-ins");
        let ((_, light), (ratio, full)) = (compared(0), compared(1));
        self.report.check(&what, "≤ 2 ×", &full, ratio <= 2.0);
        // Without other load the quiet figure is that of an empty machine, which no flood that takes all processors can come near.
        self.report.tell(&format!("{what}, at 2,000 requests per second"), &light);
        let note = "The flood is 16 people who sign in at a time, without pause: page, form, redirect.";
        self.report.table(
            format!("Introspection during sign-ins: {}", self.kind.name()),
            note,
            vec!["Sign-ins", "Introspection", "Round", "p50 µs", "p99 µs"],
            rows,
        );
        let [steady, full] = &figures;
        let pair = |[quiet, flooded]: &[Vec<f64>; 2]| json!({ "quiet_p99_us": quiet, "flood_p99_us": flooded });
        self.keep("flood", json!({ "steady": pair(steady), "full": pair(full) }));
        Ok(())
    }
}
