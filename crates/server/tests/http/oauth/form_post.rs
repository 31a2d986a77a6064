//! Requests that come as a form (OIDC Core 1.0 §3.1.2.1), and answers that go as one (OAuth 2.0 Form Post Response Mode); T5, T6, T84.

use super::*;
use crate::support::SESSION;

const FORM_POST: (&str, Option<&str>) = ("response_mode", Some("form_post"));

/// What the page posts under this name, as a browser reads it.
fn posted(answer: &Answer, name: &str) -> Option<String> {
    let (_, rest) = answer.body.split_once(&format!("name=\"{name}\" value=\""))?;
    let value = rest.split_once('"').expect("it ends").0;
    Some(
        value
            .replace("&#34;", "\"")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#39;", "'")
            .replace("&#38;", "&"),
    )
}

fn action(answer: &Answer) -> String {
    let (_, rest) =
        answer.body.split_once("method=\"post\" action=\"").unwrap_or_else(|| panic!("no form in {answer:?}"));
    rest.split_once('"').expect("it ends").0.to_owned()
}

#[tokio::test]
async fn a_code_is_posted_by_a_page_that_works_without_its_script() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let state = "\"><script>x</script>&'";
    let answer = browser.step(&authorize_url(&[FORM_POST, ("state", Some(state))])).await;
    assert_eq!((answer.status, answer.header("location"), action(&answer)), (200, None, CALLBACK.to_owned()));
    assert_eq!((posted(&answer, "state").as_deref(), posted(&answer, "iss").as_deref()), (Some(state), Some(HOME)));
    assert!(
        !answer.body.contains("<script>x") && answer.body.contains("<button class=\"button big\" type=\"submit\">")
    );
    assert_eq!(answer.body.matches("<script").count(), 1, "{answer:?}");
    assert!(answer.body.contains("<script src=\"/assets/submit-"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("form-action 'self' https://crm.company.com; script-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!((answer.header("cache-control"), answer.header("x-frame-options")), (Some("no-store"), Some("DENY")));
    let code = posted(&answer, "code").expect("a code");
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);
}

#[tokio::test]
async fn refusals_are_posted_too() {
    let site = Site::start().await;
    client_with(&site, "crm", |app| app.third_party = true).await;
    let mut browser = at_home(&site).await;
    let mut nobody = Browser::new(&site);
    for (here, change, expected) in [
        (false, ("prompt", Some("none")), "login_required"),
        (true, ("prompt", Some("none")), "consent_required"),
        (true, ("response_type", Some("token")), "unsupported_response_type"),
        (true, ("code_challenge", None), "invalid_request"),
    ] {
        let browser = if here { &mut browser } else { &mut nobody };
        let answer = browser.step(&authorize_url(&[FORM_POST, change])).await;
        assert_eq!((answer.status, posted(&answer, "error").as_deref()), (200, Some(expected)), "{answer:?}");
        assert_eq!((action(&answer), posted(&answer, "code")), (CALLBACK.to_owned(), None));
        assert_eq!(posted(&answer, "state").as_deref(), Some("st&te"));
    }
    let page = browser.open(&authorize_url(&[FORM_POST])).await;
    let fields = [("csrf_token", page.answer.csrf_token()), ("decision", "deny")];
    let denied = browser.submit(&page.action(), &fields).await.answer;
    assert_eq!((posted(&denied, "error").as_deref(), action(&denied)), (Some("access_denied"), CALLBACK.to_owned()));
}

#[tokio::test]
async fn it_survives_a_sign_in_and_a_mode_that_there_is_not_is_refused() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&authorize_url(&[FORM_POST])).await;
    let landing = browser.sign_in(page.url.as_str(), "ana", PASSWORD).await;
    assert!(landing.url.path() == "/oauth/continue" && posted(&landing.answer, "code").is_some(), "{landing:?}");
    for mode in ["fragment", "form_post.jwt", "web_message", "FORM_POST"] {
        let answer = browser.step(&authorize_url(&[("response_mode", Some(mode))])).await;
        assert_eq!(said(answer.location(), "error").as_deref(), Some("invalid_request"), "{mode}");
    }
}

/// T6: one validator, whatever the mode and the method.
#[tokio::test]
async fn no_mode_and_no_method_knows_more_addresses() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    for there in ["https://evil.com/", GOODBYE, "javascript:alert(1)", &format!("{CALLBACK}/")] {
        let url = authorize_url(&[FORM_POST, ("redirect_uri", Some(there))]);
        let answer = browser.step(&url).await;
        assert!(answer.status == 400 && !answer.body.contains("evil") && !answer.body.contains("<form"), "{answer:?}");
        let body = url.split_once('?').expect("a query").1;
        let ask = Ask::post("/oauth/authorize").content("application/x-www-form-urlencoded", body);
        let answer = site.send(ask).await;
        assert_eq!(browser.step(&format!("{HOME}{}", answer.location())).await.status, 400, "{there}");
    }
}

/// Another site's form comes without our cookies; nothing happens until the browser has come again, with them.
#[tokio::test]
async fn a_request_by_post_is_the_same_request() {
    let site = Site::start().await;
    let crm = client(&site, "crm").await;
    let mut browser = at_home(&site).await;
    let url = authorize_url(&[]);
    let body = url.split_once('?').expect("a query").1;
    let ask = || Ask::post("/oauth/authorize").content("application/x-www-form-urlencoded", body);
    let answer =
        site.send(ask().header("sec-fetch-site", "cross-site").header("origin", "https://crm.company.com")).await;
    assert_eq!((answer.status, answer.set_cookie(SESSION)), (303, None));
    let location = answer.location().to_owned();
    assert_eq!(format!("{HOME}{location}"), url);
    let answer = browser.step(&format!("{HOME}{location}")).await;
    let code = said(answer.location(), "code").expect("a code");
    assert_eq!(redeem(&site, &crm, &code, &[]).await.status, 200);
    let with_cookies = site.send(ask().header("cookie", browser.carried(HOME))).await;
    assert_eq!(with_cookies.location(), location, "nor does it give anything away");
}

#[tokio::test]
async fn what_is_no_request_by_post_goes_nowhere() {
    let site = Site::start().await;
    client(&site, "crm").await;
    let form = |body: &str| Ask::post("/oauth/authorize").content("application/x-www-form-urlencoded", body);
    let long = format!("state={}", "a".repeat(8000));
    for (ask, expected) in [
        (form("client_id=crm&client_id=wiki"), 400),
        (form(&long), 413),
        (form("client_id=crm").header("sec-fetch-dest", "iframe"), 403),
        (form("client_id=crm").header("sec-fetch-mode", "cors"), 403),
        (Ask::post("/oauth/authorize").content("application/json", "{}"), 415),
        (Ask::post("/oauth/authorize"), 415),
    ] {
        let answer = site.send(ask).await;
        assert_eq!((answer.status, answer.header("location")), (expected, None), "{answer:?}");
    }
    let injected = site.send(form("state=a%0d%0aset-cookie:%20x=1&client_id=crm")).await;
    assert_eq!(injected.location(), "/oauth/authorize?state=a%0D%0Aset-cookie%3A+x%3D1&client_id=crm");
}
