//! What a pass costs that the server has not seen before.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::keyring::{Keyring, Purpose};
use hallpass_core::pass;
use serde_json::json;

use super::introspection::all;
use super::{Bench, LONGEST, Warm};
use crate::Failure;
use crate::clock::now;
use crate::contest::{self, Run, grouped, median, middle_half};
use crate::installation::HOME;
use crate::load::{Load, exact};
use crate::passes::{Introspections, Pairs, Passes};
use crate::process::thread_nanoseconds;

impl Bench<'_> {
    /// The same sessions by new passes, then by the same passes again; the sessions themselves are known in both. Beside it, what a request costs
    /// more that checks one signature more and is the same in all else: a known pass and one whose signature is wrong, against a known pass and one
    /// whose signature is too short to be checked. Each request is about two passes, so that all of them answer one and refuse one: a check drives
    /// much of what an answer needs out of the processor's caches, which is a part of what it costs.
    pub(super) async fn never_seen(&mut self, warm: &Warm) -> Result<(), Failure> {
        let (size, slices) = self.plan.slices;
        let slices = slices.min(warm.sessions / size);
        let (mut new, mut known, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        let (mut signature, mut verification) = (Vec::new(), Vec::new());
        let address = warm.server.address;
        let load = |length| Load {
            address,
            connections: self.plan.pace.connections,
            ramp: Duration::ZERO,
            measured: Duration::from_mins(2),
            length,
        };
        let fresh = Arc::new(Passes::mint(&warm.keyring, warm.sessions)?);
        let wrongly_signed = Arc::new(fresh.with_wrong_signatures());
        let unchecked = Arc::new(fresh.with_short_signatures());
        for slice in 0..slices {
            let (from, end) = (slice * size, (slice + 1) * size);
            // So that nobody has to be written down as active while new passes are compared with known ones.
            let ask = Introspections::each(&warm.authorization, &warm.passes, from, end);
            contest::run(&warm.server, load(0..=usize::MAX), ask).await?;
            let mut three = [(&mut new, &unchecked), (&mut known, &unchecked), (&mut wrong, &wrongly_signed)];
            // A pass is new only once, so that comes first; the other two take turns.
            three[1..].rotate_left(slice % 2);
            for (runs, refused) in three {
                let ask = Pairs::each(&warm.authorization, [refused, &fresh], from, end);
                runs.push(contest::run(&warm.server, load(300..=LONGEST), ask).await?.0);
            }
            let (one, all) = verification_us(&warm.keyring, &fresh, size)?;
            signature.push(one);
            verification.push(all);
        }
        let differences = |one: &[Run], other: &[Run]| -> Vec<f64> {
            one.iter().zip(other).map(|(one, other)| one.processor - other.processor).collect()
        };
        let (more, checks) = (differences(&new, &known), differences(&wrong, &known));
        let [low, high] = middle_half(&more);
        let (more, check) = (median(more), median(checks));
        let (signature, verification) = (median(signature), median(verification));
        // `/proc` counts in hundredths of a second.
        let resolution = 2.0 * 1e4 / exact(size as u64);
        let error = ((high - low) / 2.0).max(resolution).min(check / 10.0);
        let measured = format!("{more:.1} µs more; one check takes {check:.1} µs, measured to ± {error:.1} µs");
        let what = self.what("a pass never seen before, processor time");
        self.report.check(&what, "≤ one signature check more", &measured, more <= check + error);
        let row = |name: &str, runs: &[Run]| {
            let figure = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
            vec![
                name.to_owned(),
                grouped(figure(|run| run.rate)),
                grouped(figure(|run| run.p50)),
                grouped(figure(|run| run.p99)),
                format!("{:.1}", figure(|run| run.processor)),
            ]
        };
        let rows = vec![
            row("never seen", &new),
            row("seen before", &known),
            row("seen before, and one signature more to check", &wrong),
        ];
        let note = format!(
            "Medians of {slices} slices of {} passes of known sessions, each asked about together with one that is refused: its signature is too short to be checked, or, in the last row, wrong. One check is the difference of the last two rows; in a loop of its own, with warm caches, an Ed25519 verification takes {signature:.1} µs, all of reading and checking a pass {verification:.1} µs.",
            grouped(exact(size as u64))
        );
        self.report.table(
            format!("New passes: {}", self.kind.name()),
            &note,
            vec!["Pass", "Requests/s", "p50 µs", "p99 µs", "Processor µs/request"],
            rows,
        );
        self.keep("never_seen", json!({ "new": all(&new), "known": all(&known), "checks_one_more": all(&wrong), "signature_us": signature, "verification_us": verification }));
        Ok(())
    }
}

/// One signature check, and all of reading and checking a pass, in microseconds on this one thread.
fn verification_us(keyring: &Keyring, passes: &Passes, count: usize) -> Result<(f64, f64), Failure> {
    let (issuer, zone) = (format!("https://{HOME}"), "home".parse()?);
    let count = count.min(5_000).min(passes.len());
    let texts: Vec<&str> =
        (0..count).map(|number| std::str::from_utf8(passes.text(number))).collect::<Result<_, _>>()?;
    let began = thread_nanoseconds()?;
    for text in &texts {
        pass::verify_signature(text, keyring, &issuer, &zone, now())
            .map_err(|refused| format!("a pass of our own was refused: {refused:?}"))?;
    }
    let whole = thread_nanoseconds()? - began;
    let key = keyring.keys().iter().find(|key| key.purpose == Purpose::Pass).ok_or("no key")?;
    let signatures: Vec<Vec<u8>> = texts.iter().map(|text| key.private.sign(text.as_bytes())).collect();
    let began = thread_nanoseconds()?;
    for (text, signature) in texts.iter().zip(&signatures) {
        if !key.private.verify(text.as_bytes(), signature) {
            return Err("a signature of our own was refused".into());
        }
    }
    let signature = thread_nanoseconds()? - began;
    let each = |nanoseconds| exact(nanoseconds) / 1e3 / exact(count as u64);
    Ok((each(signature), each(whole)))
}
