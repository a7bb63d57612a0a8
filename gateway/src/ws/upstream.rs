//! The way to messaging: one stream to each replica, which carries requests and events in batches.
//!
//! Everything about a room goes to the replica that a rendezvous hash picks, so that all gateways meet there and its sends keep
//! their order. When a stream ends, what was asked on it is asked again elsewhere, in the same order: sends have a key, so a
//! message that was stored already is not stored twice.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use parlance_core::{ErrorCode, MessageContent, RoomId, UserId};
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::{
    self as proto, Answer, AttachRequest, AttachResponse, Send, Sent, Subscribe, Subscribed, Typing,
};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::code_of_status;
use parlance_runtime::grpc::{Client, Replica};
use rand::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::hub::Hub;
use crate::access::Session;
use crate::objects::ClientMessageId;

/// How long a request may take, whatever becomes of the replicas meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests that may wait for their answers; beyond it the answer is `unavailable` at once.
const MAX_PENDING: usize = 20_000;
/// Room for releases beside the requests in the queue of a stream, so that no request finds it full.
const MAX_RELEASES: usize = 20_000;
/// Requests in one batch.
const MAX_BATCH: usize = 400;
/// The time to wait for a replica to take the gateway in.
const ATTACH_LIMIT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);
/// Batches are far smaller than this.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Names one stream to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkKey {
    address: SocketAddr,
    epoch: u64,
}

/// A message that is stored.
pub(crate) struct SentMessage {
    /// The message, its content included.
    pub(crate) message: proto::Message,
    /// Whether it had been stored before.
    pub(crate) duplicate: bool,
}

/// The answer to one request, yet to come; `unavailable` at the latest after two seconds.
pub(crate) struct Pending<T>(oneshot::Receiver<Result<T, ErrorCode>>);

impl<T> Pending<T> {
    /// Waits for the answer.
    pub(crate) async fn answer(&mut self) -> Result<T, ErrorCode> {
        (&mut self.0).await.unwrap_or(Err(ErrorCode::Unavailable))
    }
}

/// The way to messaging. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    state: Mutex<State>,
    last_number: AtomicU64,
    /// What makes this process's keys its own.
    instance: u64,
}

/// Changed together under one lock, which is never held across an await.
#[derive(Debug, Default)]
struct State {
    links: BTreeMap<SocketAddr, Link>,
    /// By their numbers, which is the order in which they were asked and in which they expire.
    requests: BTreeMap<u64, OpenRequest>,
    /// Where sends whose order matters are under way.
    flows: HashMap<Flow, OpenFlow>,
}

/// The sends of one connection to one room, which are stored in the order sent.
type Flow = (u64, RoomId);

/// A flow with sends that are not answered. The next one follows them, even when the room's home has moved meanwhile: on another
/// stream it could overtake them.
#[derive(Debug, Default)]
struct OpenFlow {
    link: Option<LinkKey>,
    unanswered: usize,
}

/// An attached replica.
#[derive(Debug)]
struct Link {
    epoch: u64,
    queue: mpsc::Sender<Message>,
    /// The replica is about to stop: it answers what it was asked, and is asked nothing new.
    is_leaving: bool,
}

#[derive(Debug)]
struct OpenRequest {
    message: Message,
    reply: Reply,
    flow: Option<Flow>,
    /// Where it was asked; nowhere while no replica is attached.
    link: Option<LinkKey>,
    expires_at: Instant,
}

/// What goes into a stream.
#[derive(Clone, Debug)]
enum Message {
    Send(Send),
    Subscribe(Subscribe),
    Release(RoomId),
    Typing(Typing),
}

/// Whom to tell the answer.
#[derive(Debug)]
enum Reply {
    Sent(oneshot::Sender<Result<Sent, ErrorCode>>),
    Subscribed(oneshot::Sender<Result<Subscribed, ErrorCode>>),
    Shown(oneshot::Sender<Result<(), ErrorCode>>),
    /// The hub, which renews a subscription.
    Renewed(RoomId, UserId),
}

/// A subscription that was asked for again, and the answer.
pub(crate) struct Renewal {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
    pub(crate) outcome: Result<Subscribed, ErrorCode>,
}

impl Upstream {
    /// The client must know the replicas of messaging. Nothing moves before [`run`](Self::run).
    pub(crate) fn new(client: Client) -> Self {
        let shared = Shared {
            client,
            state: Mutex::default(),
            last_number: AtomicU64::new(0),
            instance: rand::rng().random(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Attaches to all replicas, now and whenever they change, and hands what they tell to the hub.
    pub(crate) fn run(&self, hub: Hub, lifecycle: &Lifecycle) {
        lifecycle.spawn_companion("messaging streams", self.clone().keep_attached(hub.clone()));
        lifecycle.spawn_companion("request expiry", self.clone().expire_forever(hub));
    }

    /// Stores a message. Messages of one connection for one room are stored in the order of these calls.
    pub(crate) fn submit(
        &self,
        room_id: RoomId,
        sender: &Session,
        content: MessageContent,
        client_msg_id: Option<&ClientMessageId>,
        connection_id: Option<u64>,
    ) -> Pending<Sent> {
        let number = self.next_number();
        let idempotency_key = match client_msg_id {
            Some(id) => format!("c:{}", id.as_str()),
            None => format!("g:{:x}-{number:x}", self.shared.instance),
        };
        let (sender_id, sender_name) = (sender.user_id.get(), sender.username.clone());
        let flow = connection_id.map(|connection_id| (connection_id, room_id));
        let (room_id, content) = (room_id.get(), content.into_string());
        let send = Send { request_id: number, room_id, sender_id, sender_name, content, idempotency_key };
        self.ask(number, Message::Send(send), flow, Reply::Sent)
    }

    /// Stores a message and waits until it is committed.
    pub(crate) async fn send(
        &self,
        room_id: RoomId,
        sender: &Session,
        content: MessageContent,
        client_msg_id: Option<&ClientMessageId>,
    ) -> Result<SentMessage, ErrorCode> {
        let text = content.as_str().to_owned();
        let sent = self.submit(room_id, sender, content, client_msg_id, None).answer().await?;
        let mut message = sent.message.ok_or(ErrorCode::Internal)?;
        if !sent.duplicate {
            message.content = text;
        }
        Ok(SentMessage { message, duplicate: sent.duplicate })
    }

    /// Asks for a room's events on behalf of a user.
    pub(crate) fn subscribe(&self, room_id: RoomId, user_id: UserId) -> Pending<Subscribed> {
        let number = self.next_number();
        self.ask(number, Message::Subscribe(subscribe(number, room_id, user_id)), None, Reply::Subscribed)
    }

    /// Asks again; the answer goes to the hub. False when too much is asked already.
    pub(crate) fn renew(&self, room_id: RoomId, user_id: UserId) -> bool {
        let number = self.next_number();
        let message = Message::Subscribe(subscribe(number, room_id, user_id));
        self.open(number, message, None, Reply::Renewed(room_id, user_id)).is_ok()
    }

    /// Shows a user as typing to all connections but the one it comes from.
    pub(crate) fn show_typing(&self, room_id: RoomId, user: &Session, origin: u64) -> Pending<()> {
        let number = self.next_number();
        let (user_id, username) = (user.user_id.get(), user.username.clone());
        let typing = Typing { request_id: number, room_id: room_id.get(), user_id, username, origin };
        self.ask(number, Message::Typing(typing), None, Reply::Shown)
    }

    /// Does not need a room's events from this stream any more.
    pub(crate) fn release(&self, room_id: RoomId, from: LinkKey) {
        let state = self.lock();
        if let Some(link) = state.links.get(&from.address).filter(|link| link.epoch == from.epoch) {
            // A queue that is full belongs to a replica in trouble; events that nobody wants do no harm.
            let _ = link.queue.try_send(Message::Release(room_id));
        }
    }

    /// The stream over which a room's events come, while things are as they are.
    pub(crate) fn home(&self, room_id: RoomId) -> Option<LinkKey> {
        self.lock().home(room_id)
    }

    fn next_number(&self) -> u64 {
        self.shared.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn ask<T>(
        &self,
        number: u64,
        message: Message,
        flow: Option<Flow>,
        reply: impl FnOnce(oneshot::Sender<Result<T, ErrorCode>>) -> Reply,
    ) -> Pending<T> {
        let (sender, receiver) = oneshot::channel();
        if let Err(reply) = self.open(number, message, flow, reply(sender)) {
            reply.refuse(ErrorCode::Unavailable);
        }
        Pending(receiver)
    }

    /// Asks now or, when no replica is attached, as soon as one is. Gives the reply back when too much is asked already.
    fn open(&self, number: u64, message: Message, flow: Option<Flow>, reply: Reply) -> Result<(), Reply> {
        let mut state = self.lock();
        if state.requests.len() >= MAX_PENDING {
            return Err(reply);
        }
        let expires_at = Instant::now() + PATIENCE;
        let link = state.route(&message, flow);
        if let Some(flow) = flow {
            state.flows.entry(flow).or_default().unanswered += 1;
        }
        state.requests.insert(number, OpenRequest { message, reply, flow, link, expires_at });
        state.note_link(flow, link);
        Ok(())
    }

    /// Starts a task for each replica, and ends those of replicas that are gone.
    async fn keep_attached(self, hub: Hub) -> anyhow::Result<()> {
        let mut replicas = self.shared.client.replicas();
        let mut tasks = JoinSet::new();
        let mut known: BTreeMap<SocketAddr, tokio::task::AbortHandle> = BTreeMap::new();
        loop {
            let present = replicas.borrow_and_update().clone();
            known.retain(|address, task| {
                let is_present = present.iter().any(|replica| replica.address() == *address);
                if !is_present {
                    task.abort();
                }
                is_present
            });
            for replica in present.iter() {
                known
                    .entry(replica.address())
                    .or_insert_with(|| tasks.spawn(self.clone().stay_attached(replica.clone(), hub.clone())));
            }
            tokio::select! {
                changed = replicas.changed() => changed?,
                Some(ended) = tasks.join_next() => self.clean_up(ended, &hub)?,
            }
        }
    }

    /// A task ends only by being aborted, when its replica is gone; everything else is a mistake.
    fn clean_up(&self, ended: Result<(), tokio::task::JoinError>, hub: &Hub) -> anyhow::Result<()> {
        match ended {
            Err(error) if error.is_cancelled() => {
                self.detach_gone();
                hub.move_home();
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(()) => anyhow::bail!("a task that keeps a stream attached has ended"),
        }
    }

    /// Attaches to one replica again and again.
    async fn stay_attached(self, replica: Replica, hub: Hub) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            if let Err(code) = self.attach_once(&replica, &hub).await {
                tracing::debug!(replica = %replica.address(), error.code = code.name(), "a stream to messaging has ended");
            }
            hub.move_home();
            let was_attached = started.elapsed() > ATTACH_LIMIT;
            pause = if was_attached { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let jitter: f64 = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
        }
    }

    /// Attaches to a replica and stays so until the stream ends.
    async fn attach_once(&self, replica: &Replica, hub: &Hub) -> Result<(), ErrorCode> {
        let (queue, messages) = mpsc::channel(MAX_PENDING + MAX_RELEASES);
        let request = self.shared.client.authorize(batches(messages));
        let mut client = MessagingServiceClient::new(replica.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let attached = tokio::time::timeout(ATTACH_LIMIT, client.attach(request)).await;
        let attached =
            attached.map_err(|_| ErrorCode::Unavailable)?.map_err(|status| code_of_status(&status))?;

        let key = self.add_link(replica.address(), queue);
        let detach = DetachOnDrop { upstream: self, key };
        tracing::info!(replica = %key.address, "attached to a replica of messaging");
        hub.move_home();
        let outcome = self.listen(key, attached.into_inner(), hub).await;
        drop(detach);
        tracing::info!(replica = %key.address, "detached from a replica of messaging");
        outcome
    }

    /// Handles what the replica tells until the stream ends. A replica that is leaving is let go once it has answered everything.
    async fn listen(
        &self,
        key: LinkKey,
        mut responses: tonic::Streaming<AttachResponse>,
        hub: &Hub,
    ) -> Result<(), ErrorCode> {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let response = tokio::select! {
                response = responses.message() => response.map_err(|status| code_of_status(&status))?,
                _ = sweep.tick() => {
                    if self.has_left(key) {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(response) = response else { return Ok(()) };
            if response.going_away {
                self.mark_leaving(key);
                hub.move_home();
            }
            let answers = hub.handle(response).await;
            for renewal in self.resolve(answers) {
                hub.renewed(renewal);
            }
        }
    }

    fn add_link(&self, address: SocketAddr, queue: mpsc::Sender<Message>) -> LinkKey {
        let epoch = self.next_number();
        let mut state = self.lock();
        state.links.insert(address, Link { epoch, queue, is_leaving: false });
        state.route_waiting();
        LinkKey { address, epoch }
    }

    /// Forgets a stream, and asks elsewhere what was asked on it.
    fn remove_link(&self, key: LinkKey) {
        let mut state = self.lock();
        if state.links.get(&key.address).is_some_and(|link| link.epoch == key.epoch) {
            state.links.remove(&key.address);
        }
        for request in state.requests.values_mut().filter(|request| request.link == Some(key)) {
            request.link = None;
        }
        state.route_waiting();
    }

    /// Forgets streams whose task was aborted: their queues have no reader.
    fn detach_gone(&self) {
        let gone: Vec<LinkKey> = {
            let state = self.lock();
            let closed = state.links.iter().filter(|(_, link)| link.queue.is_closed());
            closed.map(|(&address, link)| LinkKey { address, epoch: link.epoch }).collect()
        };
        for key in gone {
            self.remove_link(key);
        }
    }

    fn mark_leaving(&self, key: LinkKey) {
        if let Some(link) = self.lock().links.get_mut(&key.address).filter(|link| link.epoch == key.epoch) {
            link.is_leaving = true;
        }
    }

    fn has_left(&self, key: LinkKey) -> bool {
        let state = self.lock();
        state.links.get(&key.address).is_some_and(|link| link.is_leaving)
            && !state.requests.values().any(|request| request.link == Some(key))
    }

    /// Hands answers to whoever waits for them; those for the hub come back.
    fn resolve(&self, answers: Vec<Answer>) -> Vec<Renewal> {
        let mut state = self.lock();
        let mut renewals = Vec::new();
        for answer in answers {
            // One that has expired was answered already.
            let Some(request) = state.requests.remove(&answer.request_id) else { continue };
            state.leave_flow(request.flow);
            renewals.extend(request.reply.resolve(answer.outcome));
        }
        renewals
    }

    async fn expire_forever(self, hub: Hub) -> anyhow::Result<()> {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = sweep.tick().await;
            for renewal in self.expire(now) {
                hub.renewed(renewal);
            }
        }
    }

    fn expire(&self, now: Instant) -> Vec<Renewal> {
        let mut state = self.lock();
        let mut renewals = Vec::new();
        while let Some(first) = state.requests.first_entry().filter(|first| first.get().expires_at <= now) {
            let request = first.remove();
            state.leave_flow(request.flow);
            renewals.extend(request.reply.refuse(ErrorCode::Unavailable));
        }
        renewals
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a stream out of the books however its task ends.
struct DetachOnDrop<'a> {
    upstream: &'a Upstream,
    key: LinkKey,
}

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        self.upstream.remove_link(self.key);
    }
}

impl State {
    /// The replica with the highest hash of room and address (rendezvous hashing: when one goes, only its rooms move). Gateways
    /// that disagree for a while, because they see other replicas, are joined by Redis.
    fn home(&self, room_id: RoomId) -> Option<LinkKey> {
        let staying = self.links.iter().filter(|(_, link)| !link.is_leaving);
        let (&address, link) = staying.max_by_key(|(address, _)| {
            let mut hasher = DefaultHasher::new();
            (room_id, address).hash(&mut hasher);
            hasher.finish()
        })?;
        Some(LinkKey { address, epoch: link.epoch })
    }

    /// Puts a message into the right stream; which one that is. Nowhere when none is attached or its queue is full.
    fn route(&self, message: &Message, flow: Option<Flow>) -> Option<LinkKey> {
        let followed = flow.and_then(|flow| self.flows.get(&flow)?.link).filter(|key| self.is_attached(*key));
        let key = followed.or_else(|| self.home(message.room_id()))?;
        let link = self.links.get(&key.address)?;
        link.queue.try_send(message.clone()).ok().map(|()| key)
    }

    fn is_attached(&self, key: LinkKey) -> bool {
        self.links.get(&key.address).is_some_and(|link| link.epoch == key.epoch)
    }

    fn note_link(&mut self, flow: Option<Flow>, link: Option<LinkKey>) {
        if let Some(open_flow) = flow.and_then(|flow| self.flows.get_mut(&flow)) {
            open_flow.link = link;
        }
    }

    fn leave_flow(&mut self, flow: Option<Flow>) {
        let Some(flow) = flow else { return };
        if let Some(open_flow) = self.flows.get_mut(&flow) {
            open_flow.unanswered -= 1;
            if open_flow.unanswered == 0 {
                self.flows.remove(&flow);
            }
        }
    }

    /// Asks what could not be asked before, in its order.
    fn route_waiting(&mut self) {
        let waiting: Vec<u64> = {
            let waiting = self.requests.iter().filter(|(_, request)| request.link.is_none());
            waiting.map(|(&number, _)| number).collect()
        };
        for number in waiting {
            let Some(request) = self.requests.get(&number) else { continue };
            let (flow, link) = (request.flow, self.route(&request.message, request.flow));
            self.note_link(flow, link);
            if let Some(request) = self.requests.get_mut(&number) {
                request.link = link;
            }
        }
    }
}

impl Message {
    fn room_id(&self) -> RoomId {
        match self {
            Self::Send(send) => RoomId::new(send.room_id),
            Self::Subscribe(subscribe) => RoomId::new(subscribe.room_id),
            Self::Release(room_id) => *room_id,
            Self::Typing(typing) => RoomId::new(typing.room_id),
        }
    }

    /// The place of its kind in a batch, whose kinds are handled one after the other.
    fn place(&self) -> u8 {
        match self {
            Self::Send(_) => 0,
            Self::Subscribe(_) => 1,
            Self::Release(_) => 2,
            Self::Typing(_) => 3,
        }
    }

    fn add_to(self, batch: &mut AttachRequest) {
        match self {
            Self::Send(send) => batch.sends.push(send),
            Self::Subscribe(subscribe) => batch.subscribes.push(subscribe),
            Self::Release(room_id) => batch.released_room_ids.push(room_id.get()),
            Self::Typing(typing) => batch.typings.push(typing),
        }
    }
}

impl Reply {
    /// Tells the answer; one for the hub comes back.
    fn resolve(self, outcome: Option<Outcome>) -> Option<Renewal> {
        match (self, outcome) {
            // Who asked may have stopped waiting, here and below.
            (Self::Sent(reply), Some(Outcome::Sent(sent))) => drop(reply.send(Ok(sent))),
            (Self::Subscribed(reply), Some(Outcome::Subscribed(start))) => drop(reply.send(Ok(start))),
            (Self::Shown(reply), Some(Outcome::TypingShown(_))) => drop(reply.send(Ok(()))),
            (Self::Renewed(room_id, user_id), Some(Outcome::Subscribed(start))) => {
                return Some(Renewal { room_id, user_id, outcome: Ok(start) });
            }
            (reply, Some(Outcome::Error(name))) => {
                return reply.refuse(ErrorCode::from_name(&name).unwrap_or(ErrorCode::Internal));
            }
            (reply, _) => {
                tracing::error!("messaging answered something else than what was asked");
                return reply.refuse(ErrorCode::Internal);
            }
        }
        None
    }

    fn refuse(self, code: ErrorCode) -> Option<Renewal> {
        match self {
            Self::Sent(reply) => drop(reply.send(Err(code))),
            Self::Subscribed(reply) => drop(reply.send(Err(code))),
            Self::Shown(reply) => drop(reply.send(Err(code))),
            Self::Renewed(room_id, user_id) => return Some(Renewal { room_id, user_id, outcome: Err(code) }),
        }
        None
    }
}

fn subscribe(number: u64, room_id: RoomId, user_id: UserId) -> Subscribe {
    Subscribe { request_id: number, room_id: room_id.get(), user_id: user_id.get() }
}

/// Everything that waits goes out in one batch; kinds that stand in the wrong order begin a new one.
fn batches(messages: mpsc::Receiver<Message>) -> impl Stream<Item = AttachRequest> {
    stream::unfold((messages, Vec::new().into_iter()), |(mut messages, left_over)| async move {
        let mut waiting = left_over.peekable();
        if waiting.peek().is_none() {
            let mut more = Vec::with_capacity(16);
            if messages.recv_many(&mut more, MAX_BATCH).await == 0 {
                return None;
            }
            waiting = more.into_iter().peekable();
        }
        let mut batch = AttachRequest::default();
        let mut place = 0;
        while let Some(message) = waiting.next_if(|message: &Message| message.place() >= place) {
            place = message.place();
            message.add_to(&mut batch);
        }
        let left_over: Vec<Message> = waiting.collect();
        Some((batch, (messages, left_over.into_iter())))
    })
}
