//! What was asked of which replica and is not answered yet. Changed under one lock, which is never
//! held across an await; nothing here waits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::Answer;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::messaging_client::StreamId;
use crate::messaging_client::message::{Message, Renewal, Reply};

/// How long a request may take, whatever becomes of the replicas meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests that may wait for their answers; beyond it the answer is `unavailable` at once.
pub(crate) const MAX_PENDING: usize = 20_000;

/// The books.
#[derive(Debug, Default)]
pub(crate) struct State {
    links: BTreeMap<SocketAddr, Link>,
    /// By their numbers, which is the order in which they were asked and in which they expire.
    requests: BTreeMap<u64, OpenRequest>,
    /// Where sends whose order matters are under way.
    flows: HashMap<Flow, OpenFlow>,
}

/// The sends of one connection to one room, which are stored in the order sent.
pub(crate) type Flow = (u64, RoomId);

/// A flow with sends that are not answered. The next one follows them, even when the room's home
/// has moved meanwhile: on another stream it could overtake them.
#[derive(Debug, Default)]
struct OpenFlow {
    link: Option<StreamId>,
    unanswered: usize,
    /// Whether one of them could not be asked yet: those behind it wait, too.
    is_held: bool,
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
    link: Option<StreamId>,
    expires_at: Instant,
}

impl State {
    /// Asks now or, when no replica is attached, as soon as one is. Gives the reply back when too
    /// much is asked already.
    pub(crate) fn open(
        &mut self,
        number: u64,
        message: Message,
        flow: Option<Flow>,
        reply: Reply,
    ) -> Result<(), Reply> {
        if self.requests.len() >= MAX_PENDING {
            return Err(reply);
        }
        let expires_at = Instant::now() + PATIENCE;
        let is_held = flow.and_then(|flow| self.flows.get(&flow)).is_some_and(|flow| flow.is_held);
        let link = if is_held { None } else { self.route(&message, flow) };
        if let Some(flow) = flow {
            self.flows.entry(flow).or_default().unanswered += 1;
        }
        self.requests.insert(number, OpenRequest { message, reply, flow, link, expires_at });
        self.note_link(flow, link);
        Ok(())
    }

    /// Hands answers to whoever waits for them; those for the hub come back.
    pub(crate) fn resolve(&mut self, answers: Vec<Answer>) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        for answer in answers {
            // One that has expired was answered already.
            let Some(request) = self.requests.remove(&answer.request_id) else { continue };
            self.leave_flow(request.flow);
            renewals.extend(request.reply.resolve(answer.outcome));
        }
        renewals
    }

    /// Answers what nobody waits for any longer, and asks what could not be asked before; answers
    /// for the hub come back.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        while let Some(first) =
            self.requests.first_entry().filter(|first| first.get().expires_at <= now)
        {
            let request = first.remove();
            self.leave_flow(request.flow);
            renewals.extend(request.reply.refuse(ErrorCode::Unavailable));
        }
        self.route_waiting();
        renewals
    }

    /// Takes in a stream, and asks on it what could not be asked before.
    pub(crate) fn add_link(&mut self, key: StreamId, queue: mpsc::Sender<Message>) {
        self.links.insert(key.address, Link { epoch: key.epoch, queue, is_leaving: false });
        self.route_waiting();
    }

    /// Forgets a stream, and asks elsewhere what was asked on it.
    pub(crate) fn remove_link(&mut self, key: StreamId) {
        if self.is_attached(key) {
            self.links.remove(&key.address);
        }
        for request in self.requests.values_mut().filter(|request| request.link == Some(key)) {
            request.link = None;
        }
        self.route_waiting();
    }

    /// Forgets streams whose task was aborted: their queues have no reader.
    pub(crate) fn remove_closed_links(&mut self) {
        let closed = self.links.iter().filter(|(_, link)| link.queue.is_closed());
        let keys: Vec<StreamId> =
            closed.map(|(&address, link)| StreamId { address, epoch: link.epoch }).collect();
        for key in keys {
            self.remove_link(key);
        }
    }

    /// How many streams there are.
    pub(crate) fn attached(&self) -> usize {
        self.links.len()
    }

    /// Notes that the replica is about to stop.
    pub(crate) fn mark_leaving(&mut self, key: StreamId) {
        if let Some(link) = self.links.get_mut(&key.address).filter(|link| link.epoch == key.epoch)
        {
            link.is_leaving = true;
        }
    }

    /// Whether the replica is about to stop and has answered everything.
    pub(crate) fn has_left(&self, key: StreamId) -> bool {
        self.links.get(&key.address).is_some_and(|link| link.is_leaving)
            && !self.requests.values().any(|request| request.link == Some(key))
    }

    /// Does not need a room's events from this stream any more.
    pub(crate) fn release(&self, room_id: RoomId, from: StreamId) {
        if let Some(link) = self.links.get(&from.address).filter(|link| link.epoch == from.epoch) {
            // A queue that is full belongs to a replica in trouble; events that nobody wants do no
            // harm.
            let _ = link.queue.try_send(Message::Release(room_id));
        }
    }

    /// The replica with the highest hash of room and address (rendezvous hashing: when one goes,
    /// only its rooms move). Gateways that disagree for a while, because they see other replicas,
    /// are joined by Redis.
    pub(crate) fn owner(&self, room_id: RoomId) -> Option<StreamId> {
        let staying = self.links.iter().filter(|(_, link)| !link.is_leaving);
        let (&address, link) = staying.max_by_key(|(address, _)| {
            let mut hasher = DefaultHasher::new();
            (room_id, address).hash(&mut hasher);
            hasher.finish()
        })?;
        Some(StreamId { address, epoch: link.epoch })
    }

    /// Puts a message into the right stream; which one that is. Nowhere when none is attached or
    /// its queue is full.
    fn route(&self, message: &Message, flow: Option<Flow>) -> Option<StreamId> {
        let followed =
            flow.and_then(|flow| self.flows.get(&flow)?.link).filter(|key| self.is_attached(*key));
        let key = followed.or_else(|| self.owner(message.room_id()))?;
        let link = self.links.get(&key.address)?;
        link.queue.try_send(message.clone()).ok().map(|()| key)
    }

    fn is_attached(&self, key: StreamId) -> bool {
        self.links.get(&key.address).is_some_and(|link| link.epoch == key.epoch)
    }

    fn note_link(&mut self, flow: Option<Flow>, link: Option<StreamId>) {
        if let Some(open_flow) = flow.and_then(|flow| self.flows.get_mut(&flow)) {
            open_flow.is_held = link.is_none();
            open_flow.link = link.or(open_flow.link);
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
        let mut held = HashSet::new();
        for number in waiting {
            let Some(request) = self.requests.get(&number) else { continue };
            let flow = request.flow;
            let is_held = flow.is_some_and(|flow| held.contains(&flow));
            let link = if is_held { None } else { self.route(&request.message, flow) };
            held.extend(flow.filter(|_| link.is_none()));
            self.note_link(flow, link);
            if let Some(request) = self.requests.get_mut(&number) {
                request.link = link;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::messaging::{Send, Typing};
    use tokio::sync::oneshot;

    use super::*;

    type Answer = oneshot::Receiver<Result<(), ErrorCode>>;

    /// Asks something; nothing when it is given back.
    fn ask(state: &mut State, number: usize) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        let message = Message::Typing(Typing::default());
        state.open(number as u64, message, None, Reply::Shown(sender)).ok().map(|()| receiver)
    }

    #[test]
    fn what_is_too_much_is_given_back_at_once_until_others_are_answered() {
        let mut state = State::default();
        let mut answers: Vec<Answer> =
            (0..MAX_PENDING).filter_map(|number| ask(&mut state, number)).collect();
        assert_eq!(answers.len(), MAX_PENDING);
        assert!(ask(&mut state, MAX_PENDING).is_none());
        state.expire(Instant::now() + PATIENCE);
        assert!(
            answers.iter_mut().all(|answer| answer.try_recv() == Ok(Err(ErrorCode::Unavailable)))
        );
        assert!(ask(&mut state, MAX_PENDING).is_some());
    }

    #[test]
    fn sends_of_a_connection_to_a_room_do_not_overtake_one_that_could_not_be_asked_yet() {
        let mut state = State::default();
        let (queue, mut asked) = mpsc::channel(1);
        let key = StreamId { address: ([127, 0, 0, 1], 1).into(), epoch: 1 };
        state.add_link(key, queue);
        let send = |state: &mut State, request_id| {
            let (sender, receiver) = oneshot::channel();
            let message = Message::Typing(Typing { request_id, ..Typing::default() });
            let opened =
                state.open(request_id, message, Some((1, RoomId::new(1))), Reply::Shown(sender));
            assert!(opened.is_ok());
            receiver
        };
        let mut next = || match asked.try_recv() {
            Ok(Message::Typing(typing)) => Some(typing.request_id),
            _ => None,
        };
        let _first = send(&mut state, 1);
        let _second = send(&mut state, 2);
        assert_eq!(next(), Some(1));
        let _third = send(&mut state, 3);
        for number in [2, 3] {
            state.expire(Instant::now());
            assert_eq!(next(), Some(number));
        }
    }

    #[test]
    fn requests_of_a_lost_stream_are_sent_on_another() {
        let mut state = State::default();
        let links = [1, 2].map(|port| {
            let (queue, asked) = mpsc::channel(1);
            (StreamId { address: ([127, 0, 0, 1], port).into(), epoch: 1 }, queue, asked)
        });
        let [(lost, first_queue, mut first_asked), (other, second_queue, mut second_asked)] = links;
        state.add_link(lost, first_queue);
        let (reply, _answer) = oneshot::channel();
        let send = Message::Send(Send::default());
        assert!(state.open(1, send, None, Reply::Sent(reply)).is_ok());
        state.add_link(other, second_queue);
        state.remove_link(lost);
        for asked in [&mut first_asked, &mut second_asked] {
            assert!(matches!(asked.try_recv(), Ok(Message::Send(_))));
        }
    }
}
