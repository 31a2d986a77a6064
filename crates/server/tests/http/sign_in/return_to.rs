//! T7: no text whatever leads a browser out of the app's registered origins.

use std::path::PathBuf;

use url::Url;

use crate::support::{Ask, Browser, HOME, PASS, PASSWORD, SESSION, Site};

/// Where `pos` is.
const ORIGINS: [&str; 2] = ["https://pos.company.com", "https://pos-2.company.com"];

/// Published bypasses, where they are at hand: one to a line.
#[expect(clippy::print_stderr, reason = "says what was skipped")]
fn published() -> Vec<String> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let directory = std::env::var_os("HALLPASS_TEST_DATA").map_or(beside, PathBuf::from);
    let path = directory.join("open-redirects.txt");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: no open-redirects.txt in HALLPASS_TEST_DATA; only our own variants were tried");
        return Vec::new();
    };
    String::from_utf8_lossy(&bytes).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Our own: every way we know to write "elsewhere" so that it looks like `pos`.
fn variants() -> Vec<String> {
    let prefixes = [
        "",
        "/",
        "//",
        "///",
        "////",
        "/\\",
        "\\\\",
        "\\/",
        "/\\/",
        "http:",
        "https:",
        "http://",
        "https://",
        "HTTPS://",
        "https:/",
        "https:///",
        "https:\\\\",
        "https:/\\",
        "//\t/",
        "/\t/",
        "\t//",
        " https://",
        "\u{0}https://",
        "javascript:",
        "JaVaScRiPt:",
        "java\tscript:",
        "data:text/html,",
        "vbscript:",
        "blob:https://",
        "filesystem:https://",
        "view-source:https://",
        "ftp://",
        "file://",
        "about:",
        "mailto:",
        "wss://",
        "%2f%2f",
        "/%2f",
        "/%09/",
        "/%5c",
        "/.//",
        "/..//",
        "/;/",
        "//%0d%0a",
        "https://%00",
    ];
    let hosts = [
        "evil.example",
        "pos.company.com.evil.example",
        "evil.example#@pos.company.com",
        "pos.company.com@evil.example",
        "pos.company.com:x@evil.example",
        "evil.example?pos.company.com",
        "evil.example/pos.company.com",
        "evil.example\\@pos.company.com",
        "evil.example%2f@pos.company.com",
        "pos.company.com%2eevil.example",
        "pos.company.com%00.evil.example",
        "evilpos.company.com",
        "pos.company.comevil.example",
        "company.com",
        "auth.company.com",
        "wiki.company.com",
        "shop.company2.com",
        "pos.company.com.",
        "pos.company.com:8443",
        "pos.company.com:80",
        "pos\u{3002}company\u{3002}com",
        "p\u{043e}s.company.com",
        "xn--ps-jlc.company.com",
        "\u{ff50}os.company.com.evil.example",
        "[::1]",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "localhost",
        "pos.company.com\t.evil.example",
        "pos.company.com\n.evil.example",
        "pos.company.com;evil.example",
        "pos.company.com&evil.example",
        "pos.company.com,evil.example",
        "pos.company.com\u{2028}.evil.example",
        "evil.example\u{2044}pos.company.com",
        "pos.company.com|evil.example",
        "*.company.com",
        "pos.company.com^evil.example",
        "pos_company.com",
        "-pos.company.com",
        "pos..company.com",
        ".pos.company.com",
        "pos.company.com%20.evil.example",
        "evil.example:443@pos.company.com",
    ];
    let suffixes = ["", "/", "/%2e%2e", "?return=https://pos.company.com"];
    let mut variants = Vec::new();
    for prefix in prefixes {
        for host in hosts {
            variants.extend(suffixes.map(|suffix| format!("{prefix}{host}{suffix}")));
        }
    }
    for origin in ORIGINS {
        for tail in [
            "\r\nLocation: https://evil.example",
            "/\r\n\r\n<script>",
            "\u{0}",
            "\t",
            " ",
            "/\\evil.example",
            "/\u{7f}",
            "%0d%0a",
            "/\u{85}x",
            "/\u{a0}x",
        ] {
            variants.push(format!("{origin}{tail}"));
        }
        variants.push(format!("{origin}/{}", "x".repeat(2048)));
    }
    variants
}

/// All of them: at least two thousand.
pub fn hostile() -> Vec<String> {
    let texts = [published(), variants()].concat();
    assert!(texts.len() >= 2000, "{}", texts.len());
    texts
}

/// A browser reads a `Location` against the address that it is at, and forgives a great deal.
fn leads_to(location: &str) -> String {
    let base = Url::parse("https://auth.company.com/continue").expect("a URL");
    base.join(location).map_or_else(|error| error.to_string(), |url| url.origin().ascii_serialization())
}

#[tokio::test]
async fn no_text_leads_out_of_the_registered_origins() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    let texts = hostile();
    let mut followed = 0;
    for text in &texts {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for path in ["/continue", "/sign-in"] {
            let answer =
                site.send(Ask::get(format!("{path}?app=pos&return_to={encoded}")).cookie(SESSION, &ana.cookie)).await;
            match answer.status {
                400 => assert!(answer.header("location").is_none() && !answer.body.contains("evil"), "{text:?}"),
                303 if path == "/sign-in" => {
                    assert!(answer.location().starts_with("/continue?app=pos&return_to="), "{text:?}");
                }
                303 => {
                    followed += 1;
                    let location = answer.location();
                    let plain = ORIGINS
                        .iter()
                        .any(|origin| location.strip_prefix(origin).is_some_and(|rest| rest.starts_with('/')));
                    assert!(plain && ORIGINS.contains(&&*leads_to(location)), "{text:?} leads to {location}");
                }
                status => panic!("{text:?}: {status}"),
            }
        }
    }
    // Should every text be refused, the test would prove nothing about what is followed.
    let answer = site
        .send(
            Ask::get("/continue?app=pos&return_to=https%3A%2F%2Fpos-2.company.com%2Fa%3Fb%23c")
                .cookie(SESSION, &ana.cookie),
        )
        .await;
    assert_eq!(answer.location(), "https://pos-2.company.com/a?b#c");
    assert!(followed < texts.len() / 10, "{followed} of {} led somewhere", texts.len());
}

/// T8: whoever chooses where a browser goes gets the browser there and nothing besides, neither in an address nor on the way.
#[tokio::test]
async fn what_leads_to_an_app_carries_no_credential() {
    const THERE: &str = "https://pos-2.company.com/a?b=1#c";
    let site = Site::start().await;
    let mut browser = Browser::new(&site);
    let page =
        format!("/sign-in?app=pos&return_to={}", form_urlencoded::byte_serialize(THERE.as_bytes()).collect::<String>());
    let landing = browser.sign_in(&page, "ana", PASSWORD).await;
    let (last, before) = landing.way.split_last().expect("it went somewhere");
    assert_eq!(last, THERE);
    let held = [(HOME, SESSION), ("https://pos.company.com/", PASS)]
        .map(|(url, name)| browser.cookie(url, name).expect("signed in"));
    for url in before.iter().chain(&browser.open(&page).await.way) {
        assert!(url.starts_with(&format!("{HOME}/")) || url == THERE, "{url}");
        assert!(
            !url.contains("hp_") && !url.contains("eyJ") && !held.iter().any(|secret| url.contains(secret)),
            "{url}"
        );
    }
}

#[tokio::test]
async fn an_unknown_or_disabled_app_leads_nowhere() {
    let site = Site::start().await;
    let ana = site.signed_in(&site.ana).await;
    site.app("off", |app| app.disabled_at = Some(hallpass_core::time::Timestamp::default())).await;
    for query in [
        "?app=nobody",
        "?app=off",
        "?app=",
        "?return_to=https%3A%2F%2Fpos.company.com%2F",
        "?app=wiki&return_to=https%3A%2F%2Fpos.company.com%2F",
        "?app=pos&app=wiki",
        "?app=pos&return_to=https%3A%2F%2Fpos.company.com%2F&return_to=https%3A%2F%2Fevil.example",
        "?app=pos&next=https%3A%2F%2Fevil.example",
    ] {
        for path in ["/sign-in", "/continue", "/pass/refresh"] {
            for cookie in [&*ana.cookie, ""] {
                let answer = site.send(Ask::get(format!("{path}{query}")).cookie(SESSION, cookie)).await;
                let signed_out = path == "/continue" && cookie.is_empty();
                assert_eq!(answer.status, if signed_out { 303 } else { 400 }, "{path}{query}");
                assert_eq!(answer.header("location"), signed_out.then_some("/sign-in"), "{path}{query}");
            }
        }
    }
    assert_eq!(
        site.send(Ask::get("/continue?app=pos").cookie(SESSION, &ana.cookie)).await.location(),
        "https://pos.company.com/"
    );
}
