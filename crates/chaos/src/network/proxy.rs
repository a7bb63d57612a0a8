//! One proxy: a listener, and a task for each connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::pump::{Direction, pump};
use super::{Flow, Shutdown};

/// Connections at once; more wait in the kernel.
const MAX_CONNECTIONS: usize = 2_000;
/// A callee on the same machine answers at once, or not at all.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const BACKLOG: u32 = 1_024;
/// What the kernel holds in each direction. Its own choice is some megabytes, behind which a reader
/// that is too slow could hide.
const KERNEL_BUFFER: u32 = 64 << 10;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// What the connections of a proxy are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    pub(super) flow: Flow,
    /// Connections of an earlier era end.
    era: u64,
    ending: Shutdown,
}

/// A proxy in front of one callee, for as long as the set of tasks that it was opened in.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
}

impl Proxy {
    pub(super) fn open(callee: SocketAddr, tasks: &mut JoinSet<()>) -> io::Result<Self> {
        let socket = socket()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (orders, receiver) =
            watch::channel(Orders { flow: Flow::Pass, era: 0, ending: Shutdown::Close });
        tasks.spawn(accept_forever(listener, callee, receiver));
        Ok(Self { address, orders })
    }

    /// Where callers find it.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set(&self, flow: Flow) {
        self.orders.send_modify(|orders| orders.flow = flow);
    }

    pub(super) fn cut(&self, ending: Shutdown) {
        self.orders.send_modify(|orders| {
            orders.era += 1;
            orders.ending = ending;
        });
    }
}

async fn accept_forever(
    listener: TcpListener,
    callee: SocketAddr,
    orders: watch::Receiver<Orders>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((caller, _)) => {
                    // One that fails has ended, which is what its caller is told, too.
                    let orders = orders.clone();
                    connections.spawn(async move { drop(carry(caller, callee, orders).await) });
                }
                Err(_) => sleep(PAUSE_AFTER_FAILURE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection to its end.
async fn carry(
    mut caller: TcpStream,
    callee: SocketAddr,
    mut orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let era = orders.borrow().era;
    let mut present = orders.clone();
    let until_it_flows = present.wait_for(|orders| orders.flow != Flow::Stall || orders.era != era);
    let is_refused = match until_it_flows.await {
        Ok(orders) => orders.flow == Flow::Refuse || orders.era != era,
        Err(_) => true,
    };
    if is_refused {
        return caller.set_zero_linger();
    }
    let connected = timeout(CONNECT_DEADLINE, socket()?.connect(callee)).await;
    let Ok(Ok(mut callee)) = connected else { return caller.set_zero_linger() };
    caller.set_nodelay(true)?;
    callee.set_nodelay(true)?;

    let flows = orders.clone();
    let ending = {
        let ((from_caller, to_caller), (from_callee, to_callee)) = (caller.split(), callee.split());
        let forth = pump(from_caller, to_callee, Direction::Forth, flows.clone());
        let back = pump(from_callee, to_caller, Direction::Back, flows);
        tokio::select! {
            _ = async { tokio::try_join!(forth, back) } => Shutdown::Close,
            ending = cut_after(era, &mut orders) => ending,
        }
    };
    if ending == Shutdown::Reset {
        caller.set_zero_linger()?;
        callee.set_zero_linger()?;
    }
    Ok(())
}

/// Connections that come out of it take over its buffers.
fn socket() -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    Ok(socket)
}

/// Waits until the connections of an era are to end.
async fn cut_after(era: u64, orders: &mut watch::Receiver<Orders>) -> Shutdown {
    let cut = orders.wait_for(|orders| orders.era != era).await;
    cut.map_or(Shutdown::Close, |orders| orders.ending)
}
