//! How other root domains get their pass: the engine's side ([`authorize`]) and the zone's ([`agent`]), which answers at the zone's alias.
//! Protocol §8.

pub mod agent;
pub mod authorize;

use hallpass_core::zone::Zone;
use http::HeaderMap;

use crate::pass::Checked;
use crate::web::error::Error;

/// Where a code is sent: derived, never taken from a caller.
fn redirect_uri(zone: &Zone) -> Option<String> {
    zone.alias.as_ref().map(|alias| format!("{alias}/.sso/callback"))
}

/// Where to send a browser that wants to go to `checked`: straight there in the home zone, else by way of the alias, which fetches the pass.
pub fn way_to(checked: &Checked) -> Result<String, Error> {
    if checked.zone.home {
        return Ok(checked.destination.as_str().to_owned());
    }
    let Some(alias) = &checked.zone.alias else {
        return Err(
            Error::unavailable().because(format!("zone {} has no alias, so it can get no pass", checked.zone.name))
        );
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("app", &checked.app).append_pair("return_to", checked.destination.as_str());
    Ok(format!("{alias}/.sso/start?{}", query.finish()))
}

/// Codes are for a window that somebody looks at: not for frames, images, scripts, nor for a page that is fetched before anybody asked for
/// it. Browsers that do not say are let through.
fn require_navigation(headers: &HeaderMap) -> Result<(), Error> {
    let says = |name: &str, expected: &str| headers.get(name).is_none_or(|value| value == expected);
    if says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document") && !headers.contains_key("sec-purpose")
    {
        return Ok(());
    }
    let refused = "This address is for browser windows only. Open the application itself.";
    Err(Error::forbidden(refused).because("not a navigation of a window"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn frames_images_and_prefetches_are_refused() {
        let verdict = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter();
            let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            require_navigation(&headers.collect()).is_ok()
        };
        assert!(verdict(&[]) && verdict(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(!verdict(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        assert!(!verdict(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]));
        assert!(!verdict(&[("sec-fetch-mode", "cors")]));
        assert!(!verdict(&[("sec-purpose", "prefetch;prerender"), ("sec-fetch-mode", "navigate")]));
    }
}
