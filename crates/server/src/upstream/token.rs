//! Signing in with a session token of Kratos, relayed by an app: for people without a browser. Protocol §6 number 5, §10.

use std::net::IpAddr;

use hallpass_core::app::Access;
use hallpass_core::audit::Word;
use hallpass_core::session::Session;
use hallpass_core::throttle;
use hallpass_core::upstream::{Required, UpstreamRefused, accept};
use hallpass_store::view::Standing;
use http::StatusCode;

use super::credential::Credential;
use super::kratos::{self, Whoami};
use super::record_refusal;
use super::sign_in::{self, Person};
use crate::sign_in::start::Browser;
use crate::web::call::Call;
use crate::web::error::Error;
use crate::web::guard::AppCaller;

/// What came of it.
pub enum Outcome {
    /// A session has started.
    Started(Box<Session>),
    /// The person has to come to a page of ours, or of Kratos, first.
    Interaction,
}

/// Starts a session for whoever the token is, if they may enter the app that relays it.
pub async fn sign_in(
    call: &Call<AppCaller>,
    token: &str,
    client_ip: IpAddr,
    user_agent: &str,
) -> Result<Outcome, Error> {
    let (context, now) = (&call.context, call.now);
    let Some(kratos) = context.kratos.clone() else {
        return Err(Error::invalid_request("Session tokens are not taken here.").because("no kratos is configured"));
    };
    // Nobody guesses a token; but each attempt is a question to Kratos.
    if let Some(after) = context.upstream_refusals.blocked(&throttle::address_block(client_ip), now) {
        context.telemetry.sign_in_throttled();
        return Err(Error::too_many_requests(after));
    }
    let Some(credential) = Credential::token(token) else {
        return refuse(call, UpstreamRefused::MalformedCredential, client_ip).await;
    };
    let said = kratos.whoami(&credential, now).await;
    let said = said.map_err(|away| Error::unavailable().because(format!("Kratos cannot be asked: {}", away.0)))?;
    let accepted = match said {
        Whoami::Nobody => Err(UpstreamRefused::NotSignedIn),
        Whoami::SecondFactor => Err(UpstreamRefused::AssuranceTooLow),
        Whoami::Session(session) => accept(*session, Required { acr: kratos.config.minimum_aal, since: None }, now),
    };
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => return refuse(call, refused, client_ip).await,
    };
    // Asked before a session exists: somebody who has no business in this app gets none by way of it.
    let person = sign_in::whose(&mut context.store.read().await?, &kratos, accepted.session()).await?;
    let person = match person {
        Ok(person) => person,
        Err(refused) => return refuse(call, refused, client_ip).await,
    };
    let admitted = match person {
        Person::New(_) => call.proof.app().app.access == Access::Everyone,
        Person::Known(user) | Person::ToLink(user) => {
            match context.view.standing(&call.proof.policy, user.id, call.proof.index).await? {
                Standing::Admitted(_) => true,
                Standing::MustChangePassword => return Ok(Outcome::Interaction),
                Standing::Disabled => return refuse(call, UpstreamRefused::UserDisabled, client_ip).await,
                Standing::Unknown | Standing::NoAccess => false,
            }
        }
    };
    if !admitted {
        return Err(Error::forbidden("This person has no access to this app.").because("no access"));
    }
    let browser = Browser {
        ip: client_ip,
        user_agent: user_agent.chars().take(256).collect(),
        persistent: false,
        device: None,
        takes_mark: false,
        previous: None,
        keeps: None,
    };
    match sign_in::sign_in(context, &kratos, &accepted, &credential, browser, now).await? {
        Ok(started) => Ok(Outcome::Started(Box::new(started.session))),
        Err(refused) => refuse(call, refused, client_ip).await,
    }
}

/// The same words for every reason but the one that the person can do something about.
async fn refuse(call: &Call<AppCaller>, refused: UpstreamRefused, client_ip: IpAddr) -> Result<Outcome, Error> {
    let app = &call.proof.app().app.key;
    record_refusal(&call.context, &Word(kratos::NAME), refused, client_ip, Some(app), call.now).await?;
    if refused == UpstreamRefused::AssuranceTooLow {
        return Ok(Outcome::Interaction);
    }
    let words = "The session token is not valid, or its person may not sign in here.";
    Err(Error::new(StatusCode::UNAUTHORIZED, "invalid_credentials", words).because(refused.as_str()))
}
