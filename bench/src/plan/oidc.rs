//! The token endpoint beside npm `oidc-provider`: codes exchanged, tokens refreshed.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::oidc::IdTokenAlgorithm;
use serde_json::json;

use super::Bench;
use super::introspection::all;
use crate::Failure;
use crate::contest::{self, Ratio, Run, grouped, median};
use crate::database::Kind;
use crate::handoff;
use crate::installation::{HOME, Installation};
use crate::load::Load;
use crate::oidc::{self, Client, Grants, Side};
use crate::process::{self, Server};

/// On each side. Fewer would be unfair to `oidc-provider`, which goes through all that came of one person's sign-in, and to us: whoever asks for a code
/// every second is taken for a browser that goes round in circles.
const PEOPLE: usize = 1_000;

/// One of the two.
struct Contestant<'a> {
    name: &'static str,
    server: &'a Server,
    side: Side,
    /// By algorithm, in the order of [`IdTokenAlgorithm::ALL`].
    clients: [Client; 2],
}

impl Bench<'_> {
    /// On an installation of their own.
    pub(super) async fn tokens(&mut self, installation: &mut Installation) -> Result<(), Failure> {
        installation.grow(PEOPLE).await?;
        installation.give_passwords().await?;
        let [rs256, eddsa] = IdTokenAlgorithm::ALL;
        let clients =
            [installation.client("bench-rs256", rs256).await?, installation.client("bench-eddsa", eddsa).await?];
        let server = installation.start().await?;
        let node = process::oidc_provider(oidc::SECRET, &self.folder.join("oidc-provider.log")).await?;
        let address = server.address;
        let people = tokio::task::spawn_blocking(move || handoff::sessions(address, PEOPLE)).await??;
        let (host, authorize, token) = (HOME.to_owned(), "/oauth/authorize", "/oauth/token");
        let side = Side { address, host, authorize, token, people: Arc::new(people) };
        let ours = Contestant { name: "Hallpass", server: &server, side, clients };

        let clients = ["bench-rs256", "bench-eddsa"].map(|id| Client::new(id, oidc::SECRET));
        let (address, client) = (node.address, clients[0].clone());
        let signing_in = move || oidc::people_of_oidc_provider(address, &client, PEOPLE);
        let people = tokio::task::spawn_blocking(signing_in).await??;
        let (host, authorize, token) = (address.to_string(), "/auth", "/token");
        let side = Side { address, host, authorize, token, people: Arc::new(people) };
        let theirs = Contestant { name: "oidc-provider", server: &node, side, clients };

        let rounds = self.plan.oidc.2;
        for (algorithm, rounds) in IdTokenAlgorithm::ALL.into_iter().zip(rounds) {
            let mut runs: [[Vec<Run>; 2]; 2] = Default::default();
            for round in 0..rounds {
                let mut order = [(0, &theirs), (1, &ours)];
                if round % 2 == 1 {
                    order.reverse();
                }
                for (index, contestant) in order {
                    let both = self.exchange_and_refresh(contestant, algorithm).await;
                    let both = both.map_err(|error| format!("{}: {error}", contestant.name))?;
                    both.into_iter().zip(&mut runs).for_each(|(run, runs)| runs[index].push(run));
                }
            }
            for (what, runs) in ["code exchange", "refresh"].into_iter().zip(&runs) {
                self.compare_tokens(what, algorithm, runs);
            }
        }
        node.kill().await?;
        server.stop().await
    }

    async fn exchange_and_refresh(
        &self,
        contestant: &Contestant<'_>,
        algorithm: IdTokenAlgorithm,
    ) -> Result<[Run; 2], Failure> {
        let (count, measured, _) = self.plan.oidc;
        let Contestant { server, side, clients, .. } = contestant;
        let client = &clients[usize::from(algorithm != IdTokenAlgorithm::ALL[0])];
        let codes = side.codes(client, count).await?;
        let load = |measured| Load {
            address: side.address,
            connections: self.plan.pace.connections,
            ramp: Duration::ZERO,
            measured,
            length: 500..=3000,
        };
        let exchanges = Grants::exchanges(side, client, codes);
        // It ends when there are no more codes.
        let (exchanged, _) = contest::run(server, load(Duration::from_secs(40)), exchanges.clone()).await?;
        let refreshes = Grants::refreshes(side, client, exchanges.brought());
        let (refreshed, _) = contest::run(server, load(measured), refreshes).await?;
        Ok([exchanged, refreshed])
    }

    fn compare_tokens(&mut self, grant: &str, algorithm: IdTokenAlgorithm, [theirs, ours]: &[Vec<Run>; 2]) {
        let algorithm = algorithm.as_str();
        let per_core = Ratio::of(ours, theirs, Run::per_core);
        let rate = Ratio::of(ours, theirs, |run| run.rate);
        let figures = |ratio: &Ratio, figure: fn(&Run) -> f64| {
            let [ours, theirs] = [ours, theirs].map(|runs| grouped(median(runs.iter().map(figure))));
            format!("{} ({ours} against {theirs})", ratio.times())
        };
        let what = self.what(&format!("{grant}, {algorithm}, against oidc-provider in memory"));
        let measured = figures(&per_core, Run::per_core);
        // The target is for SQLite with durable writes; it is held against both algorithms, so that neither hides what the other takes.
        if self.kind == Kind::Sqlite {
            self.report.check(&format!("{what}: per core"), "≥ 3 ×", &measured, per_core.median >= 3.0);
        } else {
            self.report.tell(&format!("{what}: per core"), &measured);
        }
        self.report.tell(&format!("{what}: requests per second"), &figures(&rate, |run| run.rate));
        let mut rows = Vec::new();
        for (name, runs) in [("oidc-provider", theirs), ("Hallpass", ours)] {
            for (round, run) in runs.iter().enumerate() {
                rows.push(vec![
                    name.to_owned(),
                    (round + 1).to_string(),
                    grouped(run.per_core()),
                    grouped(run.rate),
                    grouped(run.p50),
                    grouped(run.p99),
                    grouped(run.processor + run.put_off),
                    grouped(run.database),
                    grouped(run.generator),
                    format!("{:.0} %", run.others * 100.0),
                    format!("{:.0} %", run.stolen * 100.0),
                ]);
            }
        }
        let header = vec![
            "",
            "Round",
            "Per core",
            "Requests/s",
            "p50 µs",
            "p99 µs",
            "Server µs/request",
            "Database µs/request",
            "Generator µs/request",
            "Cores used by others",
            "Taken away",
        ];
        self.report.table(format!("Tokens: {}, {grant}, {algorithm}", self.kind.name()), "", header, rows);
        let key = format!("{}_{algorithm}", grant.replace(' ', "_")).to_lowercase();
        self.keep(&key, json!({ "oidc_provider": all(theirs), "hallpass": all(ours) }));
    }
}
