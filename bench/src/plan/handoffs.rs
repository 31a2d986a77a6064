//! Handoffs to other root domains, and telling apps of sign-outs beside apps that do not answer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::Bench;
use crate::Failure;
use crate::contest::grouped;
use crate::handoff::{self, HOPS};
use crate::http1::Connection;
use crate::installation::Installation;
use crate::process::Server;
use crate::sign_out;

/// Handoffs in a second.
const RATE: u32 = 50;
/// More would be taken for a loop: a session may be handed to one zone ten times in half a minute.
const PEOPLE: usize = 300;
/// Sign-outs in a second.
const SIGN_OUTS: u32 = 20;

impl Bench<'_> {
    /// Both, on an installation of their own.
    pub(super) async fn handoffs(&mut self, installation: &mut Installation) -> Result<(), Failure> {
        let (seconds, slow) = self.plan.handoffs;
        installation.grow(PEOPLE + slow + 400).await?;
        installation.give_passwords().await?;
        let server = installation.start().await?;
        self.hops(&server, installation, seconds).await?;
        self.deliveries(&server, installation, slow).await?;
        server.stop().await
    }

    async fn hops(&mut self, server: &Server, installation: &Installation, seconds: u64) -> Result<(), Failure> {
        let address = server.address;
        let sessions = tokio::task::spawn_blocking(move || handoff::sessions(address, PEOPLE)).await??;
        server.settle(Duration::from_secs(10)).await?;
        let authorization = installation.agent_authorization.clone();
        let measured = Duration::from_secs(seconds);
        let hops = handoff::steady(address, Arc::new(sessions), authorization, RATE, measured).await?;
        let worst = hops.iter().map(|hop| hop.quantile_us(950)).fold(0.0, f64::max);
        let figures = format!("{:.1} ms, the slowest hop's p95", worst / 1000.0);
        let what = format!("a hop of a handoff, p95 at {RATE} handoffs per second");
        self.report.check(&self.what(&what), "≤ 30 ms", &figures, worst <= 30_000.0);
        let row = |(name, hop): (&str, &crate::histogram::Histogram)| {
            let quantiles = [500, 950, 990].map(|quantile| grouped(hop.quantile_us(quantile)));
            [vec![name.to_owned(), hop.total().to_string()], quantiles.into()].concat()
        };
        self.report.table(
            format!("Handoffs: {}", self.kind.name()),
            "",
            vec!["Hop", "Count", "p50 µs", "p95 µs", "p99 µs"],
            HOPS.into_iter().zip(&hops).map(row).collect(),
        );
        self.keep("handoffs", json!({ "p95_us": hops.each_ref().map(|hop| hop.quantile_us(950)) }));
        Ok(())
    }

    async fn deliveries(&mut self, server: &Server, installation: &Installation, slow: usize) -> Result<(), Failure> {
        const EACH: usize = 100;
        let first = PEOPLE;
        let (fast_address, received) = sign_out::fast()?;
        let (slow_address, held) = sign_out::slow()?;
        installation.receiver("fast", &format!("http://{fast_address}/"), first..first + 2 * EACH).await?;
        let kept_waiting = first + 2 * EACH..first + 2 * EACH + slow;
        installation.receiver("slow", &format!("http://{slow_address}/"), kept_waiting.clone()).await?;
        // The server hears of the new apps within a poll.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ended = async |sessions: std::ops::Range<usize>| {
            let (address, authorization, received) =
                (server.address, installation.authorization.clone(), received.clone());
            tokio::task::spawn_blocking(move || {
                sign_out::ended(address, &authorization, sessions, SIGN_OUTS, &received)
            })
            .await?
        };
        let alone = ended(first..first + EACH).await?;
        let (address, authorization) = (server.address, installation.authorization.clone());
        tokio::task::spawn_blocking(move || {
            let mut connection = Connection::open(address)?;
            kept_waiting.clone().try_for_each(|number| sign_out::end(&mut connection, &authorization, number))
        })
        .await??;
        let beside = ended(first + EACH..first + 2 * EACH).await?;
        let taken = held.lock().unwrap_or_else(PoisonError::into_inner).len();
        if taken == 0 {
            return Err("the slow receiver was never called: nothing was measured".into());
        }
        let [alone, beside] = [alone, beside].map(|latencies| latencies.quantile_us(950) / 1000.0);
        let ratio = beside / alone;
        let what = format!(
            "telling an app of a sign-out, p95, beside {} deliveries to one that does not answer",
            grouped(crate::load::exact(slow as u64))
        );
        let figures = format!("{ratio:.2} × ({alone:.0} → {beside:.0} ms)");
        self.report.check(&self.what(&what), "≤ 1.5 ×", &figures, ratio <= 1.5);
        self.keep("sign_outs", json!({ "alone_p95_ms": alone, "beside_slow_p95_ms": beside }));
        Ok(())
    }
}
