//! `hallpass session`: who is signed in where, and ending that.

use clap::Subcommand;
use hallpass_core::id::SessionId;
use hallpass_server::admin::{ago, sessions as verbs, users as user_verbs};
use hallpass_server::sign_out::receipt::receipt;
use hallpass_store::{Store, logouts, sessions};
use serde_json::json;

use crate::print::{Listing, counted, done, instant};
use crate::shell::{ACTOR, Failure, Shell};
use crate::which::Which;

/// What can be done with sessions.
#[derive(Subcommand)]
pub enum Verb {
    /// List a user's live sessions, the last used first
    List(Which),
    /// End one session
    End {
        /// Its id, as `session list` shows it
        session: SessionId,
    },
    /// End every session of a user
    EndAll(Which),
    /// Show which apps know that a session has ended
    Receipt {
        /// Its id, as the audit log and `session list` show it
        session: SessionId,
    },
}

/// Runs it.
pub async fn run(verb: Verb, shell: &Shell) -> Result<(), Failure> {
    match verb {
        Verb::List(which) => shell.with_store(async |store| list(store, &which, shell).await).await,
        Verb::End { session } => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    let ended = verbs::end(&mut write, &session, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let sentence = if ended { "The session is ended." } else { "The session had ended already." };
                    Ok(done(shell.json, sentence, &json!({ "changed": ended }))?)
                })
                .await
        }
        Verb::Receipt { session } => {
            shell
                .with_store(async |store| {
                    let mut listing = Listing::new(shell.json, &["APP", "STATE", "ADDRESS", "TRIED"]);
                    let mut read = store.snapshot().await?;
                    let logouts = logouts::of_session(&mut read, &session).await?;
                    for (app, told) in receipt(&mut read, &session).await? {
                        let tried = logouts.iter().filter(|logout| logout.app == app);
                        let urls: Vec<_> = tried.clone().map(|logout| logout.url.as_str()).collect();
                        let attempts = tried.map(|logout| logout.attempts).max();
                        let cells = [
                            app.to_string(),
                            told.as_str().to_owned(),
                            if urls.is_empty() { "asks us".to_owned() } else { urls.join(" ") },
                            attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string()),
                        ];
                        let object = json!({ "app": app, "state": told.as_str(), "urls": urls, "attempts": attempts });
                        listing.row(&cells, &object)?;
                    }
                    Ok(listing.end("No app has learned of that session.")?)
                })
                .await
        }
        Verb::EndAll(which) => {
            shell
                .with_store(async |store| {
                    let mut write = store.write().await?;
                    let user = which.find(&mut write).await?;
                    let ended = verbs::end_all(&mut write, &user, &ACTOR, shell.now).await?;
                    write.commit().await?;
                    let sentence = format!("Ended {} of {}.", counted(ended, "session"), user.username);
                    Ok(done(shell.json, sentence, &json!({ "ended": ended }))?)
                })
                .await
        }
    }
}

async fn list(store: &Store, which: &Which, shell: &Shell) -> Result<(), Failure> {
    let mut read = store.snapshot().await?;
    let user = which.find(&mut read).await?;
    let user = user_verbs::find(&mut read, &user.id.to_string()).await?;
    let mut listing = Listing::new(shell.json, &["SESSION", "SIGNED IN", "LAST SEEN", "FROM", "BROWSER"]);
    for session in sessions::live_of(&mut read, &user.id, shell.now).await? {
        let object = json!({
            "id": session.id,
            "user": user.username,
            "created_at": instant(session.created_at),
            "last_seen_at": instant(session.last_seen_at),
            "expires_at": instant(session.expires_at),
            "acr": session.acr,
            "amr": session.amr,
            "stay_signed_in": session.persistent,
            "ip": session.ip,
            "user_agent": session.user_agent,
        });
        let cells = vec![
            session.id.to_string(),
            instant(session.created_at),
            ago(session.last_seen_at, shell.now),
            session.ip,
            session.user_agent,
        ];
        listing.row(&cells, &object)?;
    }
    Ok(listing.end(&format!("{} is not signed in anywhere.", user.username))?)
}
