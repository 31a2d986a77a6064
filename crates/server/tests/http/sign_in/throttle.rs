//! T73, T74, T76: guesses are counted before they are looked at, however they are written, and cannot lock the owner out.

use std::time::Duration;

use crate::support::{Answer, Ask, Browser, DEVICE, FLOW, HOME, PASSWORD, SESSION, Site};

/// One try at the form.
struct Tries<'s> {
    site: &'s Site,
    page: Answer,
}

impl<'s> Tries<'s> {
    async fn at(site: &'s Site) -> Self {
        Self { site, page: site.send(Ask::get("/sign-in")).await }
    }

    fn ask(&self, username: &str, password: &str, from: &str) -> Ask {
        let fields = [("csrf_token", self.page.csrf_token()), ("username", username), ("password", password)];
        Ask::post("/sign-in").same_origin().cookie(FLOW, self.page.cookie(FLOW)).form(&fields).from(from)
    }

    async fn status(&self, username: &str, password: &str, from: &str) -> u16 {
        self.site.send(self.ask(username, password, from)).await.status
    }
}

#[tokio::test]
async fn ten_wrong_passwords_from_one_network_are_enough() {
    let site = Site::start().await;
    let tries = Tries::at(&site).await;
    for number in 0..10 {
        // Any spelling of the name, any address of the network: one counter.
        let name = ["ana", "ANA", "\u{ff41}na"][number % 3];
        assert_eq!(tries.status(name, "wrong", &format!("198.51.100.{number}")).await, 422, "try {number}");
    }
    let answer = site.send(tries.ask("ana", PASSWORD, "198.51.100.77")).await;
    assert_eq!((answer.status, answer.set_cookie(SESSION)), (429, None), "even the right one");
    assert!(answer.shows("throttled"));
    assert_eq!(tries.status("ana", "wrong", "203.0.113.1").await, 422, "another network has its own budget");
    assert_eq!(tries.status("bob", "wrong", "198.51.100.1").await, 422, "another user, too");
    assert_eq!(tries.status("nobody", "wrong", "198.51.100.1").await, 422);
    site.wait(899);
    assert_eq!(tries.status("ana", PASSWORD, "198.51.100.1").await, 429, "T64: a second before the end");
    site.wait(1);
    assert_eq!(tries.status("ana", PASSWORD, "198.51.100.1").await, 303, "it passes by itself");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_throttled_alike() {
    let site = Site::start().await;
    let tries = Tries::at(&site).await;
    for _ in 0..10 {
        assert_eq!(tries.status("nobody", "wrong", "198.51.100.1").await, 422);
    }
    assert_eq!(tries.status("nobody", "wrong", "198.51.100.1").await, 429);
}

/// T73: no number of parallel guesses gets more than the limit verified.
#[tokio::test]
async fn parallel_guesses_do_not_outrun_the_counter() {
    let site = Site::start().await;
    let tries = Tries::at(&site).await;
    let guesses = (0..200).map(|number| {
        let password = if number == 150 { PASSWORD.to_owned() } else { format!("wrong {number}") };
        tries.ask("ana", &password, "198.51.100.1")
    });
    let guesses: Vec<Ask> = guesses.collect();
    let mut running = tokio::task::JoinSet::new();
    let site = std::sync::Arc::new(site);
    for ask in guesses {
        let site = site.clone();
        running.spawn(async move { site.send(ask).await.status });
    }
    let statuses = running.join_all().await;
    let verified = statuses.iter().filter(|status| matches!(status, 303 | 422)).count();
    assert!((1..=10).contains(&verified), "{verified} verified");
    let others: Vec<_> = statuses.iter().filter(|status| !matches!(status, 303 | 422 | 429 | 503)).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// T76: on a device that she has used before, the owner signs in while half the internet guesses.
#[tokio::test]
async fn the_owner_on_a_known_device_is_not_locked_out() {
    let site = Site::start().await;
    let mut at_work = Browser::new(&site).moved_to("192.0.2.10");
    at_work.sign_in("/sign-in", "ana", PASSWORD).await;
    assert!(at_work.cookie(HOME, DEVICE).is_some());
    let tries = Tries::at(&site).await;
    let mut verified = 0;
    for number in 0..60 {
        verified += usize::from(tries.status("ana", "wrong", &format!("10.0.{number}.1")).await == 422);
    }
    assert_eq!(verified, 50, "one user from all unknown devices together");
    assert_eq!(tries.status("ana", PASSWORD, "10.9.9.9").await, 429, "an unknown device waits");
    let landing = at_work.sign_in("/sign-in", "ana", PASSWORD).await;
    assert_eq!(landing.url.path(), "/", "{landing:?}");
    let mut at_home = at_work.moved_to("10.0.5.1");
    assert_eq!(at_home.sign_in("/sign-in", "ana", PASSWORD).await.url.path(), "/", "even from a guesser's network");
    // A mark is good for its own user only, and buys no endless tries.
    let mark = at_home.cookie(HOME, DEVICE).expect("a mark");
    for _ in 0..10 {
        assert_eq!(site.send(tries.ask("ana", "wrong", "10.0.5.1").cookie(DEVICE, &mark)).await.status, 422);
    }
    assert_eq!(site.send(tries.ask("ana", "wrong", "10.0.5.1").cookie(DEVICE, &mark)).await.status, 429);
    assert_eq!(site.send(tries.ask("ana", PASSWORD, "10.0.5.1").cookie(DEVICE, "hp_dm_made_up")).await.status, 429);
}

#[tokio::test]
async fn the_right_password_costs_nothing() {
    let site = Site::start().await;
    let tries = Tries::at(&site).await;
    for _ in 0..15 {
        assert_eq!(tries.status("ana", PASSWORD, "198.51.100.1").await, 303, "a shared machine");
    }
    site.advance(Duration::from_secs(1));
    assert_eq!(tries.status("ana", "wrong", "198.51.100.1").await, 422);
}
