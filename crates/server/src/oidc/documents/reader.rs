//! Reading documents: from where it is allowed, one at a time for each address, bounded in size, time and number, and kept as long as they say within
//! bounds. draft-ietf-oauth-client-id-metadata-document §4.2–§4.4, §6; advisories on server-side request forgery.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::app::App;
use hallpass_core::id::{UserId, ZoneName};
use hallpass_core::oidc::ClientIdUrl;
use hallpass_core::oidc::client_document::{self, LONGEST_DOCUMENT};
use hallpass_core::time::Timestamp;
use http::{HeaderMap, StatusCode, header};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use crate::config::ClientDocumentsConfig;
use crate::context::{Context, Counter, StartError};
use crate::outgoing::Outgoing;
use crate::web::error::Error;

/// Documents that are kept at once.
const KEPT: usize = 1000;
/// Documents that are read at once, whoever wants them.
const PLACES: usize = 16;
/// How long it is remembered that there was none: whoever waits behind each other must not each wait for the same silence.
const KEEP_FAILURE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_mins(1);

/// What reads them, where it is configured.
pub struct Documents {
    /// As configured.
    pub config: ClientDocumentsConfig,
    outgoing: Outgoing,
    kept: Cache<ClientIdUrl, Kept>,
    /// By whose browser it came.
    by_person: Counter<UserId>,
    by_host: Counter<String>,
    places: Semaphore,
}

#[derive(Clone)]
struct Kept {
    said: Result<Arc<App>, Unread>,
    until: Timestamp,
}

/// Why there is no client at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// What is there is no document, for this reason.
    NotGood(&'static str),
    /// There is none. Whoever asks is not told what there is instead, or whether there is anything: this must be no way to look around in networks.
    NotThere,
}

impl Documents {
    /// As the configuration says; `None` where they are off.
    pub fn configured(config: &ClientDocumentsConfig) -> Result<Option<Self>, StartError> {
        if !config.enabled {
            return Ok(None);
        }
        let outgoing = Outgoing::new(&config.allow_internal);
        let outgoing = outgoing.map_err(|error| StartError::Other(format!("client_metadata_documents: {error}")))?;
        Ok(Some(Self {
            config: config.clone(),
            outgoing,
            kept: Cache::new(KEPT),
            by_person: Counter::new(20, MINUTE),
            by_host: Counter::new(60, MINUTE),
            places: Semaphore::new(PLACES),
        }))
    }

    /// Whether documents of this host are taken.
    pub fn takes(&self, url: &ClientIdUrl) -> bool {
        self.config.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|host| host == url.origin().host()))
    }

    /// The client that the document there makes: as it was read a while ago, or read now. What is read now is written down, if the client is known.
    pub async fn read(
        &self,
        context: &Context,
        url: &ClientIdUrl,
        person: Option<UserId>,
        now: Timestamp,
    ) -> Result<Arc<App>, Error> {
        self.kept.remove_if(url, |kept| kept.until <= now);
        let said = match self.kept.get_value_or_guard_async(url).await {
            Ok(kept) => kept.said,
            // Only one is here at a time for one address; others wait for what it finds.
            Err(place) => {
                let kept = Box::pin(self.fetch(context, url, person, now)).await?;
                if let Ok(app) = &kept.said {
                    super::keep(context, app, now).await?;
                }
                let said = kept.said.clone();
                // Whatever took its place meanwhile is as good.
                let _ = place.insert(kept);
                said
            }
        };
        said.map_err(|unread| refused(url, unread))
    }

    async fn fetch(
        &self,
        context: &Context,
        url: &ClientIdUrl,
        person: Option<UserId>,
        now: Timestamp,
    ) -> Result<Kept, Error> {
        let braked = person.is_some_and(|person| self.by_person.count(person, now));
        if braked || self.by_host.count(url.origin().host().to_owned(), now) {
            return Err(Error::too_many_requests(MINUTE).because("too many documents of clients"));
        }
        let busy = || Error::unavailable().because("too many documents of clients are being read");
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let policy = context.view.policy().await?;
        let home = policy.home.as_ref().map(|home| home.name.clone());
        let home = home.ok_or_else(|| Error::unavailable().because("there is no home zone yet"))?;
        drop(policy);
        let (said, lifetime) = match self.get(url, home).await {
            Ok((app, lifetime)) => (Ok(Arc::new(app)), lifetime),
            Err((unread, because)) => {
                tracing::info!(%url, ?unread, because, "the document of a client is none");
                (Err(unread), KEEP_FAILURE)
            }
        };
        Ok(Kept { said, until: context.now() + lifetime })
    }

    /// The client and for how long, or why there is none, with what the log is told besides.
    async fn get(&self, url: &ClientIdUrl, home: ZoneName) -> Result<(App, Duration), (Unread, String)> {
        let not_there = |because: &dyn std::fmt::Display| (Unread::NotThere, because.to_string());
        let address = url.as_str().parse().map_err(|error: url::ParseError| not_there(&error))?;
        let found = self.outgoing.get_with_headers(&address, LONGEST_DOCUMENT).await;
        let (answer, headers) = found.map_err(|error| not_there(&error))?;
        // A redirect is no document either: where it leads was not vetted, and is not what people are shown.
        if answer.status != StatusCode::OK {
            return Err(not_there(&answer.status));
        }
        let not_good = |why: &'static str| (Unread::NotGood(why), String::new());
        if !is_json(&headers) {
            return Err(not_good("Its Content-Type is not application/json."));
        }
        if !answer.complete {
            return Err(not_good("It is longer than 5 KB."));
        }
        let app = client_document::read(url, &answer.body, home).map_err(|refused| not_good(refused.0))?;
        let said: Vec<_> =
            headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).collect();
        Ok((app, client_document::lifetime(Some(&said.join(",")))))
    }
}

/// `application/json`, or another type that is JSON (RFC 6839 §3.1). Something that was uploaded as a picture speaks for nobody.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(said), None) = (types.next(), types.next()) else { return false };
    let essence = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn refused(url: &ClientIdUrl, unread: Unread) -> Error {
    let host = url.origin().authority();
    let message = match unread {
        Unread::NotGood(why) => {
            format!("The application at {host} does not describe itself in a way that can be used here. {why}")
        }
        Unread::NotThere => format!("The application at {host} could not be asked what it is. Try again later."),
    };
    let error = Error::new(StatusCode::BAD_REQUEST, "invalid_client", "");
    Error { message: message.into(), ..error }.because("no document of a client")
}
