//! Where somebody is to sign in: by a button, by the app that they come from, by the domain of their mail address. Protocol §10.

use hallpass_core::id::AppKey;
use hallpass_core::upstream::oidc::MailAddress;

use super::{oidc, start_address};
use crate::context::Context;
use crate::pass::Journey;
use crate::web::page::WayOn;

/// The buttons of the sign-in page, in the order of the configuration. Where `another` person is here already, a provider is not to let that one in again
/// by itself: it is asked who it is.
pub fn ways(context: &Context, journey: &Journey, another: bool) -> Vec<WayOn> {
    let kratos = context.kratos.iter();
    let kratos = kratos.map(|kratos| WayOn { label: kratos.config.label.clone(), url: start_address(journey) });
    let providers = context.providers.iter().map(|provider| WayOn {
        label: format!("Continue with {}", provider.config.label()),
        url: with(oidc::start_address(provider.name(), journey), another.then_some(("another", "1"))),
    });
    kratos.chain(providers).collect()
}

/// Where the sign-in page leads without being shown: what the app says counts before what is said for everybody.
pub fn leads_straight_to(context: &Context, journey: &Journey) -> Option<String> {
    let mut providers = context.providers.iter();
    let is_named = |app: &AppKey| journey.app.as_deref() == Some(app.as_str());
    let of_app = providers.clone().find(|provider| provider.config.apps.iter().any(is_named));
    if let Some(provider) = of_app.or_else(|| providers.find(|provider| provider.config.primary)) {
        return Some(oidc::start_address(provider.name(), journey));
    }
    context.kratos.as_ref().filter(|kratos| kratos.config.primary).map(|_| start_address(journey))
}

/// Whether the sign-in page begins with the name alone.
pub fn asks_name(context: &Context) -> bool {
    context.providers.iter().any(|provider| !provider.config.domains.is_empty())
}

/// Where the person of a mail address signs in; `None` for what is no address, or of no domain that is configured.
pub fn of_address(context: &Context, name: &str, journey: &Journey) -> Option<String> {
    let address: MailAddress = name.parse().ok()?;
    let of = |domains: &[String]| domains.iter().any(|domain| domain == address.domain());
    let provider = context.providers.iter().find(|provider| of(&provider.config.domains))?;
    let start = oidc::start_address(provider.name(), journey);
    Some(with(start, Some(("hint", address.as_str()))))
}

fn with(start: String, parameter: Option<(&str, &str)>) -> String {
    let Some((name, value)) = parameter else { return start };
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    format!("{start}{}{name}={value}", if start.contains('?') { '&' } else { '?' })
}
