//! Looking up what somebody typed: count first, then look, so that guesses sent at once cannot outrun the counter (RFC 8628 §5.1, advisory T73).

use std::time::Duration;

use hallpass_core::oidc::UserCode;
use hallpass_core::throttle::{self, Counted, Decision};
use hallpass_store::attempts;
use hallpass_store::device_codes::{self, Device};

use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::LiveSession;

/// What came of it.
pub enum Guess {
    /// A device waits with this code.
    Waits(Box<Device>),
    /// None does: there never was one, somebody has decided, or its time is over.
    Nothing,
    /// Too many codes that were none; when to come back.
    Throttled(Duration),
}

/// The device that waits with this code.
pub async fn look_up(call: &Call<LiveSession>, code: &UserCode) -> Result<Guess, Error> {
    let Call { context, proof, now, ip, .. } = call;
    let buckets = throttle::buckets_for_user_code(&proof.user.id, *ip, &context.limits, &context.keys.throttle);
    let keys: Vec<_> = buckets.iter().map(|bucket| (bucket.key.as_str(), bucket.limit.window)).collect();
    let mut write = context.store.write().await?;
    let counts = attempts::count(&mut write, &keys, *now).await?;
    write.commit().await?;
    let counted =
        counts.iter().map(|counted| Counted { count: counted.count.into(), window_started_at: counted.window_start });
    if let Decision::Throttled { retry_after } = throttle::decide(buckets.iter().zip(counted), *now) {
        return Ok(Guess::Throttled(retry_after));
    }
    let mut write = context.store.write().await?;
    let Some(device) = device_codes::waiting(&mut write, code, *now).await? else { return Ok(Guess::Nothing) };
    // Only guesses count: whoever allows many devices of their own is not slowed down.
    let right: Vec<_> = keys.iter().zip(&counts).map(|((key, _), counted)| (*key, counted.window_start)).collect();
    attempts::take_back(&mut write, &right).await?;
    write.commit().await?;
    Ok(Guess::Waits(Box::new(device)))
}
