//! The name that a pushed authorization request goes by (RFC 9126 §2.2): a secret of ours in a URN.

use zeroize::Zeroizing;

use crate::secret::{PushedRequest, Secret};

/// What every such name begins with. Anything else in `request_uri` is an address to fetch a request object from, which nobody does here.
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// The `request_uri` of a request.
pub fn request_uri(request: &Secret<PushedRequest>) -> Zeroizing<String> {
    Zeroizing::new(format!("{PREFIX}{}", request.expose().as_str()))
}

/// Whether a `request_uri` means to be such a name, however good it is.
pub fn is_pushed(request_uri: &str) -> bool {
    request_uri.starts_with(PREFIX)
}

/// The request that a `request_uri` names, if `mint` could have made it.
pub fn named_request(request_uri: &str) -> Option<Secret<PushedRequest>> {
    Secret::parse(request_uri.strip_prefix(PREFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::tests::Seeded;
    use crate::secret::AuthorizationCode;
    use crate::time::Timestamp;

    #[test]
    fn only_the_very_name_is_one() {
        let request = Secret::<PushedRequest>::mint_at(Timestamp::from_millis(1), &mut Seeded(1));
        let name = request_uri(&request);
        assert!(is_pushed(&name) && name.starts_with("urn:ietf:params:oauth:request_uri:hp_pr_"));
        assert_eq!(named_request(&name).map(|found| found.digest()), Some(request.digest()));
        let code = Secret::<AuthorizationCode>::mint_at(Timestamp::from_millis(1), &mut Seeded(1)).expose().to_string();
        for bad in [&name[1..], &name[..name.len() - 1], &name.to_uppercase(), &format!("{PREFIX}{code}"), PREFIX, ""] {
            assert!(named_request(bad).is_none(), "{bad}");
        }
        for other in ["https://crm.company.com/request", "urn:ietf:params:oauth:request_uri", " urn:ietf"] {
            assert!(!is_pushed(other), "{other}");
        }
    }
}
