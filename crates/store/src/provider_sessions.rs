//! Sessions that came of a sign-in at another OIDC provider, and what providers say to have ended (OIDC Back-Channel Logout 1.0). Protocol §10.
//!
//! A sign-in and a sign-out that cross must not miss each other: each writes first and looks then, so that whoever comes second sees the other.

use hallpass_core::id::{SessionId, UserId};
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::oidc::{Ended, SignOut, There};

use crate::error::StoreError;
use crate::sql::sql;
use crate::{Read, Write, sessions};

/// What a session came of.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderSession {
    /// Which session.
    pub session: SessionId,
    /// Whose word it is.
    pub issuer: String,
    /// What it is called there.
    pub there: There,
    /// The ID token, sealed; only where it is needed for signing out there.
    pub id_token: Option<Vec<u8>>,
}

/// Writes down what a session came of that has just started.
pub async fn record(write: &mut Write, of: &ProviderSession) -> Result<(), StoreError> {
    let record =
        sql("INSERT INTO provider_sessions (session_id, issuer, subject, sid, id_token) VALUES ($1, $2, $3, $4, $5)");
    let record = record.bind(&of.session).bind(&*of.issuer).bind(&*of.there.subject).bind(&of.there.sid);
    write.execute(record.bind(&of.id_token)).await.map(drop)
}

/// Whose word a session came of, if it came of a provider's.
pub async fn issuer_of(read: &mut Read, session: &SessionId) -> Result<Option<String>, StoreError> {
    let find = sql("SELECT issuer FROM provider_sessions WHERE session_id = $1");
    read.optional(find.bind(session)).await?.map(|row| row.column("issuer")).transpose()
}

/// Lets go of what a session came of that has ended here: its person is about to sign out there. The ID token, sealed; the outer `None` for a session that
/// goes on, or of which nothing is known any more. Of all that ask, one is told.
pub async fn leave(write: &mut Write, session: &SessionId) -> Result<Option<Option<Vec<u8>>>, StoreError> {
    let leave = sql("DELETE FROM provider_sessions
                     WHERE session_id = $1 AND EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND ended_at IS NOT NULL)
                     RETURNING id_token");
    write.optional(leave.bind(session)).await?.map(|row| row.optional("id_token")).transpose()
}

/// Takes a logout token. Of all that bring it, ever, one is told `true`.
pub async fn take(write: &mut Write, said: &SignOut, now: Timestamp) -> Result<bool, StoreError> {
    let take = sql("INSERT INTO provider_sign_outs (token, issuer, subject, sid, issued_at, received_at)
                    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING");
    let Ended { subject, sid, issued_at } = said.ended();
    let take = take.bind(&said.token().to_vec()).bind(said.issuer()).bind(subject).bind(sid).bind(issued_at).bind(&now);
    Ok(write.execute(take).await? > 0)
}

/// The sessions that end by what a provider has said, and have not yet.
pub async fn ended_by(read: &mut Read, said: &SignOut) -> Result<Vec<SessionId>, StoreError> {
    // In the order in which sessions are locked.
    let open = sql("SELECT provider_sessions.session_id, provider_sessions.subject, provider_sessions.sid
                    FROM provider_sessions JOIN sessions ON sessions.id = provider_sessions.session_id
                    WHERE provider_sessions.issuer = $1 AND (provider_sessions.sid = $2 OR provider_sessions.subject = $3)
                        AND sessions.ended_at IS NULL
                    ORDER BY provider_sessions.session_id");
    let Ended { subject, sid, .. } = said.ended();
    let mut ended = Vec::new();
    for row in read.all(open.bind(said.issuer()).bind(sid).bind(subject)).await? {
        let (subject, sid): (String, Option<String>) = (row.column("subject")?, row.optional("sid")?);
        if said.ended().ends(&subject, sid.as_deref()) {
            ended.push(row.column("session_id")?);
        }
    }
    Ok(ended)
}

/// Ends those sessions. Returns those that this call ended, and whose they were.
pub async fn end(write: &mut Write, said: &SignOut, now: Timestamp) -> Result<Vec<(SessionId, UserId)>, StoreError> {
    let mut ended = Vec::new();
    for id in ended_by(write, said).await? {
        let Some(session) = sessions::find(write, &id).await? else { continue };
        if sessions::end(write, &id, EndReason::UpstreamEnded, now).await? {
            ended.push((id, session.user_id));
        }
    }
    Ok(ended)
}

/// Whether the provider has said that what this session came of has ended. To be asked once the session has been committed.
pub async fn is_overtaken(read: &mut Read, of: &ProviderSession) -> Result<bool, StoreError> {
    let said = sql("SELECT subject, sid, issued_at FROM provider_sign_outs
                    WHERE issuer = $1 AND issued_at >= $2 AND (sid = $3 OR subject = $4)");
    let There { subject, sid, issued_at } = &of.there;
    for row in read.all(said.bind(&*of.issuer).bind(issued_at).bind(sid).bind(&**subject)).await? {
        let said =
            Ended { subject: row.optional("subject")?, sid: row.optional("sid")?, issued_at: row.column("issued_at")? };
        if said.overtakes(&of.there) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes up to `limit` of what was said before `before`, and of what sessions came of that were over by then. How many went.
pub async fn prune(write: &mut Write, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let over = sql("DELETE FROM provider_sessions WHERE session_id IN
                        (SELECT provider_sessions.session_id
                         FROM provider_sessions JOIN sessions ON sessions.id = provider_sessions.session_id
                         WHERE sessions.ended_at < $1 OR sessions.expires_at < $1
                         ORDER BY provider_sessions.session_id LIMIT $2)");
    let over = write.execute(over.long().bind(&before).bind(&limit)).await?;
    let prune = sql("DELETE FROM provider_sign_outs WHERE token IN
                        (SELECT token FROM provider_sign_outs WHERE received_at < $1 ORDER BY token LIMIT $2)");
    Ok(over + write.execute(prune.long().bind(&before).bind(&limit)).await?)
}
