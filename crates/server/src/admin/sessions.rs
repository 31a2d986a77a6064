//! Ending other people's sessions.

use hallpass_core::audit::{Actor, Event};
use hallpass_core::id::SessionId;
use hallpass_core::session::EndReason;
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_store::{Write, sessions};

use super::{AdminError, entry, record};

/// Ends one session. `false` when it had ended already.
pub async fn end(write: &mut Write, id: &SessionId, actor: &Actor, now: Timestamp) -> Result<bool, AdminError> {
    let Some(session) = sessions::find(write, id).await? else {
        return Err(AdminError::NotFound(format!(
            "there is no session {id}; `hallpass session list --user …` shows them"
        )));
    };
    let ended = sessions::end(write, id, EndReason::EndedByAdmin, now).await?;
    if ended {
        let entry = entry(Event::SessionEnded, actor, now).user(session.user_id).session(*id);
        record(write, entry.with("reason", &EndReason::EndedByAdmin)).await?;
    }
    Ok(ended)
}

/// Ends every session of a user. How many.
pub async fn end_all(write: &mut Write, user: &User, actor: &Actor, now: Timestamp) -> Result<usize, AdminError> {
    let ended = sessions::end_all_of(write, &user.id, None, EndReason::EndedByAdmin, now).await?;
    for id in &ended {
        let entry = entry(Event::SessionEnded, actor, now).user(user.id).session(*id);
        record(write, entry.with("reason", &EndReason::EndedByAdmin)).await?;
    }
    Ok(ended.len())
}
