//! A network that fails: between one node and PostgreSQL, for all connections or for the one that listens to the change feed.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::rig::Checked;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// The listening connection is cut, and cut again whenever it comes back.
    Deaf,
    /// Nothing passes and nobody is told.
    Silent,
    /// Every connection is cut, and new ones at once.
    Down,
}

#[derive(Debug, Clone, Copy)]
struct State {
    weather: Weather,
    /// Connections older than this never hear anything again.
    forgotten_before: u64,
}

/// The network; taken down when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    accepted: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Between whoever connects to it and `upstream`.
    pub async fn start(upstream: SocketAddr) -> Checked<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State { weather: Weather::Fair, forgotten_before: 0 });
        let (count, accepted) = watch::channel(0);
        let task = tokio::spawn(accept(listener, upstream, state.clone(), count));
        Ok(Self { address, state, accepted, task })
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.state.send_modify(|state| state.weather = weather);
    }

    /// Fair again, but not for the connections there are: those stay silent for ever, as after a router forgot them.
    pub fn fair_for_new_connections(&self) {
        let forgotten_before = *self.accepted.borrow();
        self.state.send_replace(State { weather: Weather::Fair, forgotten_before });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, state: watch::Sender<State>, count: watch::Sender<u64>) {
    let mut number = 0;
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, upstream, number, state.subscribe()));
        number += 1;
        count.send_replace(number);
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, number: u64, mut state: watch::Receiver<State>) {
    let ears = watch::Sender::new(false);
    if !passes(&mut state, number, &ears.subscribe()).await {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((client_reads, client_writes), (server_reads, server_writes)) = (client.into_split(), server.into_split());
    // Either direction's end is the end of both: dropping the halves closes the sockets.
    tokio::select! {
        () = carry(client_reads, server_writes, number, state.clone(), &ears, true) => {}
        () = carry(server_reads, client_writes, number, state, &ears, false) => {}
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: u64,
    mut state: watch::Receiver<State>,
    ears: &watch::Sender<bool>,
    from_client: bool,
) {
    let mut heard = ears.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = state.changed() => {
                if changed.is_err() || !passes(&mut state, number, &heard).await { return }
                continue;
            }
            _ = heard.changed() => continue,
        };
        let Ok(length @ 1..) = read else { return };
        if from_client && buffer[..length].windows(8).any(|window| window == b"LISTEN \"") {
            ears.send_replace(true);
        }
        if !passes(&mut state, number, &heard).await || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Waits until something may pass; `false`: the connection is cut.
async fn passes(state: &mut watch::Receiver<State>, number: u64, ears: &watch::Receiver<bool>) -> bool {
    loop {
        let State { weather, forgotten_before } = *state.borrow_and_update();
        let silent = number < forgotten_before || weather == Weather::Silent;
        match weather {
            Weather::Down => return false,
            Weather::Deaf if *ears.borrow() => return false,
            _ if !silent => return true,
            _ => {}
        }
        if state.changed().await.is_err() {
            return false;
        }
    }
}
