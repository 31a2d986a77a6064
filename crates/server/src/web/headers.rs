//! Headers of every answer, and the rule about where a request may come from. Protocol §7, §18.

use axum::response::Response;
use hallpass_core::app::Origin;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::web::error::{Error, Voice};

/// What a page may do besides showing itself; put into the extensions of its answer.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Where its form may lead besides ourselves: without it Chromium blocks the redirects that follow the POST.
    pub forms: Vec<String>,
    /// Whom its script may ask.
    pub connects: Vec<Origin>,
    /// Run the script files that we serve.
    pub scripts: bool,
}

/// Adds what every answer carries, unless the handler said otherwise.
pub fn finish(response: &mut Response, voice: Voice, public_url: &Origin) {
    let allowed = response.extensions_mut().remove::<Allowed>().unwrap_or_default();
    let headers = response.headers_mut();
    default(headers, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    default(headers, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if voice != Voice::Page {
        return;
    }
    let mut policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'{}",
        listed(&allowed.forms)
    );
    if allowed.scripts {
        policy.push_str("; script-src 'self'");
    }
    if !allowed.connects.is_empty() {
        policy = policy + "; connect-src" + &listed(&allowed.connects);
    }
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_str(&policy).expect("origins and schemes are visible ASCII"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Not `no-referrer`: under that, browsers send `Origin: null` with our own forms (Fetch, "append a request Origin header"), and
    // where `Sec-Fetch-Site` is missing that header is all there is. Other origins learn nothing from `same-origin` either.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    if public_url.as_str().starts_with("https://") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

fn listed<T: std::fmt::Display>(sources: &[T]) -> String {
    sources.iter().fold(String::new(), |all, source| format!("{all} {source}"))
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}

/// An unsafe method is allowed from our own pages only: `Sec-Fetch-Site: same-origin`, or, where a browser does not send that,
/// an `Origin` equal to ours. `SameSite` cookies are no defence: a sibling host is same-site.
pub fn require_same_origin(headers: &HeaderMap, own: &Origin) -> Result<(), Error> {
    let allowed = match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() == own.as_str().as_bytes()),
    };
    if allowed {
        Ok(())
    } else {
        Err(Error::forbidden("This request did not come from one of our own pages, so nothing was done.")
            .because("cross-origin request"))
    }
}

/// What gives a browser a code, or a session, is for a window that somebody looks at: not for frames, images, scripts, nor for a page that is fetched before anybody asked for
/// it. Browsers that do not say are let through.
pub fn require_navigation(headers: &HeaderMap) -> Result<(), Error> {
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
    use super::*;

    fn verdict(pairs: &[(&'static str, &str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("valid")))
            .collect();
        require_same_origin(&headers, &"https://auth.company.com".parse().expect("valid")).is_ok()
    }

    /// T51: a sibling's form is same-site, and still refused.
    #[test]
    fn only_our_own_pages_may_post() {
        assert!(verdict(&[("sec-fetch-site", "same-origin")]));
        assert!(verdict(&[("origin", "https://auth.company.com")]));
        for refused in [
            &[("sec-fetch-site", "same-site")][..],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://auth.company.com")],
            &[("sec-fetch-site", "none")],
            &[("origin", "null")],
            &[("origin", "https://auth.company.com.evil")],
            &[],
        ] {
            assert!(!verdict(refused), "{refused:?}");
        }
    }

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
