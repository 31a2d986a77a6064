//! The one HTTP client for addresses that people configure. Protocol §13; advisories on server-side request forgery.
//!
//! `https` only, no redirects, no proxy from the environment. A name is resolved by our own resolver, which refuses it if *any* of its addresses is
//! internal; the connection goes to the addresses that were vetted, so a name that changes its mind in between (DNS rebinding) wins nothing.
//! Idle connections are not kept: every request is vetted.
//!
//! `http` is taken for two things only: a loopback address, written as an address, inside an allowed network, a relay beside the engine; and one
//! base address that the operator has pinned ([`Outgoing::pinned`]), where every address of its name lies in an allowed network.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::config::Network;

const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// The client, for one purpose.
#[derive(Debug, Clone)]
pub struct Outgoing {
    client: reqwest::Client,
    rule: Rule,
}

/// Where it may go.
#[derive(Debug, Clone)]
struct Rule {
    allow: Arc<[Network]>,
    /// In plain text, and therefore nowhere else.
    plain: bool,
}

/// What came back. Any status, also a redirect: it is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// At most 64 KB of the body, unless more was asked for.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub complete: bool,
}

/// Why there is no answer. Never contains the URL, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// We would not send it.
    #[error("not sent: {0}")]
    Refused(#[from] Refusal),
    /// It did not arrive, or the answer did not.
    #[error("no answer: {0}")]
    Failed(String),
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another scheme.
    #[error("the address must begin with https://")]
    Scheme,
    /// Nothing to connect to.
    #[error("the address names no host")]
    NoHost,
    /// The host is, or resolves to, an address where outgoing requests must not go.
    #[error("{0} is {1}; to allow it, list its network in allow_internal")]
    Address(IpAddr, &'static str),
    /// Without TLS, to somewhere that the operator has not named.
    #[error("{0} is in none of the networks of allow_internal, and http goes nowhere else; use https")]
    Plain(IpAddr),
}

impl Outgoing {
    /// A client that reaches public addresses and the networks of `allow`.
    pub fn new(allow: &[Network]) -> Result<Self, OutgoingError> {
        Self::with(Rule { allow: allow.into(), plain: false }, TOTAL)
    }

    /// A client for one base address that the operator has pinned. Loopback names need no entry in `allow`; an `http` address reaches the networks
    /// of `allow` and nothing else.
    pub fn pinned(base: &Url, allow: &[Network], total: Duration) -> Result<Self, OutgoingError> {
        let loopback = match base.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let itself = ["127.0.0.0/8", "::1"].map(|text| Network::try_from(text.to_owned()).expect("a network"));
        let itself = itself.into_iter().filter(|_| loopback);
        let allow: Vec<Network> = allow.iter().copied().chain(itself).collect();
        Self::with(Rule { allow: allow.into(), plain: base.scheme() == "http" }, total)
    }

    fn with(rule: Rule, total: Duration) -> Result<Self, OutgoingError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(total)
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Vetting { rule: rule.clone() }))
            .build();
        Ok(Self { client: client.map_err(|error| failed(&error))?, rule })
    }

    /// What can be said about an address before resolving its name. Called again before each request.
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        // The client asks its resolver about names only; what is written as an address, in whatever notation, is judged here.
        let literal = match url.host() {
            None => return Err(Refusal::NoHost),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        if let Some(address) = literal {
            self.rule.vet(address)?;
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.rule.plain || literal.is_some_and(|address| address.is_loopback()) => Ok(()),
            _ => Err(Refusal::Scheme),
        }
    }

    /// Gets something of up to `limit` bytes.
    pub async fn get_up_to(&self, url: &Url, limit: usize) -> Result<Answer, OutgoingError> {
        self.check(url)?;
        Self::answer_up_to(self.client.get(url.clone()), limit).await
    }

    /// Gets something of up to `limit` bytes, and what is said of it beside.
    pub async fn get_with_headers(&self, url: &Url, limit: usize) -> Result<(Answer, HeaderMap), OutgoingError> {
        self.check(url)?;
        let sent = self.client.get(url.clone()).header("accept", "application/json").send().await;
        let response = sent.map_err(|error| failed(&error))?;
        let headers = response.headers().clone();
        Ok((Self::read(response, limit).await?, headers))
    }

    /// Sends a request without a body. What `headers` hold is sent beside our own name and nothing else.
    pub async fn send(&self, method: Method, url: &Url, headers: HeaderMap) -> Result<Answer, OutgoingError> {
        self.check(url)?;
        Self::answer(self.client.request(method, url.clone()).headers(headers)).await
    }

    /// Gets whatever is there.
    pub async fn get(&self, url: &Url) -> Result<Answer, OutgoingError> {
        self.check(url)?;
        Self::answer(self.client.get(url.clone())).await
    }

    /// Posts JSON.
    pub async fn post_json(&self, url: &Url, body: &serde_json::Value) -> Result<Answer, OutgoingError> {
        self.check(url)?;
        Self::answer(self.client.post(url.clone()).json(body)).await
    }

    /// Posts a form.
    pub async fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Answer, OutgoingError> {
        self.post_form_with(url, HeaderMap::new(), fields).await
    }

    /// Posts a form, with headers.
    pub async fn post_form_with(
        &self,
        url: &Url,
        headers: HeaderMap,
        fields: &[(&str, &str)],
    ) -> Result<Answer, OutgoingError> {
        self.check(url)?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(url.clone()).headers(headers);
        Self::answer(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, OutgoingError> {
        Self::answer_up_to(request, ANSWER).await
    }

    async fn answer_up_to(request: reqwest::RequestBuilder, limit: usize) -> Result<Answer, OutgoingError> {
        let sent = request.send().await;
        Self::read(sent.map_err(|error| failed(&error))?, limit).await
    }

    async fn read(mut response: reqwest::Response, limit: usize) -> Result<Answer, OutgoingError> {
        let mut answer = Answer { status: response.status(), body: Vec::new(), complete: true };
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            let room = limit - answer.body.len();
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                answer.complete = false;
                break;
            }
        }
        Ok(answer)
    }
}

/// The causes, without the client's own first line: it would repeat the URL.
fn failed(error: &reqwest::Error) -> OutgoingError {
    let causes: Vec<&(dyn Error + 'static)> = std::iter::successors(error.source(), |&cause| cause.source()).collect();
    if let Some(refusal) = causes.iter().find_map(|cause| cause.downcast_ref::<Refusal>()) {
        return OutgoingError::Refused(refusal.clone());
    }
    let kind = match error {
        error if error.is_timeout() => "timed out",
        error if error.is_connect() => "cannot connect",
        _ => "the exchange broke off",
    };
    match causes.last() {
        Some(cause) => OutgoingError::Failed(format!("{kind}: {cause}")),
        None => OutgoingError::Failed(kind.to_owned()),
    }
}

/// Resolves names, and lets none through that leads inside.
struct Vetting {
    rule: Rule,
}

impl Resolve for Vetting {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.rule.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = if name.as_str().ends_with(".localhost") {
                // Loopback by RFC 6761 section 6.3, as browsers have it; not every system's resolver knows.
                vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]
            } else {
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect()
            };
            found.iter().try_for_each(|address| rule.vet(address.ip()))?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

impl Rule {
    fn vet(&self, address: IpAddr) -> Result<(), Refusal> {
        let allowed = self.allow.iter().any(|network| network.contains(address));
        match internal(address) {
            _ if allowed => Ok(()),
            Some(why) => Err(Refusal::Address(address, why)),
            None if self.plain => Err(Refusal::Plain(address)),
            None => Ok(()),
        }
    }
}

/// Why an address is none of the public internet; `None` if it is.
///
/// IPv4 by the list of special-purpose blocks (RFC 6890 and its registry). IPv6 the other way round: only global unicast (`2000::/3`) is public, and of it
/// not what carries an IPv4 address inside, since a gateway on the way would take it out again.
pub fn internal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => internal_v4(address),
        IpAddr::V6(address) => internal_v6(address),
    }
}

fn internal_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => Some("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [169, 254, ..] => Some("a link-local address"),
        [100, 64..=127, ..] => Some("a carrier-grade NAT address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Some("a reserved address"),
        _ => None,
    }
}

fn internal_v6(address: Ipv6Addr) -> Option<&'static str> {
    const EMBEDDED: &str = "an IPv6 form of an IPv4 address";
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        // What the operating system, or a NAT64 in front of a network without IPv4, turns into IPv4: as good as the address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            internal_v4(Ipv4Addr::new(a, b, c, d))
        }
        // IPv4-compatible, local NAT64, 6to4, Teredo, ISATAP: nobody needs them.
        [0, 0, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, ..]
        | [0x2002, ..]
        | [0x2001, 0, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some(EMBEDDED),
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 1..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::header;
    use axum::routing::post;
    use serde_json::json;

    use super::*;

    fn networks(of: &[&str]) -> Vec<Network> {
        of.iter().map(|text| Network::try_from((*text).to_owned()).expect("a network")).collect()
    }

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    /// A server on loopback, and the address of it.
    async fn serve(router: Router) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[test]
    fn every_way_to_write_an_internal_address_is_known() {
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.1.1",
            "::10.0.0.1",
            "::8.8.8.8",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2606::5efe:10.0.0.1",
            "2606::200:5efe:10.0.0.1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001:20::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(internal(inside.parse().expect("an address")).is_some(), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(internal(outside.parse().expect("an address")), None, "{outside}");
        }
    }

    #[test]
    fn addresses_are_judged_however_they_are_written() {
        let client = Outgoing::new(&[]).expect("a client");
        for inside in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://%31%32%37.0.0.1/",
            "https://１２７.0.0.1/",
            "https://10.0.0.1:8443/",
            "http://127.0.0.1/",
        ] {
            assert!(matches!(client.check(&url(inside)), Err(Refusal::Address(..))), "{inside}");
        }
        for scheme in ["http://hooks.company.com/", "http://1.1.1.1/", "ftp://1.1.1.1/", "http://localhost/"] {
            assert_eq!(client.check(&url(scheme)), Err(Refusal::Scheme), "{scheme}");
        }
        assert_eq!(client.check(&url("data:text/plain,x")), Err(Refusal::NoHost));
        assert_eq!(client.check(&url("https://hooks.company.com/")), Ok(()), "judged when it is resolved");
    }

    #[test]
    fn plain_http_is_for_allowed_loopback_addresses_only() {
        let client = Outgoing::new(&networks(&["127.0.0.0/8", "10.0.0.0/8"])).expect("a client");
        assert_eq!(client.check(&url("http://127.0.0.1:9000/")), Ok(()));
        assert_eq!(client.check(&url("https://10.0.0.1/")), Ok(()));
        for refused in ["http://10.0.0.1/", "http://localhost:9000/"] {
            assert_eq!(client.check(&url(refused)), Err(Refusal::Scheme), "{refused}");
        }
        assert!(matches!(client.check(&url("https://192.168.0.1/")), Err(Refusal::Address(..))));
    }

    #[test]
    fn a_pinned_address_in_plain_text_goes_where_the_operator_says_and_nowhere_else() {
        let checked = |base: &str, allow: &[&str], target: &str| {
            let client = Outgoing::pinned(&url(base), &networks(allow), TOTAL).expect("a client");
            client.check(&url(target))
        };
        for (base, allow) in [
            ("http://127.0.0.1:4433", &[][..]),
            ("http://[::1]:4433", &[]),
            ("http://10.1.2.3:4433", &["10.0.0.0/8"]),
            ("https://10.1.2.3", &["10.0.0.0/8"]),
            ("https://1.1.1.1", &[]),
        ] {
            assert_eq!(checked(base, allow, base), Ok(()), "{base}");
        }
        assert!(matches!(checked("http://10.1.2.3", &[], "http://10.1.2.3"), Err(Refusal::Address(..))));
        assert!(matches!(checked("https://10.1.2.3", &[], "https://10.1.2.3"), Err(Refusal::Address(..))));
        assert!(matches!(checked("http://1.1.1.1", &["10.0.0.0/8"], "http://1.1.1.1"), Err(Refusal::Plain(_))));
        assert_eq!(checked("https://a.company.com", &[], "http://b.company.com"), Err(Refusal::Scheme));
        assert!(matches!(checked("https://a.company.com", &[], "https://127.0.0.1"), Err(Refusal::Address(..))));
    }

    #[tokio::test]
    async fn a_name_that_leads_outside_is_not_asked_in_plain_text() {
        // Names are judged by all their addresses, as those of https are.
        let vetting = |allow: &[&str]| Vetting { rule: Rule { allow: networks(allow).into(), plain: true } };
        let localhost = || "localhost".parse().expect("a name");
        assert!(vetting(&["127.0.0.0/8", "::1"]).resolve(localhost()).await.is_ok());
        assert!(vetting(&["10.0.0.0/8"]).resolve(localhost()).await.is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_before_anything_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let target = url(&format!("https://localhost:{port}/secret-token"));
        let refused = Outgoing::new(&[]).expect("a client").post_json(&target, &json!({})).await;
        assert!(matches!(refused, Err(OutgoingError::Refused(Refusal::Address(..)))), "{refused:?}");
        // With the network allowed it comes as far as TLS, and the error does not repeat the address.
        let allowed = Outgoing::new(&networks(&["127.0.0.0/8", "::1"])).expect("a client");
        let nothing = json!({});
        let (answer, ()) = tokio::join!(allowed.post_json(&target, &nothing), async {
            drop(listener.accept().await.expect("a connection"));
        });
        let error = answer.expect_err("no TLS there");
        assert!(matches!(error, OutgoingError::Failed(_)) && !error.to_string().contains("secret-token"), "{error}");
    }

    #[tokio::test]
    async fn redirects_are_an_answer_and_long_answers_are_cut() {
        let router = Router::new()
            .route("/moved", post(async || (StatusCode::FOUND, [(header::LOCATION, "/echo")])))
            .route("/echo", post(async |body: String| body))
            .route("/long", post(async || "x".repeat(ANSWER + 1)))
            .route("/full", post(async || "x".repeat(ANSWER)));
        let address = serve(router).await;
        let client = Outgoing::new(&networks(&["127.0.0.1"])).expect("a client");
        let post = async |path: &str| {
            let target = url(&format!("http://{address}{path}"));
            client.post_json(&target, &json!({ "text": "hello" })).await.expect("an answer")
        };
        let moved = post("/moved").await;
        assert_eq!((moved.status, moved.body.len()), (StatusCode::FOUND, 0));
        assert_eq!(
            post("/echo").await,
            Answer { status: StatusCode::OK, body: b"{\"text\":\"hello\"}".to_vec(), complete: true }
        );
        let long = post("/long").await;
        assert_eq!((long.body.len(), long.complete), (ANSWER, false));
        let full = post("/full").await;
        assert_eq!((full.body.len(), full.complete), (ANSWER, true));
    }
}
