//! `hallpass serve`: runs the engine until it is told to stop (SIGTERM, SIGINT), then lets requests finish.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Args;
use hallpass_server::config::{Config, unknown_variables};
use hallpass_server::context::Clock;
use hallpass_server::engine::{self, Engine};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::shell::environment;

/// What `serve` takes.
#[derive(Args)]
pub struct Arguments {
    /// Log as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
}

/// Runs it.
pub async fn run(arguments: Arguments, config: Config) -> Result<ExitCode, Box<dyn std::error::Error>> {
    start_log(arguments.log_json, "info");
    let unknown = unknown_variables(&config, environment().map(|(name, _)| name));
    if !unknown.is_empty() {
        tracing::warn!(variables = unknown.join(", "), "these look like settings and are none: misspelt?");
    }
    let (public, internal) = (config.listen, config.internal_listen);
    // Bound before the database is touched: a second server started by mistake must not get that far.
    let listener = engine::bind(public).await?;
    let internal = match internal {
        Some(address) => Some(engine::bind(address).await?),
        None => None,
    };
    let engine = Engine::start(config, Clock::System).await?;
    tracing::info!(listen = %listener.local_addr()?, public_url = %engine.context.public_url, version = env!("CARGO_PKG_VERSION"), "ready");
    let stopper = engine.stopper();
    let signals = tokio::spawn(async move {
        stop_signal().await;
        tracing::info!("stopping");
        stopper.send_replace(true);
    });
    let serve_internal = async {
        if let Some(listener) = internal {
            engine.serve_internal(listener).await;
        }
    };
    tokio::join!(engine.serve(listener), serve_internal);
    signals.abort();
    engine.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Log lines go to standard error; `HALLPASS_LOG` chooses what (`debug`, `hallpass_server=debug,info`).
pub fn start_log(json: bool, default: &str) {
    let chosen = std::env::var("HALLPASS_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let targets = chosen.unwrap_or_else(|| default.parse().expect("our own default is a level"));
    let registry = tracing_subscriber::registry().with(targets);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if json {
        registry.with(lines.json()).init();
    } else {
        registry.with(lines.with_ansi(std::io::stderr().is_terminal()).with_target(false)).init();
    }
}

/// Returns when the process is told to stop.
pub async fn stop_signal() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to inside the runtime");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
