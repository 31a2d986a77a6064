//! Introspection of known sessions by known passes, beside a bare hyper server.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, LONGEST, PASS_GOOD_FOR, Warm};
use crate::Failure;
use crate::clock::now;
use crate::contest::{self, Contestant, Pace, Ratio, Run, grouped, median};
use crate::database::Direct;
use crate::http1::Connection;
use crate::load::exact;
use crate::passes::Introspections;
use crate::process::Server;

/// How often a session in use is written down as active.
const ONCE_IN: Duration = Duration::from_mins(5);

impl Bench<'_> {
    /// A real answer, for the bare server to repeat: same headers, same size.
    pub(super) fn answer_of(&self, warm: &Warm) -> Result<PathBuf, Failure> {
        let request = Introspections::random(&warm.authorization, &warm.passes).about(1);
        let answer = Connection::open(warm.server.address)?.exchange(&request)?;
        if answer.status != 200 || !answer.body.starts_with("{\"active\":true") || answer.body.len() > LONGEST {
            return Err(format!("introspection was answered {}{}", answer.head, answer.body).into());
        }
        // hyper adds these two itself.
        let own = |line: &&str| !["content-length:", "date:"].iter().any(|name| line.starts_with(name));
        let head: Vec<&str> = answer.head.trim_end().lines().skip(1).filter(own).collect();
        let file = self.folder.join("answer");
        std::fs::write(&file, format!("{}\r\n\r\n{}", head.join("\r\n"), answer.body))?;
        Ok(file)
    }

    /// The bare server and these, side by side; the bare one's runs come first.
    pub(super) async fn introspection(
        &self,
        bare: &Server,
        warm: &[&Warm],
        rounds: usize,
    ) -> Result<Vec<Vec<Run>>, Failure> {
        let mut contestants = vec![Contestant {
            name: "bare hyper",
            server: bare,
            requests: Introspections::random(&warm[0].authorization, &warm[0].passes),
            length: 300..=LONGEST,
        }];
        for warm in warm {
            let requests = Introspections::random(&warm.authorization, &warm.passes);
            contestants.push(Contestant { name: "hallpass", server: &warm.server, requests, length: 300..=LONGEST });
        }
        let runs = contest::side_by_side(&contestants, Pace { rounds, ..self.plan.pace }).await?;
        let oldest = warm.iter().map(|warm| now().since(warm.passes.minted_at)).max().unwrap_or_default();
        if oldest > PASS_GOOD_FOR {
            return Err("the passes grew older than five minutes: this machine is too slow, or too busy, for this many sessions".into());
        }
        Ok(runs)
    }

    /// The same for so many sessions of the first of these that one run cannot ask about all of them.
    ///
    /// Each is written down as active once in five minutes, and falls due while others are measured, too. If a million were asked about
    /// without end, by 35,000 requests a second, each would be asked about every 29 seconds and one request in ten would find it due;
    /// by the same reckoning it was one in four when all rounds came after one warming-up. So the rounds come in halves, and before each
    /// all are asked about, and left alone for so long that on average 29 seconds lie between. What came of it is in the report.
    pub(super) async fn introspection_in_use(
        &mut self,
        bare: &Server,
        warm: &[&Warm],
    ) -> Result<Vec<Vec<Run>>, Failure> {
        const HALVES: usize = 2;
        const APART: Duration = Duration::from_secs(7);
        let (Pace { rounds, ramp, measured, .. }, most) = (self.plan.pace, warm[0]);
        let mut runs = vec![Vec::new(); warm.len() + 1];
        let mut written = 0;
        for _ in 0..HALVES {
            self.ask(most, "all asked about again").await?;
            tokio::time::sleep(APART).await;
            let began = now();
            for (all, more) in runs.iter_mut().zip(self.introspection(bare, warm, rounds / HALVES).await?) {
                all.extend(more);
            }
            let mut direct = Direct::open(&most.url).await?;
            written += direct.active_since(began).await?;
            direct.close().await?;
        }
        let rate = exact(written) / ((ramp + measured) * u32::try_from(runs[1].len())?).as_secs_f64();
        let count = exact(most.sessions as u64);
        let what = self.what(&format!("introspection, {} sessions: written down as active per second", grouped(count)));
        let all = grouped(count / ONCE_IN.as_secs_f64());
        self.report.tell(&what, &format!("{}; {all} would be if all were in use without end", grouped(rate)));
        self.keep("written_down_per_second", json!(rate));
        Ok(runs)
    }

    pub(super) fn compare(&mut self, sessions: usize, bare: &[Run], hallpass: &[Run]) {
        let count = grouped(exact(sessions as u64));
        let rate = Ratio::of(hallpass, bare, |run| run.rate);
        let tail = Ratio::of(hallpass, bare, |run| run.p99);
        let what = self.what(&format!("introspection, {count} sessions"));
        self.report.check(
            &format!("{what}: requests per second against bare hyper"),
            "≥ 65 %",
            &rate.percent(),
            rate.median >= 0.65,
        );
        self.report.check(&format!("{what}: p99 against bare hyper"), "≤ 3 ×", &tail.times(), tail.median <= 3.0);
        let mut rows = Vec::new();
        for (name, runs) in [("bare hyper", bare), ("Hallpass", hallpass)] {
            for (round, run) in runs.iter().enumerate() {
                let settled = run.settled.map_or("> 20 s".to_owned(), |settled| format!("{settled:.1} s"));
                rows.push(vec![
                    name.to_owned(),
                    (round + 1).to_string(),
                    grouped(run.rate),
                    grouped(run.p50),
                    grouped(run.p99),
                    format!("{:.1}", run.processor),
                    format!("{:.1}", run.put_off),
                    settled,
                    format!("{:.1}", run.generator),
                    format!("{:.0} %", run.others * 100.0),
                    format!("{:.0} %", run.stolen * 100.0),
                ]);
            }
        }
        let header = vec![
            "",
            "Round",
            "Requests/s",
            "p50 µs",
            "p99 µs",
            "Processor µs/request",
            "Put off µs/request",
            "Done after",
            "Generator µs/request",
            "Cores used by others",
            "Taken away",
        ];
        // While the bare server is asked nobody else has anything to do: what is used then is somebody else's.
        self.report.disturbed(median(bare.iter().map(|run| run.others + run.stolen)));
        let note = format!(
            "Requests per second {}, p50 {}, p99 {}, processor time of the server per request {} of bare hyper's.",
            rate.percent(),
            Ratio::of(hallpass, bare, |run| run.p50).times(),
            tail.times(),
            Ratio::of(hallpass, bare, |run| run.processor).times()
        );
        self.report.table(format!("Introspection: {}, {count} sessions", self.kind.name()), &note, header, rows);
        self.keep(&format!("introspection_{sessions}"), json!({ "bare": all(bare), "hallpass": all(hallpass) }));
    }

    /// Runs of three: bare, most sessions, few sessions.
    pub(super) fn compare_sizes(&mut self, runs: &[Vec<Run>]) {
        let ratio = Ratio::of(&runs[1], &runs[2], |run| run.rate);
        let [few, _, most] = self.plan.sizes.map(|size| grouped(exact(size as u64)));
        let what = self.what(&format!("requests per second with {most} sessions against {few}"));
        self.report.check(&what, "≥ 80 %", &ratio.percent(), ratio.median >= 0.8);
        self.keep("sizes", json!({ "most": all(&runs[1]), "few": all(&runs[2]) }));
    }
}

/// Runs as JSON.
pub(super) fn all(runs: &[Run]) -> Vec<Value> {
    runs.iter().map(Run::json).collect()
}
