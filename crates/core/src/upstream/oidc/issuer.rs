//! Whose ID tokens an upstream's are, and who a person is in them: `iss` and `sub` (OIDC Core 1.0 §2, §5.7), or, at Entra ID, tenant and `oid`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::id_token::{Claims, IdTokenRefused};
use crate::id::{InvalidId, Subject};

/// What stands for the tenant in the addresses of Entra ID.
pub const TENANT: &str = "{tenantid}";

/// A tenant of Entra ID, by its identifier: 32 hexadecimal digits with hyphens, in lower case. Never a domain: those can be given up and taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Tenant(Box<str>);

impl Tenant {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let groups: Vec<&str> = text.split('-').collect();
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let lengths = groups.iter().map(|group| group.len());
        if lengths.eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| group.bytes().all(hexadecimal)) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId("tenant (its identifier, in lower case, not its domain)"))
        }
    }
}

impl TryFrom<String> for Tenant {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

/// Whose word an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuer {
    /// One issuer, by its exact name.
    Exact(Box<str>),
    /// Tenants of Entra ID, each an issuer of its own: the template with its identifier in it. Only those that are listed; "any tenant" would be
    /// anybody who makes one.
    Entra {
        /// With [`TENANT`] in it.
        template: Box<str>,
        /// At least one.
        tenants: Box<[Tenant]>,
    },
}

impl Issuer {
    /// What the address of the discovery document begins with.
    pub fn discovery_base(&self) -> String {
        match self {
            Self::Exact(issuer) => issuer.to_string(),
            Self::Entra { template, tenants } => match &**tenants {
                [one] => template.replace(TENANT, one.as_str()),
                _ => template.replace(TENANT, "organizations"),
            },
        }
    }

    /// Whether a discovery document speaks for it (OIDC Discovery 1.0 §4.3): byte for byte, or anybody who serves a document could speak for anybody.
    pub fn is_described_by(&self, issuer: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *issuer,
            Self::Entra { template, tenants } => match &**tenants {
                [one] => template.replace(TENANT, one.as_str()) == issuer,
                _ => **template == *issuer,
            },
        }
    }

    /// Whether `iss` of an authorization response (RFC 9207 §2.4) may be ours. Which tenant it is, the ID token says.
    pub fn may_be(&self, issuer: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *issuer,
            Self::Entra { .. } => self.tenant_of(issuer).is_some(),
        }
    }

    /// The tenant whose issuer this is, at Entra ID.
    pub(super) fn tenant_of(&self, issuer: &str) -> Option<&str> {
        let Self::Entra { template, tenants } = self else { return None };
        tenants.iter().map(Tenant::as_str).find(|tenant| template.replace(TENANT, tenant) == issuer)
    }

    /// The issuer of these claims, and who the person is there.
    pub(super) fn person(&self, claims: &Claims) -> Result<(Box<str>, Subject), IdTokenRefused> {
        let subject = |text: &str| text.parse().map_err(|_| IdTokenRefused::NoSubject);
        match self {
            Self::Exact(exact) if **exact == *claims.iss => Ok((exact.clone(), subject(&claims.sub)?)),
            Self::Exact(_) => Err(IdTokenRefused::WrongIssuer),
            Self::Entra { template, tenants } => {
                let named = claims.tid.as_deref().ok_or(IdTokenRefused::WrongTenant)?;
                let tenant =
                    tenants.iter().find(|tenant| tenant.as_str() == named).ok_or(IdTokenRefused::WrongTenant)?;
                let issuer = template.replace(TENANT, tenant.as_str());
                if issuer != claims.iss {
                    return Err(IdTokenRefused::WrongIssuer);
                }
                // `sub` is another one for each client there; whoever registers Hallpass anew would make strangers of everybody.
                Ok((issuer.into(), subject(claims.oid.as_deref().ok_or(IdTokenRefused::NoSubject)?)?))
            }
        }
    }

    /// Whether a key that names an issuer (Entra ID's do) may have signed for `issuer`.
    pub(super) fn key_may_sign(key: &str, issuer: &str, tenant: Option<&str>) -> bool {
        tenant.map_or_else(|| key == issuer, |tenant| key.replace(TENANT, tenant) == issuer)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(issuer) => formatter.write_str(issuer),
            Self::Entra { template, .. } => formatter.write_str(template),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_identifiers_and_not_domains() {
        assert!("9188040d-6c67-4c5b-b112-36a304b66dad".parse::<Tenant>().is_ok());
        for bad in ["common", "organizations", "company.com", "", "9188040D-6c67-4c5b-b112-36a304b66dad", "{tenantid}"]
        {
            assert!(bad.parse::<Tenant>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_speaks_for_the_issuer_that_it_names() {
        let exact = Issuer::Exact("https://a.example".into());
        assert!(exact.is_described_by("https://a.example") && exact.may_be("https://a.example"));
        for other in ["https://a.example/", "https://A.example", "https://b.example", ""] {
            assert!(!exact.is_described_by(other) && !exact.may_be(other), "{other}");
        }
        let tenant = |digit: &str| format!("{}-0000-0000-0000-000000000000", digit.repeat(8)).parse().expect("one");
        let template: Box<str> = "https://login.example/{tenantid}/v2.0".into();
        let one = Issuer::Entra { template: template.clone(), tenants: [tenant("1")].into() };
        let own = "https://login.example/11111111-0000-0000-0000-000000000000/v2.0";
        assert_eq!(one.discovery_base(), own);
        assert!(one.is_described_by(own) && !one.is_described_by(&template));
        let two = Issuer::Entra { template: template.clone(), tenants: [tenant("1"), tenant("2")].into() };
        assert_eq!(two.discovery_base(), "https://login.example/organizations/v2.0");
        assert!(two.is_described_by(&template) && !two.is_described_by(own));
        assert!(two.may_be(own) && !two.may_be("https://login.example/33333333-0000-0000-0000-000000000000/v2.0"));
    }
}
