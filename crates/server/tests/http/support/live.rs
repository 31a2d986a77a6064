//! The engine behind a real listener, asked byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use hallpass_server::context::Clock;

use super::Site;

/// Nothing here may take longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A site that listens on a loopback port.
pub struct Live {
    pub site: Arc<Site>,
    pub address: SocketAddr,
}

impl Live {
    pub async fn start() -> Self {
        Self::of(Site::start().await).await
    }

    /// For a peer that looks at its own clock.
    pub async fn start_by_the_systems_clock() -> Self {
        let site = Site::start().await;
        let now = Clock::System.now();
        site.advance(now.since(site.now()));
        Self::of(site).await
    }

    pub async fn of(site: Site) -> Self {
        let site = Arc::new(site);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let served = site.clone();
        tokio::spawn(async move { served.engine.serve(listener).await });
        Self { site, address }
    }

    pub async fn connect(&self) -> Connection {
        Connection(TcpStream::connect(self.address).await.expect("connects"))
    }

    /// Sends `request` on a connection of its own and reads until the engine closes it.
    pub async fn send(&self, request: impl AsRef<[u8]>) -> String {
        let mut connection = self.connect().await;
        connection.write(request).await;
        connection.read_to_end().await
    }

    /// The status of the answer to `request`.
    pub async fn status(&self, request: impl AsRef<[u8]>) -> u16 {
        status(&self.send(request).await)
    }
}

/// The status in an HTTP/1.1 answer; 0 if there is none.
fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// One connection.
pub struct Connection(TcpStream);

impl Connection {
    /// A peer that closes early does not mind what comes after.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(LIMIT, self.0.read_to_end(&mut bytes)).await.expect("an answer in time");
        // A reset after the answer (the rest of our request was never read) takes nothing away from it.
        let _ = read;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until `mark` has come.
    pub async fn read_until(&mut self, mark: &str) -> String {
        let mut bytes = Vec::new();
        let reading = async {
            loop {
                let mut chunk = [0; 1024];
                let length = self.0.read(&mut chunk).await.expect("reads");
                bytes.extend_from_slice(&chunk[..length]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if text.contains(mark) {
                    return text;
                }
                assert!(length > 0, "closed before {mark:?}: {text}");
            }
        };
        tokio::time::timeout(LIMIT, reading).await.expect("an answer in time")
    }
}
