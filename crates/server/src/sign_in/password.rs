//! One password attempt: count first, then verify, the same work and the same words whoever is asked for. Protocol §17.

use std::net::IpAddr;
use std::time::Duration;

use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::authenticator::password::{Password, Verdict};
use hallpass_core::secret::{DeviceMark, Digest};
use hallpass_core::sign_in::{self, Authenticated, PasswordChecked, SignInRefused};
use hallpass_core::throttle::{self, Bucket, BucketKey, Counted, Decision};
use hallpass_core::time::Timestamp;
use hallpass_core::user::{User, Username};
use hallpass_store::attempts::{self, Attempts};
use hallpass_store::{audit, authenticators, devices, users};

use crate::context::Context;
use crate::web::error::Error;

/// What was presented, and from where.
pub struct Attempt<'a> {
    /// As typed.
    pub username: &'a str,
    /// As typed.
    pub password: String,
    /// Where from.
    pub ip: IpAddr,
    /// The browser's known-device mark.
    pub device: Option<Digest<DeviceMark>>,
    /// The app it is for, for the audit log.
    pub app: Option<&'a str>,
}

/// What came of it.
pub enum Outcome {
    /// The password is right and the user may sign in.
    Proved(Box<Proved>),
    /// Unknown user, wrong password or disabled user: the caller learns no more than that.
    Refused,
    /// Too many attempts; when to come back.
    Throttled(Duration),
}

/// What a right password proves, and what must still hold when the session starts.
pub struct Proved {
    /// Who.
    pub user: User,
    /// The proof that a session may start.
    pub authenticated: Authenticated,
    /// Which password it was: one that has been replaced since opens nothing.
    pub password_changed_at: Timestamp,
    /// What was counted, to be given back.
    pub counted: CountedBuckets,
}

/// The throttle counters that an attempt was added to.
pub struct CountedBuckets {
    /// Which.
    pub buckets: Vec<Bucket>,
    counts: Vec<Counted>,
}

impl CountedBuckets {
    /// The window that a counter was in.
    pub fn window_start(&self, key: &BucketKey) -> Timestamp {
        let found = self.buckets.iter().position(|bucket| bucket.key == *key);
        found.map_or(Timestamp::default(), |index| self.counts[index].window_started_at)
    }
}

/// Makes the attempt.
pub async fn attempt(context: &Context, attempt: Attempt<'_>, now: Timestamp) -> Result<Outcome, Error> {
    let username: Option<Username> = attempt.username.trim().parse().ok();
    let (found, counted) = count(context, &attempt, username.as_ref(), now).await?;
    let (user, stored) = found.map_or((None, None), |(user, stored)| (Some(user), stored));
    let together = counted.buckets.iter().zip(counted.counts.iter().copied());
    if let Decision::Throttled { retry_after } = throttle::decide(together, now) {
        record(context, &attempt, user.as_ref(), Event::SignInThrottled, "throttled", now).await?;
        return Ok(Outcome::Throttled(retry_after));
    }

    // Too long or empty: nobody's password, and nothing to hash.
    let Ok(password) = Password::presented(attempt.password.clone()) else {
        record(context, &attempt, user.as_ref(), Event::SignInRefused, SignInRefused::WrongPassword.as_str(), now)
            .await?;
        return Ok(Outcome::Refused);
    };
    let (verdict, password) =
        context.passwords.verify(password, stored.as_ref().map(|stored| stored.hash.clone())).await?;
    let checked = match (&user, &stored) {
        (None, _) => PasswordChecked::NoUser,
        (Some(_), None) => PasswordChecked::NoHash,
        (Some(user), Some(_)) => PasswordChecked::Verified(user, verdict),
    };
    let authenticated = match sign_in::by_password(checked, now) {
        Ok(authenticated) => authenticated,
        Err(refused) => {
            record(context, &attempt, user.as_ref(), Event::SignInRefused, refused.as_str(), now).await?;
            return Ok(Outcome::Refused);
        }
    };
    let (Some(user), Some(stored)) = (user, stored) else { return Ok(Outcome::Refused) };
    if verdict == Verdict::RightButRehash {
        let hash = context.passwords.hash(password).await?;
        let mut write = context.store.write().await?;
        // Only if nobody changed the password meanwhile: a rehash must never bring an old one back.
        authenticators::rehash_password(&mut write, &user.id, &stored.hash, hash.as_str()).await?;
        write.commit().await?;
    }
    Ok(Outcome::Proved(Box::new(Proved { user, authenticated, password_changed_at: stored.changed_at, counted })))
}

/// Counted and committed before the password is looked at: parallel guesses cannot outrun the counter (advisory T73). And who is meant.
async fn count(
    context: &Context,
    attempt: &Attempt<'_>,
    username: Option<&Username>,
    now: Timestamp,
) -> Result<(Option<(User, Option<authenticators::Password>)>, CountedBuckets), Error> {
    // One connection, and no statement that another one can do as well, for all that comes before the hash: each costs a round trip.
    let mut write = context.store.write_each().await?;
    // Where a mark is presented, what is counted depends on whether it is this user's.
    let marked = match username.zip(attempt.device.as_ref()) {
        Some((username, device)) => Some((users::with_password(&mut write, username).await?, device)),
        None => None,
    };
    let known_device = match &marked {
        Some((Some((user, _)), device)) => devices::is_known(&mut write, device, &user.id).await?.then_some(*device),
        _ => None,
    };
    let subject = throttle::Attempt { username, address: attempt.ip, known_device };
    let buckets = throttle::buckets_for(&subject, &context.limits, &context.keys.throttle);
    let keys: Vec<_> = buckets.iter().map(|bucket| (bucket.key.as_str(), bucket.limit.window)).collect();
    let (counts, found) = match (marked, username) {
        (None, Some(username)) => attempts::count_for(&mut write, username, &keys, now).await?,
        (marked, _) => (attempts::count(&mut write, &keys, now).await?, marked.and_then(|(found, _)| found)),
    };
    let counted = |counted: &Attempts| Counted { count: counted.count.into(), window_started_at: counted.window_start };
    let mut counts: Vec<Counted> = counts.iter().map(counted).collect();
    let full = buckets
        .iter()
        .zip(&counts)
        .position(|(bucket, counted)| bucket.limit.decide(*counted, now) != Decision::Allowed);
    if let Some(full) = full {
        // A guesser who is turned away already must not go on using up the user's own budget.
        let wider = keys.iter().zip(&counts).skip(full + 1);
        let wider: Vec<_> = wider.map(|((key, _), counted)| (*key, counted.window_started_at)).collect();
        attempts::take_back(&mut write, &wider).await?;
        counts.truncate(full + 1);
    }
    write.commit().await?;
    Ok((found, CountedBuckets { buckets, counts }))
}

async fn record(
    context: &Context,
    attempt: &Attempt<'_>,
    user: Option<&User>,
    event: Event,
    reason: &'static str,
    now: Timestamp,
) -> Result<(), Error> {
    match event {
        Event::SignInThrottled => context.telemetry.sign_in_throttled(),
        _ => context.telemetry.sign_in_refused(),
    }
    let mut entry = Entry::new(event, Actor::Anonymous, now, &mut context.random()).refused(reason).ip(attempt.ip);
    if let Some(user) = user {
        entry = entry.user(user.id);
    }
    if let Some(app) = attempt.app.and_then(|app| app.parse().ok()) {
        entry = entry.app(&app);
    }
    let mut write = context.store.write().await?;
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(())
}
