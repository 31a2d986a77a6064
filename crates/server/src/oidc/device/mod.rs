//! The device grant (RFC 8628): something without a browser, a command line or a television, is allowed to act for somebody who has one elsewhere.
//!
//! [`authorization`] gives the device its two codes; [`page`] is where people type the short one, look at what they are about to allow, and decide.
//! [`qr`] draws the address for devices that cannot. What the device gets afterwards is in [`super::grant::device_code`].
//!
//! The attack of this grant (§5.4): somebody begins on *their* device and talks a person into typing the code. So nothing is decided by opening a link,
//! the page says where the request came from, and says what to do with a code that somebody has sent.

pub mod authorization;
mod guess;
pub mod page;
mod pages;
pub mod qr;

use hallpass_core::oidc::UserCode;

use crate::pass::Journey;

/// What waits for a sign-in, in [`Journey::pending`]: the page, with or without a code. Nothing secret, so nothing sealed; what does not read as one
/// of these leads nowhere.
const WAITING: &str = "device";

/// The way to the sign-in page, and back to the page for devices.
pub fn journey(code: Option<&UserCode>) -> Journey {
    let pending = code.map_or_else(|| WAITING.to_owned(), |code| format!("{WAITING}:{code}"));
    Journey { pending: Some(pending), ..Journey::default() }
}

/// Where a journey goes on to, if it came from the page for devices.
pub fn way_back(journey: &Journey) -> Option<String> {
    if journey.app.is_some() {
        return None;
    }
    let rest = journey.pending.as_deref()?.strip_prefix(WAITING)?;
    match rest.strip_prefix(':') {
        Some(code) => Some(address(Some(&code.parse().ok()?))),
        None => rest.is_empty().then(|| address(None)),
    }
}

/// The page's address at home.
fn address(code: Option<&UserCode>) -> String {
    code.map_or_else(|| "/device".to_owned(), |code| format!("/device?user_code={code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_for_devices_leads_back_to_it() {
        let code: UserCode = "WDJB-MJHT".parse().expect("a code");
        assert_eq!(way_back(&journey(None)).as_deref(), Some("/device"));
        assert_eq!(way_back(&journey(Some(&code))).as_deref(), Some("/device?user_code=WDJB-MJHT"));
        let with = |app: Option<&str>, pending: &str| {
            let (app, pending) = (app.map(str::to_owned), Some(pending.to_owned()));
            way_back(&Journey { app, return_to: None, pending })
        };
        for wrong in
            ["", "devices", "device:", "device:x", "device:WDJB-MJHT&a=b", "device:https://evil.com", "//evil.com"]
        {
            assert_eq!(with(None, wrong), None, "{wrong}");
        }
        assert_eq!(with(Some("wiki"), "device"), None, "an authorization request that does not open is none of ours");
        assert_eq!(way_back(&Journey::default()), None);
    }
}
