//! A sign-in by way of an upstream, tried once more if another one got in its way: the same person came by way of another tab, or somebody took the name.

use std::future::Future;

use hallpass_core::upstream::UpstreamRefused;
use hallpass_store::StoreError;

use crate::context::Context;
use crate::sign_in::start::Started;
use crate::web::error::Error;

/// What came of an attempt; `None` if somebody else tied the identity to a user meanwhile.
pub type Attempt = Option<Result<Started, UpstreamRefused>>;

/// Tries it, and looks again who it is if that changed between two statements of the first attempt.
pub async fn twice<F>(context: &Context, attempt: impl Fn() -> F) -> Result<Result<Started, UpstreamRefused>, Error>
where
    F: Future<Output = Result<Attempt, StoreError>>,
{
    for last in [false, true] {
        match attempt().await {
            Ok(Some(outcome)) => {
                if outcome.is_ok() {
                    context.telemetry.signed_in();
                }
                return Ok(outcome);
            }
            Ok(None) | Err(StoreError::Conflict(_)) if !last => {}
            Ok(None) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable().because("two sign-ins of one identity got in each other's way twice"))
}
