//! Talking to one node as an app and as browsers do, over loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hallpass_core::id::{SessionId, UserId};
use reqwest::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::furnish::{APP, APP_ORIGIN, Held, PASSWORD};
use crate::rig::Checked;

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
const SESSION_COOKIE: &str = "__Host-Http-hallpass";

/// One node's listeners.
#[derive(Clone)]
pub struct Door {
    client: Client,
    base: String,
    internal: String,
    host: String,
}

/// What introspection said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `active: true`
    Active {
        /// `sid`
        session: SessionId,
        /// `roles`, sorted
        roles: Vec<String>,
    },
    /// Exactly `{"active":false}`
    Inactive,
    /// Anything but 200.
    Refused(StatusCode, String),
}

/// What came of asking for a pass.
#[derive(Debug)]
pub enum Refreshed {
    /// A new pass.
    Pass(String),
    /// 401: there is no such session any more.
    NoSession,
    /// Anything else.
    Refused(StatusCode),
}

/// A sign-in that was acknowledged.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The new session.
    pub session: SessionId,
    /// Its pass.
    pub pass: String,
}

#[derive(Deserialize)]
struct Envelope {
    active: bool,
    sid: SessionId,
    #[serde(default)]
    roles: Vec<String>,
}

impl Door {
    /// To the node that listens on these ports and is known to browsers as `host`.
    pub fn new(port: u16, internal_port: u16, host: &str) -> Checked<Self> {
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(PATIENCE).build()?;
        Ok(Self {
            client,
            base: format!("http://127.0.0.1:{port}"),
            internal: format!("http://127.0.0.1:{internal_port}"),
            host: host.to_owned(),
        })
    }

    /// Whether the node says that it is ready.
    pub async fn ready(&self) -> bool {
        let asked = self.client.get(format!("{}/readyz", self.internal)).timeout(Duration::from_secs(1)).send().await;
        asked.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// Asks about a pass, as the app.
    pub async fn introspect(&self, secret: &str, pass: &str) -> Checked<Answer> {
        let request = self.post("/introspect").basic_auth(APP, Some(secret)).json(&json!({ "token": pass }));
        let response = request.send().await?;
        let status = response.status();
        let body = response.text().await?;
        if status != StatusCode::OK {
            return Ok(Answer::Refused(status, body));
        }
        if body == "{\"active\":false}" {
            return Ok(Answer::Inactive);
        }
        let Envelope { active, sid, mut roles } =
            serde_json::from_str(&body).map_err(|error| format!("introspection said {body:?}: {error}"))?;
        if !active {
            return Err(format!("introspection said {body:?}").into());
        }
        roles.sort_unstable();
        Ok(Answer::Active { session: sid, roles })
    }

    /// Asks for a new pass, as a script of the app in the browser that holds the session.
    pub async fn refresh(&self, session_secret: &str) -> Checked<Refreshed> {
        let request = self.post("/pass/refresh").header(COOKIE, cookie(session_secret)).header(ORIGIN, APP_ORIGIN);
        let response = request.send().await?;
        Ok(match response.status() {
            StatusCode::NO_CONTENT => Refreshed::Pass(pass_of(&response)?),
            StatusCode::UNAUTHORIZED => Refreshed::NoSession,
            other => Refreshed::Refused(other),
        })
    }

    /// Signs somebody in by the app's own page.
    pub async fn sign_in(&self, secret: &str, username: &str, dice: &mut Dice) -> Checked<SignedIn> {
        // From many places: how often one address may try is not what this is about.
        let mut octet = || u8::try_from(dice.below(254) + 1).unwrap_or(1);
        let client_ip = IpAddr::from(Ipv4Addr::new(10, octet(), octet(), octet()));
        let body = json!({ "username": username, "password": PASSWORD, "client_ip": client_ip });
        let response = self.post("/api/v1/sign-in").basic_auth(APP, Some(secret)).json(&body).send().await?;
        let answer: Value = serde_json::from_str(&expect(response, StatusCode::OK).await?)?;
        let session = answer["envelope"]["sid"].as_str().ok_or("a sign-in without a session")?.parse()?;
        let pass = answer["set_cookie"].as_str().and_then(value_of).ok_or("a sign-in without a pass")?;
        Ok(SignedIn { session, pass })
    }

    /// Ends one session, as the app.
    pub async fn sign_out(&self, secret: &str, session: SessionId, user: UserId) -> Checked<()> {
        let body = json!({ "sid": session, "sub": user });
        let response = self.post("/api/v1/sign-out").basic_auth(APP, Some(secret)).json(&body).send().await?;
        let answer: Value = serde_json::from_str(&expect(response, StatusCode::OK).await?)?;
        if answer["signed_out"] == true { Ok(()) } else { Err(format!("a sign-out was answered {answer}").into()) }
    }

    /// The form for ending every session of a person: its token.
    pub async fn account_token(&self, held: &Held) -> Checked<String> {
        let request = self.client.get(format!("{}/account", self.base)).header(HOST, &self.host);
        let page = expect(request.header(COOKIE, cookie(&held.secret)).send().await?, StatusCode::OK).await?;
        let token = page.split_once("name=\"csrf_token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        Ok(token.ok_or("the account page has no form token")?.0.to_owned())
    }

    /// Sends that form.
    pub async fn sign_out_everywhere(&self, held: &Held, token: &str) -> Checked<()> {
        let form: String = form_urlencoded::Serializer::new(String::new()).append_pair("csrf_token", token).finish();
        let request = self.post("/account/sign-out-everywhere").header(COOKIE, cookie(&held.secret));
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        expect(request.send().await?, StatusCode::SEE_OTHER).await.map(drop)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).header(HOST, &self.host)
    }
}

fn cookie(session_secret: &str) -> String {
    format!("{SESSION_COOKIE}={session_secret}")
}

async fn expect(response: Response, status: StatusCode) -> Checked<String> {
    let (said, url) = (response.status(), response.url().path().to_owned());
    let body = response.text().await?;
    if said == status { Ok(body) } else { Err(format!("{url} answered {said} {body}").into()) }
}

fn pass_of(response: &Response) -> Checked<String> {
    let line = response.headers().get(SET_COOKIE).ok_or("a refresh without a pass")?;
    Ok(value_of(line.to_str()?).ok_or("a refresh without a pass")?)
}

fn value_of(line: &str) -> Option<String> {
    Some(line.split(';').next()?.split_once('=')?.1.to_owned())
}
