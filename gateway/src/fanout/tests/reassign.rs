//! A gateway with many rooms whose stream to messaging is lost.

use std::collections::HashMap;
use std::net::SocketAddr;

use clap::Parser;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt};
use parlance_core::{Clock, MessageContent, UserId};
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::messaging_service_server::{
    MessagingService, MessagingServiceServer,
};
use parlance_proto::messaging::{
    Answer, AttachRequest, AttachResponse, DeleteMessageRequest, DeleteMessageResponse,
    EditMessageRequest, EditMessageResponse, ReadChangesRequest, ReadChangesResponse,
    ReadHistoryRequest, ReadHistoryResponse, Sent, Subscribed,
};
use parlance_runtime::Lifecycle;
use parlance_runtime::trace::Span;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::app::{self, App};
use crate::auth::identity::{Identity, Token};
use crate::config::Config;
use crate::fanout::{Subscription, Turn};

const ROOMS: i64 = 40;
const USERS: i64 = 30;
const PAIRS: usize = (ROOMS * USERS) as usize;
/// Far fewer than the pairs of room and user.
const BUDGET: usize = 8;
const SENDER: i64 = 1_000;
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A replica of messaging that answers each request after some milliseconds.
#[derive(Clone)]
struct Replica {
    /// How often each pair of room and user was subscribed on the present stream.
    subscribed: Arc<Mutex<HashMap<(i64, i64), usize>>>,
    /// Subscriptions that are not answered, now and at most.
    unanswered: Arc<Mutex<(usize, usize)>>,
    /// Changed to end the present stream.
    stream: Arc<watch::Sender<u64>>,
    lifecycle: Lifecycle,
}

type Responses = BoxStream<'static, Result<AttachResponse, Status>>;

impl Replica {
    /// Starts a replica. Returns its address, too.
    async fn start(lifecycle: &Lifecycle) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let stream = Arc::new(watch::Sender::default());
        let (subscribed, unanswered) = (Arc::default(), Arc::default());
        let replica = Self { subscribed, unanswered, stream, lifecycle: lifecycle.clone() };
        let service = MessagingServiceServer::new(replica.clone());
        let serve = tonic::transport::Server::builder().add_service(service).serve(address);
        lifecycle.spawn(async move { serve.await.unwrap() });
        (replica, address)
    }

    fn end_stream(&self) {
        lock(&self.subscribed).clear();
        *lock(&self.unanswered) = (0, 0);
        self.stream.send_modify(|stream| *stream += 1);
    }

    async fn answer(self, request: AttachRequest, responses: mpsc::Sender<AttachResponse>) {
        {
            let mut unanswered = lock(&self.unanswered);
            unanswered.0 += request.subscribes.len();
            unanswered.1 = unanswered.1.max(unanswered.0);
        }
        sleep(Duration::from_millis(5)).await;
        let mut answers = Vec::new();
        for subscribe in &request.subscribes {
            let pair = (subscribe.room_id, subscribe.user_id);
            *lock(&self.subscribed).entry(pair).or_default() += 1;
            let outcome = Some(Outcome::Subscribed(Subscribed { last_seq: 0, room_version: 1 }));
            answers.push(Answer { request_id: subscribe.request_id, outcome });
        }
        for send in &request.sends {
            let outcome = Some(Outcome::Sent(Sent::default()));
            answers.push(Answer { request_id: send.request_id, outcome });
        }
        lock(&self.unanswered).0 -= request.subscribes.len();
        let _ = responses.send(AttachResponse { answers, ..AttachResponse::default() }).await;
    }
}

#[tonic::async_trait]
impl MessagingService for Replica {
    type AttachStream = Responses;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let (mut requests, replica) = (request.into_inner(), self.clone());
        let (responses, receiver) = mpsc::channel(1_000);
        let mut stream = self.stream.subscribe();
        self.lifecycle.spawn(async move {
            let serve = async {
                while let Ok(Some(request)) = requests.message().await {
                    let answer = replica.clone().answer(request, responses.clone());
                    replica.lifecycle.spawn(answer);
                }
            };
            tokio::select! {
                () = serve => {}
                _ = stream.changed() => {}
            }
        });
        let responses = stream::unfold(receiver, |mut receiver| async move {
            Some((Ok(receiver.recv().await?), receiver))
        });
        Ok(Response::new(responses.boxed()))
    }

    async fn edit_message(
        &self,
        _: Request<EditMessageRequest>,
    ) -> Result<Response<EditMessageResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_message(
        &self,
        _: Request<DeleteMessageRequest>,
    ) -> Result<Response<DeleteMessageResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn read_history(
        &self,
        _: Request<ReadHistoryRequest>,
    ) -> Result<Response<ReadHistoryResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn read_changes(
        &self,
        _: Request<ReadChangesRequest>,
    ) -> Result<Response<ReadChangesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

/// A gateway that reaches messaging and nothing else.
async fn gateway(messaging: SocketAddr, lifecycle: &Lifecycle) -> App {
    let messaging = format!("--messaging-addresses={messaging}");
    let arguments = ["gateway", "--internal-token=0123456789abcdef", &messaging];
    let config = Cli::parse_from(arguments).config;
    let app = app::start(config, Clock::system(), lifecycle).unwrap();
    eventually("the gateway is attached", || app.messaging_client.attached() == 1).await;
    app
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(WAIT_TIMEOUT, wait).await.is_ok(), "timeout: {what}");
}

async fn subscribe(app: &App, room: i64, user: i64) {
    let new = Subscription {
        send_queue: app.hub.send_queue((room * USERS + user) as u64, None),
        user_id: UserId::new(user),
        room_id: RoomId::new(room),
        after_seq: None,
        reference: None,
        turn: Turn::AtOnce,
        permit: None,
    };
    assert_eq!(app.hub.subscribe(&new).await, Ok(()));
}

/// Sends a message and waits for the answer.
async fn send(app: &App) {
    let user_id = UserId::new(SENDER);
    let sender = Identity { user_id, username: "ann".to_owned(), token: Token::internal() };
    let permit = app.limits.user_share(user_id).try_begin().unwrap();
    let content = MessageContent::parse("hello".to_owned()).unwrap();
    let (room, client) = (RoomId::new(1), &app.messaging_client);
    let mut pending = client.submit(room, &sender, content, None, None, permit, Span::default());
    assert!(pending.answer().await.is_ok());
}

#[tokio::test]
async fn rooms_with_more_users_than_the_budget_move_while_messages_are_sent() {
    let (lifecycle, _) = Lifecycle::new(Duration::from_secs(1));
    let (replica, address) = Replica::start(&lifecycle).await;
    let app = gateway(address, &lifecycle).await;
    let permits = &app.hub.renewals.permits;
    permits.forget_permits(permits.available_permits() - BUDGET);
    let pairs = (1..=ROOMS).flat_map(|room| (0..USERS).map(move |user| (room, user)));
    join_all(pairs.map(|(room, user)| subscribe(&app, room, user))).await;
    assert_eq!(lock(&replica.subscribed).len(), PAIRS);

    replica.end_stream();
    let is_renewed = || lock(&replica.subscribed).len() == PAIRS;
    let mut sent_meanwhile = 0;
    let move_rooms = async {
        while !is_renewed() {
            send(&app).await;
            sent_meanwhile += 1;
        }
    };
    timeout(WAIT_TIMEOUT, move_rooms).await.unwrap();
    assert!(sent_meanwhile > 1);
    eventually("every renewal is answered", || permits.available_permits() == BUDGET).await;
    assert!(lock(&replica.subscribed).values().all(|&times| times == 1), "each user once");
    assert!((1..=BUDGET).contains(&lock(&replica.unanswered).1));
}
