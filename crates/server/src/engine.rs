//! Starting and stopping: database, keys, home zone, jobs, listeners. First start makes everything it needs; there is no default credential.

use std::net::SocketAddr;
use std::sync::Arc;

use hallpass_core::app::Assertion;
use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::crypto::{MasterKey, SystemRandom};
use hallpass_core::time::Timestamp;
use hallpass_core::zone::Zone;
use hallpass_store::{DatabaseUrl, Store, audit, meta, zones};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, ConfigError};
use crate::context::{Clock, Context, StartError};
use crate::listen::{self, Dispatch, Site};
use crate::routes::Home;
use crate::upstream::entry;
use crate::web::guard::Alias;
use crate::{internal, jobs, master_key};

/// A running engine. Dropping it stops nothing; call [`Engine::stop`].
pub struct Engine {
    /// What its handlers share.
    pub context: Arc<Context>,
    stop: watch::Sender<bool>,
    jobs: JoinSet<()>,
}

impl Engine {
    /// Opens the database, makes what a first start needs, and starts the jobs.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let (store, master) = open(&config).await?;
        prepare(&config, &store, clock.now()).await?;
        let stop = watch::Sender::new(false);
        let context = Context::new(config, store, master, clock, stop.clone()).await?;
        jobs::rotate_keys(context.clone()).await?;
        context.view.catch_up_now().await?;
        for entry in context.view.policy().await?.apps.iter().filter(|entry| entry.app.assertion == Assertion::Query) {
            tracing::warn!(app = %entry.app.key, "this app is handed who is signed in by the address of a redirect, which passes through logs and histories: meant for moving from an old scheme only");
        }
        let jobs = jobs::start(&context, &stop.subscribe());
        Ok(Self { context, stop, jobs })
    }

    /// What answers at the home host.
    pub fn home(&self) -> Arc<Home> {
        Arc::new(Home::new(self.context.clone()))
    }

    /// Which of the engine's own sites a `Host` is: home, or the alias of a zone.
    pub fn sites(&self) -> impl Fn(&str) -> Option<Site> + Send + Sync + use<> {
        let (context, home) = (self.context.clone(), self.home());
        let agent = Arc::new(Home::agent(self.context.clone()));
        let entry = entry::router(&self.context.public_url);
        move |host| {
            if host == context.public_url.authority() {
                return Some(Site::Home(home.clone()));
            }
            if context.config.kratos.as_ref().is_some_and(|kratos| kratos.is_entry_point(host)) {
                return Some(Site::App(entry.clone()));
            }
            context.view.alias(host).map(|zone| Site::Alias(agent.clone(), Alias { zone }))
        }
    }

    /// Serves the home host and the aliases of zones on `listener`; any other host is 421. Returns when the engine is stopped.
    pub async fn serve(&self, listener: TcpListener) {
        self.serve_hosts(listener, Arc::new(self.sites())).await;
    }

    /// Serves whatever `dispatch` knows on `listener`. Returns when the engine is stopped.
    pub async fn serve_hosts(&self, listener: TcpListener, dispatch: Dispatch) {
        listen::serve(listener, dispatch, self.context.config.maximum_connections, self.stop.subscribe()).await;
    }

    /// Serves health and metrics on `listener`. Returns when the engine is stopped.
    pub async fn serve_internal(&self, listener: TcpListener) {
        let router = internal::router(self.context.clone());
        self.serve_hosts(listener, Arc::new(move |_| Some(Site::App(router.clone())))).await;
    }

    /// Something that stops the engine.
    pub fn stopper(&self) -> watch::Sender<bool> {
        self.stop.clone()
    }

    /// Ends the jobs, writes down what was only in memory, closes the database.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.jobs.join_next().await.is_some() {}
        if let Err(error) = jobs::write_down(self.context.clone()).await {
            tracing::warn!(%error, "the last activity could not be written down");
        }
        self.context.store.close().await;
    }
}

/// Opens the database and the master key that belongs to it. The commands that work beside a running server begin here too.
pub async fn open(config: &Config) -> Result<(Store, Arc<MasterKey>), StartError> {
    let url: DatabaseUrl =
        config.database().parse().map_err(|error| ConfigError::Value(format!("database_url: {error}")))?;
    let master = Arc::new(master_key::load(config).await?);
    let store = Store::open(&url).await?;
    // A wrong master key would make every signing key unreadable and every CSRF token wrong: say so now, not then.
    let fingerprint = master_key::fingerprint(&master);
    let mut write = store.write().await?;
    let known = meta::set_once(&mut write, meta::MASTER_KEY, &fingerprint).await?;
    write.commit().await?;
    if known != fingerprint {
        return Err(StartError::Other(
            "this database was made with another master key. Point master_key (or HALLPASS_MASTER_KEY_FILE) to the one it was made with.".to_owned(),
        ));
    }
    Ok((store, master))
}

/// Makes the home zone from the configuration if the database has none.
async fn prepare(config: &Config, store: &Store, now: Timestamp) -> Result<(), StartError> {
    let mut write = store.write().await?;
    if zones::all(&mut write).await?.iter().any(|zone| zone.home) {
        return Ok(());
    }
    let Some(cookie_domain) = config.home_domain()? else {
        return Err(StartError::Other(
            "there is no home zone yet: set cookie_domain (HALLPASS_COOKIE_DOMAIN), for example company.com, or declare a zone with `hallpass apply`.".to_owned(),
        ));
    };
    let zone = Zone {
        name: "home".parse().expect("a valid zone name"),
        cookie_domain,
        cookie_name: hallpass_core::zone::CookieName::default(),
        home: true,
        alias: None,
        bound: false,
        at_sign_in: false,
    };
    match zones::upsert(&mut write, &zone, now).await {
        // Another node started at the same moment and was first.
        Err(error) if error.conflicts_on("zones(home)") => return Ok(()),
        upserted => upserted?,
    }
    let entry = Entry::new(Event::ZoneAdded, Actor::System, now, &mut SystemRandom).with("zone", &zone.name);
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(())
}

/// Binds a listener, with an error that says where.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Listen(address, error))
}
