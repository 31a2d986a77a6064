//! Zones: rows of `zones`. Protocol §1.

use hallpass_core::id::ZoneName;
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;

use crate::error::StoreError;
use crate::sql::{Row, sql};
use crate::{Change, Read, Write};

/// Adds a zone or gives the one of this name its new properties. Conflicts on `zones(home)` if another one is
/// home, on `zones(alias)` if another one has this alias.
pub async fn upsert(write: &mut Write, zone: &Zone, now: Timestamp) -> Result<(), StoreError> {
    let upsert = sql("INSERT INTO zones (name, cookie_domain, cookie_name, home, alias, bound, at_sign_in)
                      VALUES ($1, $2, $3, $4, $5, $6, $7)
                      ON CONFLICT (name) DO UPDATE SET cookie_domain = excluded.cookie_domain,
                          cookie_name = excluded.cookie_name, home = excluded.home, alias = excluded.alias,
                          bound = excluded.bound, at_sign_in = excluded.at_sign_in");
    let upsert = upsert.bind(&zone.name).bind(&zone.cookie_domain).bind(&zone.cookie_name).bind(&zone.home);
    write.execute(upsert.bind(&zone.alias).bind(&zone.bound).bind(&zone.at_sign_in)).await?;
    write.change(now, Change::PolicyChanged { app: None });
    Ok(())
}

/// All of them, by name.
pub async fn all(read: &mut Read) -> Result<Vec<Zone>, StoreError> {
    let all = sql("SELECT name, cookie_domain, cookie_name, home, alias, bound, at_sign_in FROM zones ORDER BY name");
    read.all(all).await?.iter().map(zone).collect()
}

/// Removes a zone. Dangling while apps are in it. Whether there was one.
pub async fn remove(write: &mut Write, name: &ZoneName, now: Timestamp) -> Result<bool, StoreError> {
    let removed = write.execute(sql("DELETE FROM zones WHERE name = $1").bind(name)).await? > 0;
    if removed {
        write.change(now, Change::PolicyChanged { app: None });
    }
    Ok(removed)
}

fn zone(row: &Row) -> Result<Zone, StoreError> {
    Ok(Zone {
        name: row.column("name")?,
        cookie_domain: row.column("cookie_domain")?,
        cookie_name: row.column("cookie_name")?,
        home: row.column("home")?,
        alias: row.optional("alias")?,
        bound: row.column("bound")?,
        at_sign_in: row.column("at_sign_in")?,
    })
}
