//! What another provider says about itself (OIDC Discovery 1.0 §3, RFC 8414 §2), as far as we need it.

use serde::Deserialize;
use url::Url;

use super::issuer::Issuer;
use crate::crypto::Algorithm;

/// Signatures that we take, in whatever order a provider lists them. No HMAC, which everybody who knows the client secret can make, and no `none`.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256];

/// A provider's addresses and habits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Where people sign in.
    pub authorization_endpoint: Url,
    /// Where codes are redeemed.
    pub token_endpoint: Url,
    /// Its keys.
    pub jwks_uri: Url,
    /// Where more is said about people.
    pub userinfo_endpoint: Option<Url>,
    /// Where people sign out, if it takes them back to whoever sent them (OIDC RP-Initiated Logout 1.0 §2.1).
    pub end_session_endpoint: Option<Url>,
    /// What it may sign ID tokens with, of what we take.
    pub algorithms: Vec<Algorithm>,
    /// How a client may show its secret, of what we do; the first is the one to use.
    pub authentication: Vec<ClientAuthentication>,
    /// It lets people choose among their accounts (`prompt=select_account`), as far as it says.
    pub lets_choose: bool,
    /// Its answers name it (RFC 9207 §3).
    pub names_itself: bool,
}

/// How a client shows its secret (OIDC Core 1.0 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ClientAuthentication {
    /// HTTP Basic.
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// In the form.
    #[serde(rename = "client_secret_post")]
    Post,
}

impl Metadata {
    /// Reads a discovery document that must speak for `issuer`. Why it cannot be used, in words for the log.
    pub fn read(bytes: &[u8], issuer: &Issuer) -> Result<Self, &'static str> {
        let said: Said = serde_json::from_slice(bytes).map_err(|_| "its discovery document is not one")?;
        if !issuer.is_described_by(&said.issuer) {
            return Err("its discovery document names another issuer; write the issuer exactly as it does");
        }
        let endpoint = |text: String| {
            let url = Url::parse(&text).map_err(|_| "its discovery document holds an address that is none")?;
            let plain =
                url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
            let web = matches!(url.scheme(), "https" | "http");
            if plain && web { Ok(url) } else { Err("its discovery document holds an address that is none") }
        };
        let algorithms = said.id_token_signing_alg_values_supported.iter().filter_map(|text| Algorithm::parse(text));
        let algorithms: Vec<_> = algorithms.filter(|algorithm| ALGORITHMS.contains(algorithm)).collect();
        if algorithms.is_empty() {
            return Err("it signs ID tokens with none of RS256, ES256, EdDSA and PS256");
        }
        // Not said means Basic.
        let methods =
            said.token_endpoint_auth_methods_supported.unwrap_or_else(|| vec!["client_secret_basic".to_owned()]);
        let known =
            [(ClientAuthentication::Basic, "client_secret_basic"), (ClientAuthentication::Post, "client_secret_post")];
        let authentication = known.into_iter().filter(|(_, text)| methods.iter().any(|method| method == text));
        Ok(Self {
            authorization_endpoint: endpoint(said.authorization_endpoint)?,
            token_endpoint: endpoint(said.token_endpoint)?,
            jwks_uri: endpoint(said.jwks_uri)?,
            userinfo_endpoint: said.userinfo_endpoint.map(endpoint).transpose()?,
            // Without it nobody can sign out there; signing in is not to suffer for it.
            end_session_endpoint: said.end_session_endpoint.and_then(|text| endpoint(text).ok()),
            algorithms,
            authentication: authentication.map(|(method, _)| method).collect(),
            lets_choose: said
                .prompt_values_supported
                .is_none_or(|values| values.iter().any(|value| value == "select_account")),
            names_itself: said.authorization_response_iss_parameter_supported,
        })
    }
}

/// The document; providers say more.
#[derive(Deserialize)]
struct Said {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    id_token_signing_alg_values_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    prompt_values_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(change: impl FnOnce(&mut Value)) -> Result<Metadata, &'static str> {
        let mut document = crate::oidc::metadata::metadata("https://auth.company.com");
        change(&mut document);
        Metadata::read(document.to_string().as_bytes(), &Issuer::Exact("https://auth.company.com".into()))
    }

    #[test]
    fn our_own_document_is_understood() {
        let metadata = read(|_| ()).expect("good");
        assert_eq!(metadata.token_endpoint.as_str(), "https://auth.company.com/oauth/token");
        assert_eq!(metadata.authentication, [ClientAuthentication::Basic, ClientAuthentication::Post]);
        let end = metadata.end_session_endpoint.as_ref().map(Url::as_str);
        assert_eq!(end, Some("https://auth.company.com/oauth/logout"));
        let broken = read(|document| document["end_session_endpoint"] = "javascript:alert(1)".into()).expect("good");
        assert_eq!(broken.end_session_endpoint, None, "nobody is kept from signing in by it");
        assert!(metadata.names_itself && metadata.algorithms.contains(&Algorithm::Rs256));
        assert!(metadata.lets_choose);
        let forms = read(|document| document["prompt_values_supported"] = json!(["none", "login"])).expect("good");
        assert!(!forms.lets_choose);
        let silent = read(|document| {
            let members = document.as_object_mut().expect("an object");
            members.remove("token_endpoint_auth_methods_supported");
            members.remove("authorization_response_iss_parameter_supported");
            members.remove("userinfo_endpoint");
        });
        let silent = silent.expect("good");
        assert_eq!((silent.authentication, silent.names_itself), (vec![ClientAuthentication::Basic], false));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let with = |name: &'static str, value: Value| read(move |document| document[name] = value).err();
        for (name, value) in [
            ("issuer", json!("https://auth.company.com/")),
            ("issuer", json!("https://evil.example")),
            ("issuer", json!(null)),
            ("token_endpoint", json!("javascript:alert(1)")),
            ("token_endpoint", json!("https://user:password@auth.company.com/")),
            ("authorization_endpoint", json!("data:text/html,x")),
            ("jwks_uri", json!("/jwks.json")),
            ("id_token_signing_alg_values_supported", json!(["none", "HS256", "RS512"])),
            ("id_token_signing_alg_values_supported", json!("RS256")),
        ] {
            assert!(with(name, value.clone()).is_some(), "{name} {value}");
        }
        assert!(Metadata::read(b"[]", &Issuer::Exact("https://auth.company.com".into())).is_err());
    }
}
