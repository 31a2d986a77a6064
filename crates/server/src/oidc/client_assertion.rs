//! A client that shows who it is by an assertion in the body (`private_key_jwt`): RFC 7521 §4.2, RFC 7523 §2.2. Used up before anything else is done
//! for it, at whichever endpoint and node it comes: whoever reads one on its way has nothing. Advisories T21, T24, T26–T29.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hallpass_core::jose::Refused;
use hallpass_core::oidc::{ASSERTION_TYPE, ClientAssertion, ClientAuthentication, VerifiedAssertion};
use hallpass_core::throttle;
use hallpass_core::time::Timestamp;
use hallpass_store::client_assertions;
use hallpass_store::view::Policy;
use serde::Deserialize;

use super::client::ClientClaim;
use crate::context::Context;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::{AppCaller, by_browser, client_refused, not_for_browsers};
use crate::web::parameters::parameters;

/// What a body says of who asks, besides a secret.
#[derive(Debug, Default, Deserialize)]
pub struct Shown {
    /// Need not be there: an assertion names its client.
    pub client_id: Option<String>,
    /// The assertion.
    pub client_assertion: Option<String>,
    /// Must be there with it, and say the one thing that it can.
    pub client_assertion_type: Option<String>,
}

impl Shown {
    /// Whether there is an assertion, or half of one.
    pub const fn is_assertion(&self) -> bool {
        self.client_assertion.is_some() || self.client_assertion_type.is_some()
    }

    /// The client whose assertion this is. It is used up.
    pub async fn establish(&self, context: &Arc<Context>, ip: IpAddr, now: Timestamp) -> Result<AppCaller, Error> {
        let (Some(text), Some(ASSERTION_TYPE)) = (&self.client_assertion, self.client_assertion_type.as_deref()) else {
            let message = "client_assertion comes with client_assertion_type urn:ietf:params:oauth:client-assertion-type:jwt-bearer.";
            return Err(Error::invalid_request(message));
        };
        let mut policy = context.view.policy().await?;
        let mut judged = self.judge(context, &policy, text, now);
        if judged == Err(Refused::UnknownKey)
            && context.app_refusals.blocked(&throttle::address_block(ip), now).is_none()
        {
            // Client or key may have been declared a moment ago, at another node: ask the database before saying "wrong".
            Box::pin(context.view.current()).await?;
            policy = context.view.policy().await?;
            judged = self.judge(context, &policy, text, now);
        }
        let refused = |why| {
            let refused = client_refused(context, ip, now, why);
            let message = "The client assertion is not good. It must be signed by a declared key, be for this issuer alone, and be used once and in time.";
            if refused.code == "invalid_client" { Error { message: message.into(), ..refused } } else { refused }
        };
        let (index, verified) = judged.map_err(|why| {
            let claimed = ClientAssertion::read(text).ok().and_then(|claimed| policy.by_client_id(claimed.client()));
            context.telemetry.app_credentials_refused(claimed.map(|index| &policy.apps[index]));
            refused(why.as_str())
        })?;
        let mut write = context.store.write().await?;
        if !client_assertions::redeem(&mut write, &verified).await? {
            return Err(refused("an assertion that was used before"));
        }
        write.commit().await?;
        Ok(AppCaller { policy, index })
    }

    /// Whose it is and what is left to be done about it.
    fn judge(
        &self,
        context: &Context,
        policy: &Policy,
        text: &str,
        now: Timestamp,
    ) -> Result<(usize, VerifiedAssertion), Refused> {
        let assertion = ClientAssertion::read(text)?;
        if self.client_id.as_deref().is_some_and(|id| id != assertion.client()) {
            return Err(Refused::WrongIssuer);
        }
        let index = policy.by_client_id(assertion.client()).ok_or(Refused::UnknownKey)?;
        let app = &policy.apps[index].app;
        // What is registered decides, not what is presented: keys of a client that has become another kind are no keys.
        let keys = app.jwks.as_ref().filter(|_| ClientAuthentication::of(app) == ClientAuthentication::PrivateKeyJwt);
        let keys = keys.filter(|_| app.disabled_at.is_none()).ok_or(Refused::UnknownKey)?;
        let verified = assertion.verify(keys, context.public_url.as_str(), now)?;
        Ok((index, verified))
    }
}

/// The app that asks where a secret is shown in the header or not at all: at introspection. An app may come with either there, because its SDK asks
/// with the secret key. `form` is the body, if it is one in which an assertion may be. What the guard established is taken out of the call.
pub async fn app(call: &mut Call<ClientClaim>, form: Option<&Bytes>) -> Result<AppCaller, Error> {
    match std::mem::replace(&mut call.proof, ClientClaim::InTheBody) {
        ClientClaim::BySecret(caller) => caller,
        // Boxed: nearly all come with a secret.
        ClientClaim::InTheBody => Box::pin(by_assertion(call, form)).await?,
    }
    .declared()
}

async fn by_assertion(call: &Call<ClientClaim>, form: Option<&Bytes>) -> Result<AppCaller, Error> {
    let Call { context, ip, now, .. } = call;
    if by_browser(call.headers()) {
        return Err(not_for_browsers());
    }
    let shown: Shown = form.map_or_else(|| Ok(Shown::default()), |form| parameters(form))?;
    if !shown.is_assertion() {
        return Err(client_refused(context, *ip, *now, "no credentials, or not one Basic header"));
    }
    shown.establish(context, *ip, *now).await
}
