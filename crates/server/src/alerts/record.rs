//! Writing an alert down: the audit entry and a message for each target, in one transaction. From then on it survives anything.

use hallpass_core::crypto::Random;
use hallpass_store::outbox::{self, Message};
use hallpass_store::{Store, StoreError, audit};
use serde_json::json;

use super::{Cause, Notice, Targets};

/// The kind of messages that go to the webhook. Their payload is the body.
pub const WEBHOOK: &str = "alert_webhook";
/// The kind of messages that go out by mail. Their payload is `{"to", "subject", "body"}`.
pub const MAIL: &str = "alert_mail";

/// Writes it down. Neither the webhook's address nor the mail server's password is stored: both may be secret, and delivery knows them.
pub async fn record(
    store: &Store,
    targets: &Targets,
    notice: &Notice,
    engine: &str,
    random: &mut impl Random,
) -> Result<(), StoreError> {
    let entry = audit::Entry::from(&notice.entry(random));
    let mut write = store.write().await?;
    audit::append(&mut write, &entry).await?;
    for message in messages(targets, notice, engine) {
        // There already, if another node noticed it in the same minute.
        outbox::add(&mut write, &message).await?;
    }
    write.commit().await.map(|_| ())
}

fn messages(targets: &Targets, notice: &Notice, engine: &str) -> Vec<Message> {
    let message = |target: &str, kind: &str, payload| Message {
        id: format!("{}:{target}", notice.id()),
        kind: kind.to_owned(),
        payload,
        created_at: notice.at,
        due_at: notice.at,
        attempts: 0,
    };
    // That the webhook's address is refused cannot be told by way of the webhook: it would be refused, and so on for ever.
    let webhook = targets.webhook.iter().filter(|_| notice.cause != Cause::OutgoingRefused);
    let webhook = webhook.map(|_| message("webhook", WEBHOOK, notice.json(engine)));
    let recipients = targets.mail.iter().flat_map(|(_, to)| to);
    let mail = recipients.map(|to| {
        let payload = json!({ "to": to.to_string(), "subject": notice.subject(), "body": notice.text(engine) });
        message(to.email.as_ref(), MAIL, payload)
    });
    webhook.chain(mail).collect()
}
