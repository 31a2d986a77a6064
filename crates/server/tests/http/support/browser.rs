//! A browser without a screen: keeps cookies as RFC 6265bis says, follows redirects from host to host, sends what browsers send.

use http::header;
use serde_json::Value;
use url::Url;

use super::{Answer, Ask, HOME, Site};

#[derive(Debug, Clone)]
struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or its `Domain`.
    domain: String,
    host_only: bool,
    path: String,
    /// `SameSite=None`: sent along with what a page of another site asks for.
    everywhere: bool,
}

/// Where a browser came to rest, and by way of what.
#[derive(Debug)]
pub struct Landing {
    pub url: Url,
    pub answer: Answer,
    /// Every URL that was asked for, the last one included.
    pub way: Vec<String>,
}

impl Landing {
    /// Where the page's form leads.
    pub fn action(&self) -> Url {
        let (_, rest) =
            self.answer.body.split_once("method=\"post\" action=\"").unwrap_or_else(|| panic!("no form in {self:?}"));
        // The one character of our addresses that HTML escapes.
        let action = rest.split_once('"').expect("it ends").0.replace("&#38;", "&");
        self.url.join(&action).expect("an address")
    }
}

/// Cookies are kept between requests, for every host.
pub struct Browser<'s> {
    site: &'s Site,
    cookies: Vec<Cookie>,
    address: String,
}

impl<'s> Browser<'s> {
    pub fn new(site: &'s Site) -> Self {
        Self { site, cookies: Vec::new(), address: "192.0.2.7".to_owned() }
    }

    /// The same browser, as the other node of one installation sees it.
    pub fn at<'o>(&self, site: &'o Site) -> Browser<'o> {
        Browser { site, cookies: self.cookies.clone(), address: self.address.clone() }
    }

    /// Moves to another network.
    pub fn moved_to(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// The value of a cookie as `url` would receive it.
    pub fn cookie(&self, url: &str, name: &str) -> Option<String> {
        let url = Url::parse(url).expect("a URL");
        let mut found = self.matching(&url).filter(|cookie| cookie.name == name);
        let first = found.next().map(|cookie| cookie.value.clone());
        assert!(found.next().is_none(), "{name} twice");
        first
    }

    /// All cookies as `url` would receive them: what a request carries.
    pub fn carried(&self, url: &str) -> String {
        let url = Url::parse(url).expect("a URL");
        self.matching(&url).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    /// One navigation and none of the redirects that it leads to; the answer's cookies are kept.
    pub async fn step(&mut self, url: &str) -> Answer {
        let parsed = Url::parse(url).expect("a URL");
        let authority = parsed[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let path = parsed[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        let ask = Ask::get(path).at(&authority).header("cookie", self.carried(url)).from(&self.address);
        let answer = self.site.send(ask).await;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            self.keep(&parsed, line.to_str().expect("ASCII"));
        }
        answer
    }

    /// What a sibling host may do too: sets a cookie for a whole domain, or a path, or under any name without a prefix rule.
    pub fn toss(&mut self, from: &str, line: &str) {
        self.keep(&Url::parse(from).expect("a URL"), line);
    }

    /// A navigation.
    pub async fn open(&mut self, url: &str) -> Landing {
        self.navigate(Url::parse(HOME).expect("a URL").join(url).expect("a URL"), None).await
    }

    /// A form of a page of the same origin.
    pub async fn submit(&mut self, url: &Url, fields: &[(&str, &str)]) -> Landing {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.navigate(url.clone(), Some(fields)).await
    }

    /// What a script of a page at `origin` asks us by `fetch`, with credentials: cookies go along and are kept as their `SameSite` says (RFC 6265bis §5.6.7.1).
    /// Partitions are not modelled: every page of these tests is at the top.
    pub async fn fetch(&mut self, origin: &str, path: &str, fields: &Value) -> Answer {
        let home = Url::parse(HOME).expect("a URL");
        let same_site = site(origin) == site(HOME);
        let cookies = self.matching(&home).filter(|cookie| same_site || cookie.everywhere);
        let cookies: Vec<_> = cookies.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let from = if same_site { "same-site" } else { "cross-site" };
        let mut ask = Ask::post(path).header("origin", origin).header("sec-fetch-site", from).json(fields);
        if !cookies.is_empty() {
            ask = ask.header("cookie", cookies.join("; "));
        }
        let answer = self.site.send(ask.from(&self.address)).await;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().expect("ASCII");
            if same_site || line.contains("; SameSite=None") {
                self.keep(&home, line);
            }
        }
        answer
    }

    /// Fills in the sign-in page.
    pub async fn sign_in(&mut self, page: &str, username: &str, password: &str) -> Landing {
        let shown = self.open(page).await;
        let token = shown.answer.csrf_token().to_owned();
        let fields = [("csrf_token", &*token), ("username", username), ("password", password)];
        self.submit(&shown.action(), &fields).await
    }

    async fn navigate(&mut self, mut url: Url, mut form: Option<Vec<(String, String)>>) -> Landing {
        let mut way = Vec::new();
        loop {
            way.push(url.to_string());
            assert!(way.len() < 20, "redirects without end: {way:?}");
            let authority = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
            if !self.site.answers_at(&authority) {
                // An app: whatever it is, it takes the request and redirects nowhere.
                let answer = Answer { status: 200, headers: http::HeaderMap::new(), body: String::new() };
                return Landing { url, answer, way };
            }
            let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            let mut ask = match &form {
                None => Ask::get(path)
                    .header("sec-fetch-site", "none")
                    .header("sec-fetch-mode", "navigate")
                    .header("sec-fetch-dest", "document"),
                Some(fields) => {
                    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    Ask::post(path).same_origin().form(&fields)
                }
            };
            let cookies: Vec<_> =
                self.matching(&url).map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
            if !cookies.is_empty() {
                ask = ask.header("cookie", cookies.join("; "));
            }
            let answer = self.site.send(ask.at(&authority).from(&self.address)).await;
            for line in answer.headers.get_all(header::SET_COOKIE) {
                self.keep(&url, line.to_str().expect("ASCII"));
            }
            match answer.status {
                301 | 302 | 307 | 308 => panic!("after a POST only 303 is right: {answer:?}"),
                303 => {
                    url = url.join(answer.location()).expect("a URL");
                    form = None;
                }
                _ => return Landing { url, answer, way },
            }
        }
    }

    fn matching<'a>(&'a self, url: &'a Url) -> impl Iterator<Item = &'a Cookie> {
        let host = url.host_str().unwrap_or_default();
        self.cookies.iter().filter(move |cookie| {
            let domain = if cookie.host_only { host == cookie.domain } else { covers(&cookie.domain, host) };
            domain && url.path().starts_with(&cookie.path)
        })
    }

    /// RFC 6265bis §5.7, the parts that matter here: domain, prefixes, replacement by name, domain and path, expiry.
    fn keep(&mut self, url: &Url, line: &str) {
        let host = url.host_str().expect("a host");
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a pair");
        let mut cookie = Cookie {
            name: name.into(),
            value: value.into(),
            domain: host.into(),
            host_only: true,
            path: "/".into(),
            everywhere: false,
        };
        let (mut secure, mut gone) = (false, false);
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("Domain", domain) => (cookie.domain, cookie.host_only) = (domain.into(), false),
                ("Path", path) => cookie.path = path.into(),
                ("Max-Age", age) => gone = age == "0",
                ("Secure", _) => secure = true,
                ("SameSite", at) => cookie.everywhere = at == "None",
                _ => {}
            }
        }
        let lower = name.to_ascii_lowercase();
        let secure_kept = secure || !lower.starts_with("__secure-");
        let host_kept = (secure && cookie.host_only && cookie.path == "/") || !lower.starts_with("__host-");
        if !(covers(&cookie.domain, host) && secure_kept && host_kept) {
            return;
        }
        let same =
            |other: &Cookie| (&other.name, &other.domain, &other.path) == (&cookie.name, &cookie.domain, &cookie.path);
        self.cookies.retain(|other| !same(other));
        if !gone {
            self.cookies.push(cookie);
        }
    }
}

/// The two labels that make a site here: none of our test hosts is below a longer public suffix.
fn site(origin: &str) -> String {
    let url = Url::parse(origin).expect("an origin");
    let labels: Vec<_> = url.host_str().expect("a host").rsplit('.').take(2).collect();
    labels.join(".")
}

fn covers(domain: &str, host: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}
