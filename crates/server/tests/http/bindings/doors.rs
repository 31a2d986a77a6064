//! How each kind of credential is presented at the door that it is for.

use std::sync::atomic::{AtomicU64, Ordering};

use hallpass_server::web::cookies;
use serde_json::json;

use super::held::Held;
use super::{A, Attribute, C, Credential};
use crate::handoff::app_agent;
use crate::oauth::signer::Signer;
use crate::oauth::{self, CALLBACK, SPA, VERIFIER, by_page};
use crate::support::{Ask, Caller, SESSION};
use crate::upstream::fake;

/// What a client asks for a token of its own with that signs assertions.
pub fn by_assertion<'a>(client: &'a str, assertion: &'a str) -> [(&'static str, &'a str); 4] {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_assertion_type", kind),
        ("client_assertion", assertion),
    ]
}

impl Held {
    /// Presents a text at the door of `credential`, with everything else as it should be but `changed`. Whether it was taken.
    pub async fn is_taken(&self, credential: Credential, text: &str, changed: Attribute) -> bool {
        let site = &self.site;
        let mut by = self.owner(credential).clone();
        if changed == A::Client {
            by = site.secret(if credential == C::Pass { "till" } else { "other" }, None).await;
        }
        if changed == A::Secret {
            by.secret.clone_from(&self.site.wiki.secret);
        }
        let verifier = if changed == A::Proof { VERIFIER.replace('d', "e") } else { VERIFIER.to_owned() };
        match credential {
            C::AppSecret => {
                let by = Caller {
                    key: if changed == A::Client { "wiki" } else { "pos" }.to_owned(),
                    secret: text.to_owned(),
                };
                site.send(Ask::introspect(&by, "x")).await.status == 200
            }
            C::Session => site.send(Ask::get("/account").cookie(SESSION, text)).await.status == 200,
            C::PageToken => {
                let cookie = match changed {
                    A::Proof => site.signed_in(&site.ana).await.cookie,
                    _ => self.cookie.clone(),
                };
                let form = Ask::post("/account/sign-out-everywhere").same_origin().cookie(SESSION, &cookie);
                let answer = site.send(form.form(&[("csrf_token", text)])).await;
                // Somebody without a session is led to the sign-in page.
                answer.status == 303 && !answer.location().starts_with("/sign-in")
            }
            C::Pass => {
                let answer = site.send(Ask::introspect(&by, text)).await;
                answer.status == 200 && answer.json()["active"] == true
            }
            C::HandoffCode => {
                let other = "https://till-2.company3.com/.sso/callback";
                let uri = if changed == A::Address { other } else { app_agent::CALLBACK };
                let fields = [("code", text), ("redirect_uri", uri), ("code_verifier", &*verifier)];
                site.send(Ask::post("/handoff/token").by(&by).form(&fields)).await.status == 200
            }
            C::AuthorizationCode => {
                let uri = if changed == A::Address { "https://crm.company.com/other" } else { CALLBACK };
                let changes = [("code_verifier", Some(&*verifier)), ("redirect_uri", Some(uri))];
                oauth::redeem(site, &by, text, &changes).await.status == 200
            }
            C::RefreshToken => oauth::refresh(site, &by, text).await.status == 200,
            C::AccessToken => oauth::userinfo(site, text).await.status == 200,
            C::IdTokenHint => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("id_token_hint", text)
                    .append_pair("client_id", &by.key)
                    .finish();
                let ask = Ask::get(format!("/oauth/logout?{query}")).cookie(SESSION, &self.cookie);
                site.send(ask).await.location().starts_with("/sign-out/receipt")
            }
            C::PushedRequest => {
                let ask = Ask::get(oauth::par::named(&by.key, text, &[])).cookie(SESSION, &self.cookie);
                let answer = site.send(ask).await;
                answer.status == 303 && oauth::said(answer.location(), "code").is_some()
            }
            C::ClientAssertion => {
                let fields = [&by_assertion(&by.key, text)[..], &[("audience", "billing")]].concat();
                site.send(Ask::post("/oauth/token").form(&fields)).await.status == 200
            }
            C::BoundRefreshToken => {
                let fields = [("grant_type", "refresh_token"), ("refresh_token", text)];
                let ask = Ask::post("/oauth/token");
                let ask = match changed {
                    A::Client => ask.by(&by).form(&fields),
                    _ => ask.form(&[&fields[..], &[("client_id", &by.key)]].concat()),
                };
                let proof = self.holder(changed).proof(site, "POST", "/oauth/token");
                let ask = if changed == A::Proof { ask } else { ask.header("dpop", proof) };
                site.send(ask).await.status == 200
            }
            C::BoundAccessToken => {
                let ask = Ask::get("/oauth/userinfo").header("authorization", format!("DPoP {text}"));
                let proof = self.holder(changed).proof_of_token(site, text);
                let ask = if changed == A::Proof { ask } else { ask.header("dpop", proof) };
                site.send(ask).await.status == 200
            }
            C::PossessionProof => {
                let path = "/oauth/userinfo";
                let ask = if changed == A::Address { Ask::post(path).form(&[]) } else { Ask::get(path) };
                // With another key there is another token, which this proof is not about.
                let token = if changed == A::Key { C::AccessToken } else { C::BoundAccessToken };
                let ask = ask.header("authorization", format!("DPoP {}", self.text(token)));
                site.send(ask.header("dpop", text)).await.status == 200
            }
            C::PendingRequest => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("app", &by.key)
                    .append_pair("pending", text)
                    .finish();
                let ask = Ask::get(format!("/oauth/continue?{query}")).cookie(SESSION, &self.cookie);
                let answer = site.send(ask).await;
                answer.status == 303 && answer.location().starts_with(CALLBACK)
            }
            C::DeviceCode => oauth::device::poll(site, &by, text).await.status == 200,
            C::ConsentForm => {
                let action = &self.consents[usize::from(changed == A::Address)];
                let action =
                    if changed == A::Client { action.replace("app=theirs", "app=other") } else { action.clone() };
                let cookie = match changed {
                    A::Proof => site.signed_in(&site.ana).await.cookie,
                    _ => self.cookie.clone(),
                };
                let form = Ask::post(action).same_origin().cookie(SESSION, &cookie);
                let answer = site.send(form.form(&[("csrf_token", text), ("decision", "allow")])).await;
                answer.status == 200 && answer.body.contains("/oauth/continue?app=theirs")
            }
            C::RefreshCookie => {
                let client = if changed == A::Client { "spb" } else { "spa" };
                let origin = if changed == A::Address { "https://pos.company.com" } else { SPA };
                let ask = match changed {
                    // What a form of another page could send.
                    A::Proof => Ask::post("/oauth/token")
                        .header("origin", origin)
                        .header("sec-fetch-site", "same-site")
                        .form(&[("grant_type", "refresh_token"), ("client_id", client)]),
                    _ => by_page(
                        "/oauth/token",
                        origin,
                        &serde_json::json!({ "grant_type": "refresh_token", "client_id": client }),
                    ),
                };
                let name = cookies::refresh(&client.parse().expect("a key"));
                site.send(ask.cookie(&name, text)).await.status == 200
            }
            C::RegistrationToken => {
                let client = &self.registered[usize::from(changed == A::Client)].key;
                let ask = Ask::get(format!("/oauth/register/{client}"));
                site.send(ask.header("authorization", format!("Bearer {text}"))).await.status == 200
            }
            C::ServiceToken | C::DownstreamToken => {
                let service = if changed == A::Client { &by } else { &self.stock };
                let said = site.introspect(service, text).await;
                // What stands for a person has a session, and what stands for an app has none: that is how a service tells them apart.
                said["active"] == true && said["sid"].is_string() == (credential == C::DownstreamToken)
            }
            C::UpstreamAnswer => self.comes_back(text, changed).await,
        }
    }

    /// A browser comes back from a provider that tells us who it is, with this state. Whether somebody is signed in now.
    async fn comes_back(&self, state: &str, changed: Attribute) -> bool {
        static CODES: AtomicU64 = AtomicU64::new(0);
        let number = CODES.fetch_add(1, Ordering::Relaxed);
        let [(mine, carried), (other, carried_by_another)] = &self.trips;
        let [fake, second] = &self.providers;
        let (name, provider) = if changed == A::Address { ("second", second) } else { ("fake", fake) };
        let mut claims = provider.claims(if changed == A::Nonce { &other.nonce } else { &mine.nonce });
        let now = self.site.now().as_seconds();
        (claims["iat"], claims["exp"]) = (now.into(), (now + 300).into());
        match changed {
            A::Issuer => claims["iss"] = second.issuer.clone().into(),
            A::Client => claims["aud"] = "another".into(),
            _ => {}
        }
        provider.gives(&claims);
        if changed == A::Key {
            provider.gives_token(fake::sign(&second.key, &json!({ "alg": "EdDSA", "kid": "one" }), &claims));
        }
        // The other browser's, under the name that this state has.
        let (cookie, _) = carried.split_once('=').expect("a cookie");
        let (_, value) =
            if changed == A::Proof { carried_by_another } else { carried }.split_once('=').expect("a cookie");
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &format!("c{number}"))
            .append_pair("state", state)
            .finish();
        let ask = Ask::get(format!("/upstream/oidc/callback/{name}?{query}"));
        // From everywhere: refused ones are braked by address.
        let ask = ask.header("cookie", format!("{cookie}={value}")).from(&format!("198.51.100.{}", number % 250));
        let answer = self.site.send(ask).await;
        answer.status == 303 && answer.set_cookie(SESSION).is_some()
    }

    /// Whoever holds the key, or somebody with another one.
    const fn holder(&self, changed: Attribute) -> &Signer {
        match changed {
            A::Key => &self.stranger,
            _ => &self.signer,
        }
    }
}
