//! What an `apply` file may say. Unknown keys are errors: a misspelt `acces = "assigned"` must not open an app to everybody.
//!
//! ```toml
//! [zones.home]
//! cookie_domain = "company.com"
//! home = true
//!
//! [apps.pos]
//! name = "Point of sale"
//! origins = ["https://pos.company.com"]
//! [apps.pos.roles]
//! seller = ["canCreateOrder"]
//! refunder = ["canRefund"]
//!
//! [groups.store-12]
//! members = ["ana", "ben"]
//! roles.pos = ["seller"]
//!
//! [users.ana]
//! roles.pos = ["refunder"]
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use hallpass_core::app::{Access, Assertion, FirstContact, Origin};
use hallpass_core::id::{AppKey, Audience, GroupName, PermissionName, RoleName, ZoneName};
use hallpass_core::logout::LogoutUrl;
use hallpass_core::oidc::{ClientKeys, ClientKind, IdTokenAlgorithm, RedirectUri, SectorIdentifier, SubjectType};
use hallpass_core::zone::{CookieDomain, CookieName};
use serde::{Deserialize, Deserializer};

/// The whole file. A section that is absent says nothing; one that is there is complete, as far as pruning is concerned.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// By name.
    pub zones: Option<BTreeMap<ZoneName, ZoneEntry>>,
    /// By key.
    pub apps: Option<BTreeMap<AppKey, AppEntry>>,
    /// By name.
    pub groups: Option<BTreeMap<GroupName, GroupEntry>>,
    /// What users hold, by user name. Users themselves are not made here.
    pub users: Option<BTreeMap<String, UserEntry>>,
}

/// A zone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneEntry {
    /// The `Domain` of the pass cookie.
    #[serde(deserialize_with = "parsed")]
    pub cookie_domain: CookieDomain,
    /// Its name; begins with `__Secure-`.
    #[serde(default, deserialize_with = "parsed")]
    pub cookie_name: CookieName,
    /// The engine lives in it.
    #[serde(default)]
    pub home: bool,
    /// Where the engine also answers, for a zone that is not home: a host under `cookie_domain`.
    pub alias: Option<Origin>,
    /// A zone of one host, whose pass no other host can read or write. Its one app is its own agent.
    #[serde(default)]
    pub bound: bool,
    /// A chain after sign-in fetches its pass at once instead of on demand.
    #[serde(default)]
    pub at_sign_in: bool,
}

/// An app. What is not said has its default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppEntry {
    /// What people read; the key if not given.
    pub name: Option<String>,
    /// The home zone if not given.
    pub zone: Option<ZoneName>,
    /// Where it is reached; the first is its front door.
    pub origins: Vec<Origin>,
    /// Who may enter.
    pub access: Access,
    /// What its SDK does with the first pass it sees in a browser.
    pub first_contact: FirstContact,
    /// Answers about it are never cached.
    pub sensitive: bool,
    /// May relay passwords.
    pub relayed_sign_in: bool,
    /// Services that it may call: for which it may have a request token.
    pub audiences: Vec<Audience>,
    /// The addresses by which apps that register or describe themselves may ask people for tokens for it.
    pub open_to_third_parties: Vec<Audience>,
    /// May have tokens in its own name for those services (OAuth client credentials).
    pub client_credentials: bool,
    /// People may allow it on a device without a browser (OAuth device grant).
    pub device: bool,
    /// Where it hears that a session has ended (OIDC Back-Channel Logout).
    pub logout_urls: Vec<LogoutUrl>,
    /// Where authorization codes may be sent: makes the app an OIDC client.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where a browser may be sent after a sign-out that the app asked for (OIDC RP-Initiated Logout).
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Where a sign-in at an OIDC client begins, for whoever comes from the start page (OIDC Core, third-party initiated login).
    pub initiate_login_uri: Option<RedirectUri>,
    /// What an OIDC client's ID tokens and logout tokens are signed with: `RS256` or `EdDSA`.
    pub id_token_alg: IdTokenAlgorithm,
    /// The public keys of a client that signs assertions in place of showing a secret: a JWK set, as JSON in a text.
    pub jwks: Option<ClientKeys>,
    /// Somebody else's: people are asked before it learns anything about them by OIDC.
    pub third_party: bool,
    /// What it is as an OIDC client: `confidential`, `browser` or `native`.
    pub client: ClientKind,
    /// Of a browser client: its refresh token travels in a cookie of its own and nowhere else. On if not given.
    pub refresh_cookie: Option<bool>,
    /// People may stay signed in to it when their session is over, if it asks for `offline_access`.
    pub offline_access: bool,
    /// A gateway in front of it asks who its visitors are, by `/forward-auth`.
    pub forward_auth: bool,
    /// It has to push its authorization requests (OAuth PAR).
    pub require_pushed_authorization_requests: bool,
    /// What it knows people as: `public`, their own id, or `pairwise`, one that no other app knows.
    pub subject_type: SubjectType,
    /// With pairwise subjects: the host whose apps know people by the same names. Of the redirect URIs if not given.
    pub sector_identifier: Option<SectorIdentifier>,
    /// All tokens that it gets by OIDC are bound to a key of its own (RFC 9449).
    pub require_dpop: bool,
    /// Its ID tokens say what its scope brings, too: for clients that never ask the userinfo endpoint.
    pub claims_in_id_token: bool,
    /// Its SDK serves `/.sso/*`: it fetches passes by handoffs of its own.
    pub agent: bool,
    /// Whether a handoff brings it a signed assertion instead of a code: `none`, `form_post` or `query`.
    pub assertion: Assertion,
    /// Left as it is if not given: an app that was disabled in an emergency is not enabled by the next scheduled run.
    pub disabled: Option<bool>,
    /// Its roles, each with all its permissions.
    pub roles: Option<BTreeMap<RoleName, Vec<PermissionName>>>,
}

/// A group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupEntry {
    /// User names.
    pub members: Option<Vec<String>>,
    /// Roles its members hold, by app.
    pub roles: Option<BTreeMap<AppKey, Vec<RoleName>>>,
    /// Permissions its members hold without a role, by app.
    pub permissions: Option<BTreeMap<AppKey, Vec<PermissionName>>>,
}

/// What a user holds directly.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserEntry {
    /// Roles, by app.
    pub roles: Option<BTreeMap<AppKey, Vec<RoleName>>>,
    /// Permissions without a role, by app.
    pub permissions: Option<BTreeMap<AppKey, Vec<PermissionName>>>,
}

impl FromStr for File {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        toml::from_str(text)
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people copy from must work, and must say everything that can be said.
    #[test]
    fn the_example_in_the_documents_is_a_file() {
        let example = include_str!("../../../../../docs/company.toml");
        let file: File = example.parse().expect("docs/company.toml");
        let (zones, apps) = (file.zones.expect("zones"), file.apps.expect("apps"));
        assert!(zones.values().next().expect("one").home);
        let defaults = AppEntry::default();
        let pos = apps.get(&"pos".parse::<AppKey>().expect("a key")).expect("pos");
        assert_eq!((pos.access, pos.first_contact, pos.sensitive), (defaults.access, defaults.first_contact, false));
        assert!(file.groups.is_some() && file.users.is_some());
    }

    #[test]
    fn what_is_misspelt_or_wrong_is_named_with_its_line() {
        for (text, line, named) in [
            ("[app.pos]\n", 1, "app"),
            ("[apps.pos]\nname = \"POS\"\nacces = \"everyone\"\n", 3, "acces"),
            ("[apps.pos]\naccess = \"everybody\"\n", 2, "everybody"),
            ("[apps.pos]\nid_token_alg = \"none\"\n", 2, "expected `RS256` or `EdDSA`"),
            ("[apps.pos]\nid_token_alg = \"HS256\"\n", 2, "expected `RS256` or `EdDSA`"),
            ("[apps.pos]\nclient = \"public\"\n", 2, "public"),
            ("[apps.pos]\njwks = \"https://pos.company.com/keys\"\n", 2, "JWK set as JSON"),
            (
                "[apps.pos]\njwks = '{\"keys\":[{\"kid\":\"a\",\"kty\":\"OKP\",\"d\":\"x\"}]}'\n",
                2,
                "carries a private key",
            ),
            ("[apps.pos]\norigins = [\"http://pos.company.com\"]\n", 2, "must be https"),
            ("[zones.home]\n\ncookie_domain = \"co.uk\"\n", 3, "public suffix"),
            ("[apps.pos.roles]\nseller = [\"can sell\"]\n", 2, "permission name"),
            ("[groups.a]\nroles.pos = [\"a\"]\nowner = 1\n", 3, "owner"),
            ("[users.ana]\ngroups = []\n", 2, "groups"),
            ("[apps.POS]\n", 1, "app key"),
        ] {
            let error = text.parse::<File>().expect_err(text).to_string();
            assert!(error.contains(&format!("line {line}")) && error.contains(named), "{text}: {error}");
        }
    }
}
