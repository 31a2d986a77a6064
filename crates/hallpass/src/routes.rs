//! `hallpass routes`: the printed matrix of every URL, who may call it, and how it reports errors.

use hallpass_server::routes;
use hallpass_server::web::error::Voice;
use serde_json::json;

use crate::print::Listing;
use crate::shell::Failure;

/// Runs it.
pub fn run(as_json: bool) -> Result<(), Failure> {
    let mut listing = Listing::new(as_json, &["METHOD", "PATH", "GUARD", "ERRORS"]);
    for route in routes::table() {
        let voice = match route.voice {
            Voice::Page => "page",
            Voice::Problem => "problem",
            Voice::OAuth => "oauth",
        };
        let cells = vec![route.method.to_string(), route.path.to_owned(), route.guard.to_owned(), voice.to_owned()];
        let object =
            json!({ "method": route.method.as_str(), "path": route.path, "guard": route.guard, "voice": voice });
        listing.row(&cells, &object)?;
    }
    Ok(listing.end("")?)
}
