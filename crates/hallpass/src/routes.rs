//! `hallpass routes`: the printed matrix of every URL, who may call it, and how it reports errors.

use hallpass_server::routes;
use hallpass_server::web::error::Voice;
use serde_json::json;

use crate::print::Listing;
use crate::shell::Failure;

/// Runs it.
pub fn run(as_json: bool) -> Result<(), Failure> {
    let mut listing = Listing::new(as_json, &["HOST", "METHOD", "PATH", "GUARD", "ERRORS"]);
    let home = routes::table().into_iter().map(|route| ("home", route));
    for (host, route) in home.chain(routes::agent_table().into_iter().map(|route| ("alias", route))) {
        let voice = match route.voice {
            Voice::Page => "page",
            Voice::Problem => "problem",
            Voice::OAuth => "oauth",
        };
        let cells = [host, route.method.as_str(), route.path, route.guard, voice].map(str::to_owned);
        let object = json!({ "host": host, "method": route.method.as_str(), "path": route.path, "guard": route.guard, "voice": voice });
        listing.row(&cells, &object)?;
    }
    Ok(listing.end("")?)
}
