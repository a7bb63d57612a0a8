//! A man in the middle: takes the sockets of clients, opens one at a gateway for each, and passes
//! on what comes, tampered with or not.

use std::collections::HashMap;
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
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_hdr_async, connect_async};

use super::tampering::{Harm, Outgoing, Tampering};

const DEADLINE: Duration = Duration::from_secs(5);
/// Frames that wait for one client; more than a run has.
const QUEUE: usize = 10_000;
/// How long a frame waits for another one to change places with.
const SWAP_PAUSE: Duration = Duration::from_millis(50);
/// When a client is cut off whose connection to the gateway is kept.
const CUT_AFTER: Duration = Duration::from_millis(300);

/// Where the gateways take sockets, and how a request for one begins.
const PATH: &str = "/v1/messages/ws";
const UPGRADE: &[u8] = b"GET /v1/messages/ws";

/// Stands between clients and gateways until it is dropped.
#[derive(Debug)]
pub(super) struct Middle {
    url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    gateways: Vec<String>,
    tampering: Mutex<Tampering>,
    /// The way to each client.
    links: Mutex<HashMap<usize, Queue>>,
}

type Client = WebSocketStream<TcpStream>;
type Server = WebSocketStream<MaybeTlsStream<TcpStream>>;
/// What is passed on and when; nothing ends the connection.
type Queue = mpsc::Sender<(Instant, Option<Message>)>;

impl Middle {
    /// Stands before these addresses, each client before the next one.
    pub(super) async fn start(gateways: Vec<String>, harm: Option<Harm>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}{PATH}", listener.local_addr()?);
        let tampering = Mutex::new(Tampering::new(harm));
        let shared = Arc::new(Shared { gateways, tampering, links: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, shared.clone()));
        Ok(Self { url, shared, _tasks: tasks })
    }

    /// Where clients are to go.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Demands that the harm was done, so that what is found, or not found, has a cause.
    pub(super) fn assert_done(&self, harm: Option<Harm>) {
        let count = self.shared.tampering.lock().unwrap().count;
        assert_eq!(count > 0, harm.is_some(), "done {count} times: {harm:?}");
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for link in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = shared.clone();
        connections.spawn(async move {
            // However a connection ends, its client comes back.
            let _ = shared.serve(link, stream).await;
            shared.links.lock().unwrap().remove(&link);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    /// Serves one client, whatever it wants.
    async fn serve(&self, link: usize, mut client: TcpStream) -> anyhow::Result<()> {
        let gateway = &self.gateways[link % self.gateways.len()];
        let mut begin = [0; UPGRADE.len()];
        let length = timeout(DEADLINE, client.peek(&mut begin)).await??;
        if begin[..length] == *UPGRADE {
            return self.carry(link, client, gateway).await;
        }
        // Whatever it is, the gateway is to judge it.
        let authority = gateway.trim_start_matches("ws://").trim_end_matches(PATH);
        let mut server = timeout(DEADLINE, TcpStream::connect(authority)).await??;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }

    /// Passes on the frames of both sides, until one leaves.
    async fn carry(&self, link: usize, client: TcpStream, gateway: &str) -> anyhow::Result<()> {
        let (client, server) = timeout(DEADLINE, open_both(client, gateway)).await??;
        let (to_client, from_client) = client.split();
        let (to_server, mut from_server) = server.split();
        let (queue, queued) = mpsc::channel(QUEUE);
        self.links.lock().unwrap().insert(link, queue);

        let keeps = self.does(Harm::KeepConnections);
        let downwards = async {
            tokio::try_join!(self.receive(link, &mut from_server), pass_down(queued, to_client))
                .map(drop)
        };
        tokio::select! {
            outcome = self.pass_up(link, from_client, to_server) => outcome?,
            outcome = downwards => outcome?,
            () = sleep(CUT_AFTER), if keeps => {}
        }
        if keeps {
            self.tampering.lock().unwrap().count += 1;
            while from_server.next().await.is_some() {}
        }
        Ok(())
    }

    async fn pass_up(
        &self,
        link: usize,
        mut client: SplitStream<Client>,
        mut server: SplitSink<Server, Message>,
    ) -> anyhow::Result<()> {
        while let Some(messages) = self.next_of_client(&mut client).await {
            for message in messages {
                if let Message::Text(text) = &message {
                    self.tampering.lock().unwrap().hear(link, text);
                }
                server.send(message).await?;
            }
        }
        Ok(())
    }

    async fn receive(&self, link: usize, server: &mut SplitStream<Server>) -> anyhow::Result<()> {
        while let Some(Ok(message)) = server.next().await {
            self.pass_on(link, message)?;
        }
        self.enqueue(link, Duration::ZERO, None)
    }

    /// What is passed on next to the server; nothing when the client has left.
    async fn next_of_client(&self, client: &mut SplitStream<Client>) -> Option<Vec<Message>> {
        let first = client.next().await?.ok()?;
        if !self.does(Harm::SwapSends) {
            return Some(vec![first]);
        }
        let Ok(second) = timeout(SWAP_PAUSE, client.next()).await else { return Some(vec![first]) };
        let second = second?.ok()?;
        let is_swapped = match (&first, &second) {
            (Message::Text(first), Message::Text(second)) => {
                self.tampering.lock().unwrap().swaps(first, second)
            }
            _ => false,
        };
        Some(if is_swapped { vec![second, first] } else { vec![first, second] })
    }

    fn pass_on(&self, link: usize, message: Message) -> anyhow::Result<()> {
        match message {
            Message::Text(text) => {
                let frame = serde_json::from_str(&text)?;
                // Held until all of it is queued, so that what two connections cause for a third
                // does not change places.
                let mut tampering = self.tampering.lock().unwrap();
                for Outgoing { link: to, delay, frame } in tampering.answer(link, frame) {
                    let sent = self.enqueue(to, delay, Some(Message::text(frame.to_string())));
                    // Somebody else may have left.
                    if to == link {
                        sent?;
                    }
                }
                Ok(())
            }
            // Each side is answered by whom it talks to.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            other => self.enqueue(link, Duration::ZERO, Some(other)),
        }
    }

    fn enqueue(
        &self,
        link: usize,
        delay: Duration,
        message: Option<Message>,
    ) -> anyhow::Result<()> {
        let links = self.links.lock().unwrap();
        let queue = links.get(&link).context("the client has left")?;
        Ok(queue.try_send((Instant::now() + delay, message))?)
    }

    fn does(&self, harm: Harm) -> bool {
        self.tampering.lock().unwrap().does(harm)
    }
}

/// Takes a client's socket, and opens one at the gateway in the same person's name.
async fn open_both(client: TcpStream, gateway: &str) -> anyhow::Result<(Client, Server)> {
    let mut request = gateway.into_client_request()?;
    #[expect(clippy::result_large_err, reason = "the signature is given")]
    let take_over = |asked: &Request, response: Response| -> Result<Response, ErrorResponse> {
        if let Some(authorization) = asked.headers().get("authorization") {
            request.headers_mut().insert("authorization", authorization.clone());
        }
        Ok(response)
    };
    let client = accept_hdr_async(client, take_over).await?;
    let (server, _) = connect_async(request).await?;
    Ok((client, server))
}

async fn pass_down(
    mut queued: mpsc::Receiver<(Instant, Option<Message>)>,
    mut client: SplitSink<Client, Message>,
) -> anyhow::Result<()> {
    while let Some((due, Some(message))) = queued.recv().await {
        sleep_until(due).await;
        client.send(message).await?;
    }
    Ok(())
}
