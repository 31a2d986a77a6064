//! Something between the engine and PostgreSQL that can be cut or hung.

use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Works,
    /// Connections break, and no new one comes about.
    Cut,
    /// Nothing arrives any more, and nobody is told. A connection that has hung once stays so: routers forget, too.
    Hangs,
}

/// A proxy on a loopback port.
pub struct Proxy {
    /// The database's URL by way of the proxy.
    pub url: String,
    network: watch::Sender<Network>,
}

#[derive(Clone)]
enum Target {
    Unix(PathBuf),
    Tcp(String),
}

impl Proxy {
    /// In front of the server that `url` names.
    pub async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let parsed = url::Url::parse(url).expect("a URL");
        let socket = parsed.query_pairs().find(|(name, _)| name == "host").map(|(_, value)| value.into_owned());
        let target = match socket {
            Some(directory) => Target::Unix(PathBuf::from(directory).join(".s.PGSQL.5432")),
            None => Target::Tcp(format!("{}:{}", parsed.host_str().expect("a host"), parsed.port().unwrap_or(5432))),
        };
        let mut proxied = parsed;
        proxied.set_host(Some("127.0.0.1")).expect("a host");
        proxied.set_port(Some(port)).expect("a port");
        proxied.set_query(None);
        let network = watch::Sender::new(Network::Works);
        let watched = network.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, target.clone(), watched.clone()));
            }
        });
        Self { url: proxied.to_string(), network }
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn connection(client: TcpStream, target: Target, mut network: watch::Receiver<Network>) {
    let first = *network.borrow_and_update();
    match first {
        Network::Works => {}
        Network::Cut => return,
        Network::Hangs => return hang(network).await,
    }
    let forwarding = async {
        match target {
            Target::Unix(path) => forward(client, UnixStream::connect(path).await.expect("PostgreSQL is there")).await,
            Target::Tcp(address) => {
                forward(client, TcpStream::connect(address).await.expect("PostgreSQL is there")).await;
            }
        }
    };
    let mut forwarding = Box::pin(forwarding);
    let hangs = tokio::select! {
        () = &mut forwarding => false,
        hangs = fails(&mut network) => hangs,
    };
    if hangs {
        // Both ends stay open, and nothing moves between them.
        hang(network).await;
    }
}

/// Waits until the network does not work any more; whether it hangs.
async fn fails(network: &mut watch::Receiver<Network>) -> bool {
    network.wait_for(|network| *network != Network::Works).await.is_ok_and(|network| *network == Network::Hangs)
}

/// Until the network is cut, or the test is over.
async fn hang(mut network: watch::Receiver<Network>) {
    let _ = network.wait_for(|network| *network == Network::Cut).await;
}

async fn forward(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
