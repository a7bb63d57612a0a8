//! The interceptor: accepts the connections of clients, opens one to a gateway for each, and passes
//! frames on, tampered with or not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use super::tampering::{Outgoing, State, Tampering};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Frames that wait for one client: more than a run has.
const QUEUE: usize = 10_000;
/// How long a frame of a client waits for its successor.
const REORDER_TIMEOUT: Duration = Duration::from_millis(50);
/// When a client is disconnected whose connection to the gateway is kept.
const DISCONNECT_AFTER: Duration = Duration::from_millis(300);

/// How a WebSocket request begins.
const UPGRADE: &[u8] = b"GET /v1/messages/ws";

/// Stands between clients and gateways until it is dropped.
#[derive(Debug)]
pub(super) struct Interceptor {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    gateways: Vec<SocketAddr>,
    state: Mutex<State>,
    /// The queue of each client, by the number of its connection.
    queues: Mutex<HashMap<usize, Queue>>,
}

type WebSocket = WebSocketStream<TcpStream>;
/// What is sent and when. `None` ends the connection.
type Queue = mpsc::Sender<(Instant, Option<Message>)>;

impl Interceptor {
    /// Starts before these gateways. Connections go to them in turn.
    pub(super) async fn start(
        gateways: Vec<SocketAddr>,
        tampering: Option<Tampering>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Mutex::new(State::new(tampering));
        let shared = Arc::new(Shared { gateways, state, queues: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_forever(listener, shared.clone()));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where clients connect to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Panics unless frames were tampered with, so that each verdict has its cause.
    pub(super) fn assert_tampered(&self, tampering: Option<Tampering>) {
        let count = self.shared.state.lock().unwrap().count;
        assert_eq!(count > 0, tampering.is_some(), "{count} times: {tampering:?}");
    }
}

async fn accept_forever(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = shared.clone();
        connections.spawn(async move {
            // The client reconnects, whatever ended the connection.
            let _ = shared.serve(number, stream).await;
            shared.queues.lock().unwrap().remove(&number);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    /// Serves a WebSocket, or forwards the bytes of any other connection.
    async fn serve(&self, number: usize, mut client: TcpStream) -> anyhow::Result<()> {
        let gateway = self.gateways[number % self.gateways.len()];
        let mut begin = [0; UPGRADE.len()];
        let length = timeout(TIMEOUT, client.peek(&mut begin)).await??;
        if begin[..length] == *UPGRADE {
            return self.forward_frames(number, client, gateway).await;
        }
        let mut server = timeout(TIMEOUT, TcpStream::connect(gateway)).await??;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }

    /// Passes frames on in both directions until one side leaves.
    async fn forward_frames(
        &self,
        number: usize,
        client: TcpStream,
        gateway: SocketAddr,
    ) -> anyhow::Result<()> {
        let (client, server) = timeout(TIMEOUT, open_both(client, gateway)).await??;
        let (to_client, from_client) = client.split();
        let (to_server, mut from_server) = server.split();
        let (queue, queued) = mpsc::channel(QUEUE);
        self.queues.lock().unwrap().insert(number, queue);

        let keeps_connections = self.is(Tampering::KeepConnections);
        let events = async {
            let receiving = self.receive(number, &mut from_server);
            tokio::try_join!(receiving, send_queued(queued, to_client)).map(drop)
        };
        tokio::select! {
            result = self.forward_requests(number, from_client, to_server) => result?,
            result = events => result?,
            () = sleep(DISCONNECT_AFTER), if keeps_connections => {}
        }
        if keeps_connections {
            self.state.lock().unwrap().count += 1;
            while from_server.next().await.is_some() {}
        }
        Ok(())
    }

    async fn forward_requests(
        &self,
        number: usize,
        mut client: SplitStream<WebSocket>,
        mut server: SplitSink<WebSocket, Message>,
    ) -> anyhow::Result<()> {
        while let Some(messages) = self.next_requests(&mut client).await {
            for message in messages {
                if let Message::Text(text) = &message {
                    self.state.lock().unwrap().on_client_frame(number, text);
                }
                server.send(message).await?;
            }
        }
        Ok(())
    }

    async fn receive(
        &self,
        number: usize,
        server: &mut SplitStream<WebSocket>,
    ) -> anyhow::Result<()> {
        while let Some(Ok(message)) = server.next().await {
            self.on_gateway_message(number, message)?;
        }
        self.enqueue(number, Duration::ZERO, None)
    }

    /// Returns the next messages of a client in the order in which the gateway gets them, or `None`
    /// when the client has left.
    async fn next_requests(&self, client: &mut SplitStream<WebSocket>) -> Option<Vec<Message>> {
        let first = client.next().await?.ok()?;
        if !self.is(Tampering::ReorderSends) {
            return Some(vec![first]);
        }
        let Ok(second) = timeout(REORDER_TIMEOUT, client.next()).await else {
            return Some(vec![first]);
        };
        let second = second?.ok()?;
        let are_exchanged = match (&first, &second) {
            (Message::Text(first), Message::Text(second)) => {
                self.state.lock().unwrap().exchanges(first, second)
            }
            _ => false,
        };
        Some(if are_exchanged { vec![second, first] } else { vec![first, second] })
    }

    fn on_gateway_message(&self, number: usize, message: Message) -> anyhow::Result<()> {
        match message {
            Message::Text(text) => {
                let frame = serde_json::from_str(&text)?;
                // The lock is held until all frames are queued, so that frames which two
                // connections cause for a third one keep their order.
                let mut state = self.state.lock().unwrap();
                for outgoing in state.on_gateway_frame(number, frame) {
                    let Outgoing { connection, delay, frame } = outgoing;
                    let message = Message::text(frame.to_string());
                    let sent = self.enqueue(connection, delay, Some(message));
                    // Another client may have left.
                    if connection == number {
                        sent?;
                    }
                }
                Ok(())
            }
            // Each side answers the pings of its own connection.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            other => self.enqueue(number, Duration::ZERO, Some(other)),
        }
    }

    fn enqueue(
        &self,
        number: usize,
        delay: Duration,
        message: Option<Message>,
    ) -> anyhow::Result<()> {
        let queues = self.queues.lock().unwrap();
        let queue = queues.get(&number).context("the client has left")?;
        Ok(queue.try_send((Instant::now() + delay, message))?)
    }

    fn is(&self, tampering: Tampering) -> bool {
        self.state.lock().unwrap().is(tampering)
    }
}

/// Accepts the WebSocket of a client, and opens one to the gateway with the client's token.
async fn open_both(
    client: TcpStream,
    gateway: SocketAddr,
) -> anyhow::Result<(WebSocket, WebSocket)> {
    let mut request = format!("ws://{gateway}/v1/messages/ws").into_client_request()?;
    #[expect(clippy::result_large_err, reason = "tungstenite prescribes the signature")]
    let copy_token = |accepted: &Request, response: Response| -> Result<Response, ErrorResponse> {
        if let Some(authorization) = accepted.headers().get("authorization") {
            request.headers_mut().insert("authorization", authorization.clone());
        }
        Ok(response)
    };
    let client = accept_hdr_async(client, copy_token).await?;
    let (server, _) = client_async(request, TcpStream::connect(gateway).await?).await?;
    Ok((client, server))
}

async fn send_queued(
    mut queued: mpsc::Receiver<(Instant, Option<Message>)>,
    mut client: SplitSink<WebSocket, Message>,
) -> anyhow::Result<()> {
    while let Some((due, Some(message))) = queued.recv().await {
        sleep_until(due).await;
        client.send(message).await?;
    }
    Ok(())
}
