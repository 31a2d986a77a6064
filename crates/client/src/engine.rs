//! Calls to the engine, authenticated as this app with HTTP Basic (protocol §4, §5, §8, §9). Whatever goes wrong here is
//! [`Away`] and becomes 503: never an anonymous visitor, never an allowed one.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use url::{Url, form_urlencoded};

use crate::origin::Origin;
pub(crate) use crate::reply::Away;
use crate::reply::{Unread, refused, send, unreachable};
use crate::secret::SecretKey;
use crate::wire::{self, Answer, Parties, Question, Redemption};

/// Why a handoff's code brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRedeemed {
    /// Unknown, too old, used, or another browser's.
    Refused,
    /// Nobody knows.
    Away(Away),
}

/// The engine, as this app reaches it.
pub(crate) struct Engine {
    http: reqwest::Client,
    base: Origin,
    public: Origin,
    parties: Parties,
    secret: SecretKey,
    host: String,
    timeout: Duration,
}

impl Engine {
    /// `public` is the issuer; with `connect_to`, its host is reached there under its own name.
    pub(crate) fn new(
        public: Origin,
        connect_to: Option<SocketAddr>,
        app_key: &str,
        secret: SecretKey,
        host: &str,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let mut http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(timeout)
            .user_agent(concat!("hallpass-client/", env!("CARGO_PKG_VERSION")));
        let mut base = public.clone();
        if let Some(address) = connect_to {
            http = http.resolve(public.host(), address);
            base = public.with_port(address.port());
        }
        Ok(Self {
            http: http.build()?,
            base,
            parties: Parties { issuer: public.as_str().to_owned(), app_key: app_key.to_owned() },
            public,
            secret,
            host: host.to_owned(),
            timeout,
        })
    }

    /// The origin people see.
    pub(crate) fn public(&self) -> &Origin {
        &self.public
    }

    /// Asks about passes; one answer for each.
    pub(crate) async fn introspect(&self, question: &Question) -> Result<Vec<Answer>, Away> {
        let request = self
            .request(Method::POST, self.base.at("/introspect"))
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .body(question.to_json(&self.host));
        let body = self.succeed("introspection", request).await?;
        wire::answers(&body, question, &self.parties).map_err(|fault| {
            tracing::error!(%fault, "the engine's introspection answer cannot be used");
            Away::Misconfigured
        })
    }

    /// Ends a session, in every app. Gives the address at the engine where the person sees what became of it, if it says.
    pub(crate) async fn sign_out(&self, session_id: &str, user_id: &str) -> Result<Option<String>, Away> {
        let body = serde_json::json!({"sid": session_id, "sub": user_id}).to_string();
        let request = self
            .request(Method::POST, self.base.at("/api/v1/sign-out"))
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let body = self.succeed("sign-out", request).await?;
        Ok(wire::continue_at(&body, &self.public))
    }

    /// The session that a logout token from this engine reports as over; `None` if it is none, or not for this app.
    pub(crate) fn ended_session(&self, logout_token: &str) -> Option<String> {
        wire::ended_session(logout_token, &self.parties)
    }

    /// Exchanges the code of a handoff (protocol §8 number 4; RFC 6749 §4.1.3, RFC 7636 §4.5).
    pub(crate) async fn redeem(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Redemption, NotRedeemed> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", verifier)
            .finish();
        let request = || {
            self.request(Method::POST, self.base.at("/handoff/token"))
                .timeout(self.timeout)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone())
        };
        let mut reply = send(request()).await;
        // The engine may have used up the code before the connection broke. It answers the identical question again for ten
        // seconds; giving up would leave somebody with a spent code.
        if let Err(Unread::Broken(error)) = &reply
            && !error.is_timeout()
        {
            reply = send(request()).await;
        }
        let reply = reply.map_err(|unread| NotRedeemed::Away(unread.report("handoff")))?;
        if reply.status == StatusCode::BAD_REQUEST && wire::is_invalid_grant(&reply.body) {
            return Err(NotRedeemed::Refused);
        }
        if reply.status != StatusCode::OK {
            return Err(NotRedeemed::Away(refused("handoff", reply.status, &reply.headers)));
        }
        wire::redemption(&reply.body, &self.parties).map_err(|fault| {
            tracing::error!(%fault, "the engine's answer to a handoff's code cannot be used");
            NotRedeemed::Away(Away::Misconfigured)
        })
    }

    /// Opens the change stream after `cursor`.
    pub(crate) async fn changes(&self, cursor: Option<&str>) -> Result<Response, Away> {
        let mut url = self.base.at("/api/v1/changes");
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("since", cursor);
        }
        let request = self.request(Method::GET, url).header(ACCEPT, "text/event-stream");
        let opened = tokio::time::timeout(self.timeout, request.send()).await;
        let response = match opened {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(unreachable("change stream", &error)),
            Err(elapsed) => return Err(unreachable("change stream", &elapsed)),
        };
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if response.status() == StatusCode::OK && content_type.is_some_and(|text| text.starts_with("text/event-stream"))
        {
            return Ok(response);
        }
        Err(refused("change stream", response.status(), response.headers()))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http
            .request(method, url)
            // Its public name, also where another address is dialled: the engine answers 421 to any other.
            .header(HOST, self.public.authority())
            .basic_auth(&self.parties.app_key, Some(self.secret.expose()))
    }

    async fn succeed(&self, what: &'static str, request: RequestBuilder) -> Result<Bytes, Away> {
        let reply = send(request).await.map_err(|unread| unread.report(what))?;
        if !reply.status.is_success() {
            return Err(refused(what, reply.status, &reply.headers));
        }
        Ok(reply.body)
    }
}
