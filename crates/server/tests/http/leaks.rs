//! T94: a whole journey is logged as chattily as possible, and nothing secret is in the log, the audit log or the database.

use std::io::Write;
use std::sync::{Arc, Mutex};

use hallpass_store::{audit, authenticators};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Ask, Browser, DEVICE, FLOW, HOME, PASS, PASSWORD, SESSION, Site};

const NEW: &str = "eleven blue herons by the weir";
const WRONG: &str = "hunter2 was here before";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that came into being on the way and must be known to its holder only.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        assert!(value.len() > 10, "{name} is empty: {value:?}");
        self.0.push((name, value));
    }

    fn assert_not_in(&self, place: &str, text: &[u8]) {
        for (name, secret) in &self.0 {
            // A middle part too: a prefix or a signature that was cut off would not make it harmless.
            let middle = &secret[secret.len() / 4..secret.len() / 4 * 3];
            for part in [secret.as_bytes(), middle.as_bytes()] {
                assert!(!text.windows(part.len()).any(|window| window == part), "{name} is in {place}");
            }
        }
    }
}

/// Everything a person and an app do in a day. Returns what was minted and typed.
async fn a_day(site: &Site) -> Secrets {
    let mut secrets = Secrets::default();
    for (name, text) in [("password", PASSWORD), ("new password", NEW), ("wrong password", WRONG)] {
        secrets.add(name, text);
    }
    secrets.add("secret key", &site.pos.secret);
    let desk = site.app("desk", |app| app.relayed_sign_in = true).await;
    secrets.add("secret key of desk", &desk.secret);

    let mut browser = Browser::new(site);
    let page = browser.open("/sign-in?app=pos").await;
    secrets.add("flow", browser.cookie(HOME, FLOW).expect("a flow"));
    secrets.add("form token", page.answer.csrf_token());
    for (username, password) in [("ana", WRONG), ("nobody", WRONG), (WRONG, WRONG)] {
        browser.sign_in("/sign-in?app=pos", username, password).await;
    }
    browser.sign_in("/sign-in?app=pos", "ana", PASSWORD).await;
    let session = browser.cookie(HOME, SESSION).expect("a session");
    let pass = browser.cookie(HOME, PASS).expect("a pass");
    secrets.add("session", &session);
    secrets.add("device", browser.cookie(HOME, DEVICE).expect("a mark"));
    secrets.add("pass", &pass);

    site.wait(301);
    let question = json!({ "token": pass, "request_token": "billing", "method": "POST", "csrf_token": "wrong" });
    let answer = site.send(Ask::post("/introspect").by(&site.pos).json(&question)).await.json();
    for name in ["csrf_token", "request_token", "set_cookie"] {
        secrets.add(name, answer[name].as_str().expect("there").split(';').next().unwrap_or_default());
    }
    for broken in [format!("{pass}x"), pass[1..].to_owned(), format!("x{session}")] {
        assert!(!site.is_active(&site.pos, &broken).await);
        site.send(Ask::get("/account").cookie(SESSION, &broken)).await;
    }
    let wrong_caller = Ask::post("/introspect").basic("pos", &site.wiki.secret).form(&[("token", &*pass)]);
    assert_eq!(site.send(wrong_caller).await.status, 401);
    secrets.add("secret key of wiki", &site.wiki.secret);
    let in_query =
        Ask::post(format!("/introspect?token={pass}&client_secret={}", site.pos.secret)).form(&[("token", "x")]);
    assert_eq!(site.send(in_query).await.status, 401);
    for broken in [
        json!({ "token": pass, "password": WRONG }),
        json!({ "tokens": pass }),
        json!({ "token": [pass] }),
        json!({ pass.clone(): 1 }),
        json!(pass),
    ] {
        assert_eq!(site.send(Ask::post("/introspect").by(&site.pos).json(&broken)).await.status, 400);
    }
    for broken in [format!("token=x&{pass}=1"), format!("token=x&request_token={pass}"), format!("{pass}={pass}")] {
        let form = Ask::post("/introspect").by(&site.pos).content("application/x-www-form-urlencoded", broken);
        assert_eq!(site.send(form).await.status, 400);
    }
    for (password, status) in [(WRONG, 401), (PASSWORD, 403)] {
        let relayed = json!({ "username": "ana", "password": password, "client_ip": "192.0.2.9" });
        assert_eq!(site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&relayed)).await.status, status);
    }
    let broken = json!({ "username": "ana", "password": { "x": WRONG }, "client_ip": PASSWORD });
    assert_eq!(site.send(Ask::post("/api/v1/sign-in").by(&desk).json(&broken)).await.status, 400);

    let change = browser.open("/account/password").await;
    let token = change.answer.csrf_token().to_owned();
    secrets.add("page token", &token);
    for current in [WRONG, PASSWORD] {
        let fields = [
            ("csrf_token", &*token),
            ("current_password", current),
            ("new_password", NEW),
            ("new_password_again", NEW),
        ];
        browser.submit(&change.action(), &fields).await;
    }
    let renewed = browser.cookie(HOME, SESSION).expect("a session");
    assert_ne!(renewed, session, "the password was changed");
    secrets.add("renewed session", renewed);
    let page = browser.open("/sign-out").await;
    let token = page.answer.csrf_token().to_owned();
    browser.submit(&page.action(), &[("csrf_token", &token)]).await;
    site.send(Ask::get("/account").cookie(SESSION, &session)).await;
    site.written_down().await;
    hallpass_server::jobs::rotate_keys(site.engine.context.clone()).await.expect("rotates");
    secrets
}

#[tokio::test]
async fn no_secret_is_in_any_log_or_in_the_database() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .finish();
    // While there is one subscriber in the whole process, whichever thread comes first to a line of the log decides by its *own* subscriber
    // whether that line is ever written; other tests have none. With a second one, all that there are are asked.
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    // For this thread, on which every task of this test runs.
    let logging = tracing::subscriber::set_default(subscriber);
    let site = Site::start().await;
    let mut secrets = a_day(&site).await;
    let hash = authenticators::find_password(&mut site.store().read().await.expect("reads"), &site.ana.id).await;
    let hash = hash.expect("reads").expect("there").hash;
    let trail = audit::list(&mut site.store().read().await.expect("reads"), &audit::Filter::default(), None, 1000)
        .await
        .expect("reads");
    drop(logging);

    let log = log.0.lock().expect("nobody panicked").clone();
    let text = String::from_utf8_lossy(&log);
    for said in ["request refused", "inactive", "wrong app key or secret key"] {
        assert!(text.contains(said), "{said:?} is not in the log: it was not captured");
    }
    assert!(trail.len() >= 8, "{trail:?}");
    let trail = format!("{trail:?}");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(site.directory()).expect("reads") {
        let path = entry.expect("reads").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hallpass.db")) {
            files.extend(std::fs::read(path).expect("reads"));
        }
    }
    assert!(files.windows(9).any(|window| window == b"signed_in"), "the database is written and read");
    secrets.assert_not_in("the database", &files);
    let master = std::fs::read_to_string(site.directory().join("master.key")).expect("reads");
    secrets.add("master key", master.trim());
    secrets.assert_not_in("the database", &files);
    secrets.add("password hash", hash.rsplit('$').next().expect("a hash"));
    secrets.assert_not_in("the log", &log);
    secrets.assert_not_in("the audit log", trail.as_bytes());
}
