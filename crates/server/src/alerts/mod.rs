//! Telling somebody when something looks wrong: log, audit log, webhook, mail. Protocol §19; what each alert means is in `docs/alerts`.
//!
//! Every minute the counters are put to the [`watcher`]. What begins or ends is logged at once, then written down in one transaction: an audit
//! entry and a message for each target ([`record`]). Delivery ([`deliver`]) is a job of its own and tries for a day.
//!
//! Several nodes each watch the requests that they answered themselves. A message is named after alert, app and minute, so nodes that notice an
//! incident in the same minute send one message, and one incident is at most one message per node.

mod cause;
mod deliver;
mod record;
mod watcher;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hallpass_core::id::AppKey;
use hallpass_store::{Store, StoreError, apps};
use lettre::message::Mailbox;
use parking_lot::Mutex;
use url::Url;

pub use self::cause::{Cause, Notice, State};
pub use self::deliver::deliver;
use self::watcher::Watcher;
use crate::config::{AlertConfig, ConfigError};
use crate::context::Context;
use crate::internal::registry;
use crate::mail::{Mailer, mailbox};
use crate::outgoing::Outgoing;
use crate::telemetry::Telemetry;

/// How often the counters are looked at.
pub const MINUTE: Duration = Duration::from_mins(1);
/// How often the change feed is looked at.
pub const FEED: Duration = Duration::from_secs(5);
/// How often messages are delivered.
pub const DELIVER: Duration = Duration::from_secs(5);
/// Notices that wait for the database; beyond them only the log has them.
const UNWRITTEN: usize = 1000;

/// Where alerts go, and what is going on.
pub struct Alerts {
    targets: Targets,
    watcher: Mutex<Watcher>,
    unwritten: Mutex<VecDeque<Notice>>,
    /// One writer at a time, so that notices keep their order.
    writing: tokio::sync::Mutex<()>,
}

/// The configured targets, ready for use.
#[derive(Default)]
struct Targets {
    webhook: Option<(Url, Outgoing)>,
    mail: Option<(Mailer, Vec<Mailbox>)>,
}

impl Targets {
    fn new(config: &AlertConfig) -> Result<Self, ConfigError> {
        let wrong = |what: &str, why: &dyn std::fmt::Display| ConfigError::Value(format!("alerts.{what}: {why}"));
        let webhook = match &config.webhook {
            None => None,
            Some(text) => {
                let url: Url = text.parse().map_err(|error| wrong("webhook", &error))?;
                let client = Outgoing::new(&config.allow_internal).map_err(|error| wrong("webhook", &error))?;
                client.check(&url).map_err(|error| wrong("webhook", &error))?;
                Some((url, client))
            }
        };
        let mail = match (&config.smtp_url, &config.mail_from, &config.mail_to[..]) {
            // A mail server alone is no wish for alerts.
            (_, _, []) => None,
            (None, ..) => return Err(wrong("mail_to", &"set smtp_url as well, or nothing can be sent")),
            (Some(_), None, _) => return Err(wrong("mail_from", &"set it to the sender of alert mail")),
            (Some(url), Some(from), to) => {
                let from = mailbox(from).map_err(|error| wrong("mail_from", &error))?;
                let mailer = Mailer::new(url, from).map_err(|error| wrong("smtp_url", &error))?;
                let to: Result<Vec<_>, _> = to.iter().map(|text| mailbox(text)).collect();
                Some((mailer, to.map_err(|error| wrong("mail_to", &error))?))
            }
        };
        Ok(Self { webhook, mail })
    }

    fn is_empty(&self) -> bool {
        self.webhook.is_none() && self.mail.is_none()
    }
}

impl Alerts {
    /// From the configuration; an error says which key is wrong.
    pub fn new(config: &AlertConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            targets: Targets::new(config)?,
            watcher: Mutex::default(),
            unwritten: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// Logs what began or ended, and remembers it until it is written down.
    fn tell(&self, telemetry: &Telemetry, notices: Vec<Notice>) {
        let mut unwritten = self.unwritten.lock();
        for notice in notices {
            notice.log();
            telemetry.alert(notice.cause, notice.app.as_ref(), notice.state == State::Raised);
            if unwritten.len() < UNWRITTEN {
                unwritten.push_back(notice);
            } else {
                tracing::error!(
                    alert = notice.cause.as_str(),
                    "too many alerts wait for the database; this one is in the log only"
                );
            }
        }
    }

    /// Writes down what has been told. What cannot be written stays for the next time.
    async fn write_down(&self, context: &Context) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        loop {
            let Some(notice) = self.unwritten.lock().front().cloned() else { return Ok(()) };
            record::record(&context.store, &self.targets, &notice, context.public_url.as_str(), &mut context.random())
                .await?;
            self.unwritten.lock().pop_front();
        }
    }
}

/// The job that looks at the counters. A call is a minute, whatever the clock says.
pub async fn minute(context: Arc<Context>) -> Result<(), StoreError> {
    if let Some(policy) = registry(&context).await {
        context.telemetry.know(&policy.apps);
    }
    let totals = context.telemetry.totals();
    let strangers = context.alerts.watcher.lock().strangers(&totals);
    let worked = if strangers { secrets_used(&context.store).await? } else { HashSet::new() };
    let notices = context.alerts.watcher.lock().minute(&totals, &worked, context.now());
    context.alerts.tell(&context.telemetry, notices);
    context.alerts.write_down(&context).await
}

/// The job that watches the change feed, and writes down what could not be written while the database was away.
pub async fn feed(context: Arc<Context>) -> Result<(), StoreError> {
    let notice = context.alerts.watcher.lock().feed(context.view.lag(), context.now());
    context.alerts.tell(&context.telemetry, notice.into_iter().collect());
    context.alerts.write_down(&context).await
}

/// Apps that were let in at least once: for them a refusal is news, for others it is somebody setting up a new app.
async fn secrets_used(store: &Store) -> Result<HashSet<AppKey>, StoreError> {
    let secrets = apps::all_secrets(&mut store.read().await?).await?;
    Ok(secrets.into_iter().filter(|secret| secret.last_used_at.is_some()).map(|secret| secret.app).collect())
}

#[cfg(test)]
mod tests {
    use hallpass_store::audit;

    use super::*;
    use crate::context::Clock;
    use crate::telemetry::Facts;

    type Spoil = fn(&mut AlertConfig);

    fn config() -> AlertConfig {
        AlertConfig {
            webhook: Some("https://hooks.company.com/x".to_owned()),
            smtp_url: Some("smtps://u:pa55word@mail.company.com".to_owned()),
            mail_from: Some("Hallpass <hallpass@company.com>".to_owned()),
            mail_to: vec!["ops@company.com".to_owned(), "Night <night@company.com>".to_owned()],
            ..AlertConfig::default()
        }
    }

    #[test]
    fn a_wrong_target_is_found_at_the_start_and_not_in_an_incident() {
        let targets = Targets::new(&config()).expect("fine");
        assert_eq!((targets.webhook.is_some(), targets.mail.map(|(_, to)| to.len())), (true, Some(2)));
        assert!(Targets::new(&AlertConfig::default()).expect("fine").is_empty());
        let spoilt: [(&str, Spoil); 7] = [
            ("webhook", |config| config.webhook = Some("hooks.company.com".to_owned())),
            ("webhook", |config| config.webhook = Some("http://hooks.company.com/x".to_owned())),
            ("webhook", |config| config.webhook = Some("https://169.254.169.254/x".to_owned())),
            ("smtp_url", |config| config.smtp_url = Some("smtp://u:pa55word@mail.company.com".to_owned())),
            ("mail_to", |config| config.smtp_url = None),
            ("mail_from", |config| config.mail_from = None),
            ("mail_to", |config| config.mail_to.push("ops at company.com".to_owned())),
        ];
        for (key, spoil) in spoilt {
            let mut config = config();
            spoil(&mut config);
            let error = Targets::new(&config).err().expect(key).to_string();
            assert!(error.starts_with(&format!("alerts.{key}: ")) && !error.contains("pa55word"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_happens_in_a_minute_is_logged_audited_and_shown() {
        let (context, _folder) = crate::internal::tests::context(AlertConfig::default(), Clock::System).await;
        minute(context.clone()).await.expect("a quiet minute");
        context.telemetry.panicked();
        minute(context.clone()).await.expect("a minute");
        feed(context.clone()).await.expect("the feed is well");
        let text = context.telemetry.render(&Facts::default());
        assert!(text.contains("hallpass_alert_active{alert=\"panics\",app=\"\"} 1\n"), "{text}");
        let mut read = context.store.read().await.expect("read");
        let entries = audit::list(&mut read, &audit::Filter::default(), None, 10).await.expect("read");
        assert_eq!(
            entries.iter().map(|entry| (entry.event.as_str(), &entry.details["alert"])).collect::<Vec<_>>(),
            [("alert_raised", &"panics".into())]
        );
    }

    #[tokio::test]
    async fn an_alert_that_cannot_be_written_down_waits() {
        let (context, _folder) = crate::internal::tests::context(AlertConfig::default(), Clock::System).await;
        context.telemetry.panicked();
        context.store.close().await;
        minute(context.clone()).await.expect_err("the database is away");
        feed(context.clone()).await.expect_err("still");
        assert_eq!(context.alerts.unwritten.lock().len(), 1);
    }
}
