//! Delivering what was written down: claim, send, mark. At least once, for a day, ever less often; then it is a dead letter.
//!
//! A claim is a lease of a minute on the message. A node that dies with a message in its hands loses the lease, and any node sends it again.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event, Word};
use hallpass_core::time::Timestamp;
use hallpass_store::outbox::{self, Message};
use hallpass_store::{StoreError, audit};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::record::{MAIL, WEBHOOK};
use crate::context::Context;
use crate::mail::{Mail, mailbox};
use crate::outgoing::OutgoingError;
use crate::retry;
use crate::telemetry::Delivery;

/// How long a message is ours. Longer than any attempt can take.
const CLAIM: Duration = Duration::from_mins(1);
/// Messages sent at once.
const AT_ONCE: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// After this an alert is of no use to anybody.
const GIVE_UP: Duration = Duration::from_hours(24);

/// Why a message was not taken.
#[derive(Debug, PartialEq, thiserror::Error)]
enum Undelivered {
    /// We would not send it.
    #[error("{0}")]
    Refused(String),
    /// It will be tried again.
    #[error("{0}")]
    Failed(String),
}

/// What a mail message holds.
#[derive(Deserialize)]
struct MailPayload {
    to: String,
    subject: String,
    body: String,
}

/// The job.
pub async fn deliver(context: Arc<Context>) -> Result<(), StoreError> {
    if context.alerts.targets.is_empty() {
        return Ok(());
    }
    let now = context.now();
    let mut write = context.store.write().await?;
    let claimed = outbox::claim(&mut write, now + CLAIM, AT_ONCE, now).await?;
    write.commit().await?;
    let mut attempts = JoinSet::new();
    for message in claimed {
        let context = context.clone();
        attempts.spawn(async move {
            let sent = send(&context, &message).await;
            (message, sent)
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        // A panic in an attempt leaves the message claimed; it comes up again by itself.
        let Ok((message, Some(sent))) = attempt else { continue };
        settle(&context, &message, sent, context.now()).await?;
    }
    Ok(())
}

/// One attempt. `None` for a kind that this version does not know: another one will.
async fn send(context: &Context, message: &Message) -> Option<Result<(), Undelivered>> {
    let nobody = |key: &str| Err(Undelivered::Failed(format!("alerts.{key} is not configured any more")));
    Some(match message.kind.as_str() {
        WEBHOOK => match &context.alerts.targets.webhook {
            None => nobody("webhook"),
            Some((url, client)) => match client.post_json(url, &message.payload).await {
                Ok(answer) if answer.status.is_success() => Ok(()),
                Ok(answer) => Err(Undelivered::Failed(format!("the webhook answered {}", answer.status))),
                Err(OutgoingError::Refused(refusal)) => Err(Undelivered::Refused(refusal.to_string())),
                Err(error @ OutgoingError::Failed(_)) => Err(Undelivered::Failed(error.to_string())),
            },
        },
        MAIL => match &context.alerts.targets.mail {
            None => nobody("smtp_url"),
            Some((mailer, _)) => {
                let broken =
                    |error: &dyn std::fmt::Display| Undelivered::Failed(format!("the message cannot be read: {error}"));
                let read = || {
                    let payload = MailPayload::deserialize(&message.payload).map_err(|error| broken(&error))?;
                    let to = mailbox(&payload.to).map_err(|error| broken(&error))?;
                    Ok((payload, to))
                };
                match read() {
                    Err(error) => Err(error),
                    Ok((MailPayload { subject, body, .. }, to)) => {
                        let mail =
                            Mail { id: &message.id, to: &to, subject: &subject, body: &body, at: message.created_at };
                        mailer.send(mail).await.map_err(|error| Undelivered::Failed(error.to_string()))
                    }
                }
            }
        },
        _ => return None,
    })
}

/// Marks the message, and what a refusal calls for, in one transaction.
async fn settle(
    context: &Context,
    message: &Message,
    sent: Result<(), Undelivered>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Message { id, kind, attempts, .. } = message;
    let mut write = context.store.write().await?;
    let how = match &sent {
        Ok(()) => {
            outbox::done(&mut write, id, now).await?;
            Delivery::Delivered
        }
        Err(error) => {
            if matches!(error, Undelivered::Refused(_)) {
                context.telemetry.outgoing_refused();
                if *attempts == 1 {
                    let entry = Entry::new(Event::OutgoingRequestRefused, Actor::System, now, &mut context.random());
                    let entry = entry.refused("internal_address").with("purpose", &Word(WEBHOOK));
                    audit::append(&mut write, &(&entry).into()).await?;
                }
            }
            let due_at = now + retry::wait(FIRST_WAIT, *attempts, &mut context.random());
            if due_at.since(message.created_at) > GIVE_UP {
                tracing::error!(message = id, kind, attempts, %error, "an alert could not be delivered for a day; it is kept as a dead letter");
                outbox::dead(&mut write, id, now).await?;
                Delivery::Dead
            } else {
                tracing::warn!(message = id, kind, attempts, %error, "an alert could not be delivered; it will be tried again");
                outbox::retry(&mut write, id, due_at).await?;
                Delivery::Failed
            }
        }
    };
    write.commit().await?;
    context.telemetry.delivery(how);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use axum::Router;
    use axum::extract::Json;
    use axum::routing::post;
    use hallpass_core::alert::AlertKind;
    use http::StatusCode;
    use parking_lot::Mutex;

    use super::*;
    use crate::alerts::{Cause, Notice, State};
    use crate::config::AlertConfig;
    use crate::context::Clock;

    struct World {
        context: Arc<Context>,
        clock: Arc<AtomicI64>,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn new(alerts: AlertConfig) -> Self {
            let clock = Arc::new(AtomicI64::new(1_700_000_000_000));
            let (context, folder) = crate::internal::tests::context(alerts, Clock::Fixed(clock.clone())).await;
            Self { context, clock, _folder: folder }
        }

        fn pass(&self, time: Duration) {
            self.clock.fetch_add(i64::try_from(time.as_millis()).expect("short"), Ordering::SeqCst);
        }

        async fn raise(&self, cause: Cause) {
            let app = Some("pos".parse().expect("an app key"));
            let notice = Notice { cause, app, state: State::Raised, at: self.context.now(), count: 12, share: None };
            self.context.alerts.tell(&self.context.telemetry, vec![notice]);
            self.context.alerts.write_down(&self.context).await.expect("written");
        }

        async fn deliver(&self) {
            deliver(self.context.clone()).await.expect("the database answers");
        }

        async fn dead(&self) -> usize {
            outbox::all_dead(&mut self.context.store.read().await.expect("read"), 10).await.expect("read").len()
        }

        async fn audited(&self) -> Vec<String> {
            let mut read = self.context.store.read().await.expect("read");
            let entries = audit::list(&mut read, &audit::Filter::default(), None, 50).await.expect("read");
            entries.into_iter().map(|entry| entry.event).collect()
        }

        fn deliveries(&self) -> [u64; 3] {
            let text = self.context.telemetry.render(&crate::telemetry::Facts::default());
            ["delivered", "failed", "dead"].map(|outcome| {
                let series = format!("hallpass_alert_deliveries_total{{outcome=\"{outcome}\"}} ");
                text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).expect("a number")
            })
        }
    }

    type Heard = Arc<Mutex<Vec<serde_json::Value>>>;

    /// A webhook on loopback that answers with these statuses in turn, the last for ever.
    async fn hook(statuses: &[StatusCode]) -> (AlertConfig, Heard) {
        let heard = Heard::default();
        let (kept, statuses) = (heard.clone(), statuses.to_vec());
        let router = Router::new().route(
            "/hook",
            post(move |Json(body): Json<serde_json::Value>| {
                let mut kept = kept.lock();
                kept.push(body);
                let status = statuses[kept.len().min(statuses.len()) - 1];
                async move { status }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let allow_internal = vec!["127.0.0.1".to_owned().try_into().expect("a network")];
        (
            AlertConfig { webhook: Some(format!("http://{address}/hook")), allow_internal, ..AlertConfig::default() },
            heard,
        )
    }

    const THEFT: Cause = Cause::Pattern(AlertKind::PossibleTheft);

    #[tokio::test]
    async fn an_alert_goes_to_every_target_once() {
        let (mut config, heard) = hook(&[StatusCode::NO_CONTENT]).await;
        let (smtp_url, conversation) = crate::mail::tests::server(false).await;
        config.smtp_url = Some(smtp_url);
        config.mail_from = Some("hallpass@company.com".to_owned());
        config.mail_to = vec!["ops@company.com".to_owned()];
        let world = World::new(config).await;
        world.raise(THEFT).await;
        // Another node notices it in the same minute.
        world.raise(THEFT).await;
        world.deliver().await;
        world.deliver().await;
        let heard = heard.lock().clone();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!(
            (&heard[0]["alert"], &heard[0]["app"], &heard[0]["engine"]),
            (&"possible_theft".into(), &"pos".into(), &"https://auth.company.com".into())
        );
        let mail = conversation.await.expect("a conversation");
        assert!(mail.iter().any(|line| line == "Subject: Hallpass: possible theft of passes at pos"), "{mail:#?}");
        assert_eq!(world.deliveries(), [2, 0, 0]);
        assert_eq!(world.audited().await, ["alert_raised", "alert_raised"], "each node writes down what it saw");
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_later_and_not_before() {
        let (config, heard) = hook(&[StatusCode::BAD_GATEWAY, StatusCode::FOUND, StatusCode::OK]).await;
        let world = World::new(config).await;
        world.raise(THEFT).await;
        let tries = async |expected: usize| {
            world.deliver().await;
            assert_eq!(heard.lock().len(), expected);
        };
        tries(1).await;
        world.pass(Duration::from_millis(7_499));
        tries(1).await;
        world.pass(Duration::from_millis(7_501));
        tries(2).await;
        world.pass(FIRST_WAIT * 2);
        tries(3).await;
        world.pass(GIVE_UP);
        tries(3).await;
        assert_eq!((world.deliveries(), world.dead().await), ([1, 2, 0], 0));
    }

    #[tokio::test]
    async fn after_a_day_it_is_a_dead_letter() {
        let (config, heard) = hook(&[StatusCode::INTERNAL_SERVER_ERROR]).await;
        let world = World::new(config).await;
        world.raise(THEFT).await;
        for _ in 0..200 {
            world.deliver().await;
            world.pass(retry::LONGEST);
        }
        let tried = heard.lock().len();
        assert!((90..=97).contains(&tried), "{tried} attempts in a day");
        assert_eq!(world.deliveries(), [0, tried as u64 - 1, 1]);
        assert_eq!(world.dead().await, 1);
    }

    #[tokio::test]
    async fn a_node_that_dies_with_a_message_in_its_hands_loses_nothing() {
        let (config, heard) = hook(&[StatusCode::OK]).await;
        let world = World::new(config).await;
        world.raise(THEFT).await;
        let now = world.context.now();
        let mut write = world.context.store.write().await.expect("write");
        assert_eq!(outbox::claim(&mut write, now + CLAIM, AT_ONCE, now).await.expect("claimed").len(), 1);
        write.commit().await.expect("committed");
        world.deliver().await;
        assert_eq!(heard.lock().len(), 0, "it is another node's for now");
        world.pass(CLAIM);
        world.deliver().await;
        assert_eq!((heard.lock().len(), world.deliveries()), (1, [1, 0, 0]));
    }

    #[tokio::test]
    async fn an_internal_address_is_refused_audited_and_told_by_mail_only() {
        let (smtp_url, conversation) = crate::mail::tests::server(false).await;
        let world = World::new(AlertConfig {
            webhook: Some("https://localhost:9/hook".to_owned()),
            smtp_url: Some(smtp_url),
            mail_from: Some("hallpass@company.com".to_owned()),
            mail_to: vec!["ops@company.com".to_owned()],
            ..AlertConfig::default()
        })
        .await;
        world.raise(Cause::OutgoingRefused).await;
        world.deliver().await;
        let mail = conversation.await.expect("a conversation");
        assert!(mail.iter().any(|line| line.contains("an outgoing request was refused")), "{mail:#?}");
        assert_eq!((world.deliveries(), world.context.telemetry.totals().outgoing_refused), ([1, 0, 0], 0));

        let notice =
            Notice { cause: THEFT, app: None, state: State::Cleared, at: world.context.now(), count: 0, share: None };
        let mut write = world.context.store.write().await.expect("write");
        let message = Message {
            id: "1".to_owned(),
            kind: WEBHOOK.to_owned(),
            payload: notice.json(""),
            created_at: notice.at,
            due_at: notice.at,
            attempts: 0,
        };
        outbox::add(&mut write, &message).await.expect("added");
        write.commit().await.expect("committed");
        world.deliver().await;
        world.pass(retry::LONGEST);
        world.deliver().await;
        assert_eq!(world.context.telemetry.totals().outgoing_refused, 2);
        let audited = world.audited().await;
        assert_eq!(audited.iter().filter(|event| *event == "outgoing_request_refused").count(), 1, "{audited:?}");
    }
}
