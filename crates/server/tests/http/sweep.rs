//! Old rows go, all of them, however many there are: otherwise whoever makes them faster than they are deleted fills the disk.

use std::time::Duration;

use hallpass_core::crypto::{SystemRandom, sha256};
use hallpass_core::secret::{DeviceCode, DeviceMark, Secret};
use hallpass_core::time::Timestamp;
use hallpass_server::jobs;
use hallpass_store::device_codes::NewDevice;
use hallpass_store::{attempts, device_codes, devices, upstream_answers};

use crate::support::Site;

/// More than any one batch.
const MANY: u32 = 5000;

/// As many rows of several kinds, of this moment.
async fn fill(site: &Site, now: Timestamp) {
    let app = "pos".parse().expect("a key");
    let scope = "openid".parse().expect("a scope");
    let mut write = site.store().write().await.expect("writes");
    for number in 0..MANY {
        let name = format!("{number} of {}", now.as_millis());
        let taken = upstream_answers::take(&mut write, &sha256(name.as_bytes()), now).await;
        assert!(taken.expect("writes"));
        attempts::count(&mut write, &[(&name, Duration::from_mins(1))], now).await.expect("counts");
        let mark = Secret::<DeviceMark>::mint(&mut SystemRandom).digest();
        devices::remember(&mut write, &mark, &site.ana.id, now).await.expect("remembers");
        let (code, user_code) = (
            Secret::<DeviceCode>::mint(&mut SystemRandom).digest(),
            hallpass_core::oidc::UserCode::mint(&mut SystemRandom),
        );
        let new = NewDevice { code, user_code, app: &app, scope, ip: "192.0.2.1" };
        device_codes::begin(&mut write, &new, now).await.expect("begins");
    }
    write.commit().await.expect("commits");
}

/// How many rows there are that were over before `before`. Nothing is deleted: the transaction is given up.
async fn dead(site: &Site, before: Timestamp) -> [u64; 4] {
    let mut write = site.store().write().await.expect("writes");
    [
        upstream_answers::prune(&mut write, before, u32::MAX).await.expect("prunes"),
        attempts::prune(&mut write, before, u32::MAX).await.expect("prunes"),
        devices::prune(&mut write, before, u32::MAX).await.expect("prunes"),
        device_codes::prune(&mut write, before, u32::MAX).await.expect("prunes"),
    ]
}

#[tokio::test]
async fn one_sweep_deletes_all_that_is_dead_and_nothing_else() {
    const LONG: Duration = Duration::from_hours(500 * 24);
    let site = Site::start().await;
    fill(&site, site.now()).await;
    site.wait(LONG.as_secs());
    let ago = site.now() - Duration::from_hours(24);
    fill(&site, site.now()).await;
    let before = dead(&site, ago).await;
    assert!(before.iter().all(|rows| *rows >= u64::from(MANY) - 10), "{before:?}");
    jobs::sweep(site.engine.context.clone()).await.expect("sweeps");
    assert_eq!(dead(&site, ago).await, [0; 4], "in one sweep");
    let far = site.now() + LONG;
    let left = dead(&site, far).await;
    assert!(left.iter().all(|rows| *rows >= u64::from(MANY) - 10), "what is not dead stays: {left:?}");
}
