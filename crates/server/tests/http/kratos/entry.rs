//! Entry points: addresses that people have bookmarked lead to the home page, and do nothing else.

use http::Method;

use super::*;
use crate::support::Ask;

#[tokio::test]
async fn what_people_have_bookmarked_leads_home() {
    let (site, kratos) = company(|config| {
        config.entry_points = ["https://accounts.company.com", "https://id.company.com:8443"]
            .map(|origin| origin.parse().expect("an origin"))
            .into();
    })
    .await;
    for host in ["accounts.company.com", "id.company.com:8443"] {
        for path in ["/", "/login?flow=1", "/sign-in", "/introspect", "//evil.example", "/.sso/start"] {
            for method in [Method::GET, Method::HEAD] {
                let ask = Ask::new(method, path).at(host).cookie(SESSION, "hp_ss_x");
                let answer = site.send(ask).await;
                assert_eq!((answer.status, answer.location()), (303, "https://auth.company.com/"), "{host}{path}");
                assert!(answer.header("set-cookie").is_none());
                assert_eq!(answer.header("cache-control"), Some("no-store"));
            }
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = site.send(Ask::new(method, "/sign-in").at(host)).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
            assert!(answer.header("set-cookie").is_none());
        }
    }
    assert!(!site.answers_at("accounts.company.com:8443") && !site.answers_at("login.company.com"));
    assert_eq!(kratos.heard().len(), 0);
    // The whole way, from the bookmark to Kratos' page and home.
    let mia = mia(&kratos);
    let mut browser = Browser::new(&site);
    let landing = browser.open("https://accounts.company.com/").await;
    assert_eq!(landing.url.as_str(), "https://auth.company.com/sign-in");
    let (url, status) = open(&mut browser, &kratos, &mia, START).await;
    assert_eq!((url.as_str(), status), ("https://auth.company.com/", 200));
}
