//! One proxy: a listener, and a task for each connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::flow::{CloseKind, Flow, State};
use super::pump::pump;

/// Open connections of one proxy. More wait in the kernel.
const MAX_CONNECTIONS: usize = 2_000;
/// A callee on the same machine answers at once, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LISTEN_BACKLOG: u32 = 1_024;
/// Bytes that the kernel buffers in each direction. Its default is some megabytes, which would hide
/// a reader that is too slow.
const KERNEL_BUFFER: u32 = 64 << 10;
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A proxy in front of one callee. Its tasks live in the set that it was opened in.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    pub(super) fn open(callee: SocketAddr, tasks: &mut JoinSet<()>) -> io::Result<Self> {
        let socket = socket()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(LISTEN_BACKLOG)?;
        let address = listener.local_addr()?;
        let initial = State { flow: Flow::Pass, generation: 0, close: CloseKind::Fin };
        let (state, receiver) = watch::channel(initial);
        tasks.spawn(accept_forever(listener, callee, receiver));
        Ok(Self { address, state })
    }

    /// Where callers connect to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set_flow(&self, flow: Flow) {
        self.state.send_modify(|state| state.flow = flow);
    }

    pub(super) fn cut(&self, close: CloseKind) {
        self.state.send_modify(|state| {
            state.generation += 1;
            state.close = close;
        });
    }
}

async fn accept_forever(listener: TcpListener, callee: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((caller, _)) => {
                    // An error ends the connection, which is how the caller notices it.
                    let state = state.clone();
                    connections.spawn(async move { drop(forward(caller, callee, state).await) });
                }
                Err(_) => sleep(ACCEPT_BACKOFF).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Forwards one connection until it ends.
async fn forward(
    mut caller: TcpStream,
    callee: SocketAddr,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let generation = state.borrow().generation;
    let is_current = |state: &State| state.generation == generation;
    let mut current = state.clone();
    let not_stalled = current.wait_for(|state| state.flow != Flow::Stall || !is_current(state));
    let is_accepted =
        not_stalled.await.is_ok_and(|state| state.flow != Flow::Refuse && is_current(&state));
    if !is_accepted {
        return caller.set_zero_linger();
    }
    let connected = timeout(CONNECT_TIMEOUT, socket()?.connect(callee)).await;
    let Ok(Ok(mut callee)) = connected else { return caller.set_zero_linger() };
    caller.set_nodelay(true)?;
    callee.set_nodelay(true)?;

    let flows = state.clone();
    let close = {
        let ((from_caller, to_caller), (from_callee, to_callee)) = (caller.split(), callee.split());
        let requests = pump(from_caller, to_callee, true, flows.clone());
        let responses = pump(from_callee, to_caller, false, flows);
        tokio::select! {
            _ = async { tokio::try_join!(requests, responses) } => CloseKind::Fin,
            cut = state.wait_for(|state| !is_current(state)) => {
                cut.map_or(CloseKind::Fin, |state| state.close)
            }
        }
    };
    if close == CloseKind::Reset {
        caller.set_zero_linger()?;
        callee.set_zero_linger()?;
    }
    Ok(())
}

/// Accepted connections inherit the buffers of a listening socket.
fn socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    Ok(socket)
}
