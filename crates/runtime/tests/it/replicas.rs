//! Calls while a replica hangs or is away.

use std::net::SocketAddr;
use std::time::Duration;

use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{CheckMembershipsRequest, CreateRoomRequest};
use parlance_runtime::grpc::Client;
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{Server, free_address, with_token};

const TOKEN: &str = "a-token-for-tests-only";
const DEADLINE: Duration = Duration::from_secs(2);
/// What the server answers: it serves no rooms.
const ANSWERED: Code = Code::Unimplemented;

/// A replica that hangs: the system accepts connections, and no process reads from them.
async fn hung_replica() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn client_of(server: &Server, other: SocketAddr) -> Client {
    let names = format!("{},{other}", server.address);
    server.client_by_name(&names, &with_token(TOKEN)).await.with_deadline(DEADLINE)
}

/// Makes a call that may be repeated.
async fn check(client: &Client) -> Code {
    let mut rooms = RoomsServiceClient::new(client.clone());
    rooms.check_memberships(CheckMembershipsRequest::default()).await.unwrap_err().code()
}

/// Makes a call that may not be repeated.
async fn create(client: &Client) -> Code {
    let mut rooms = RoomsServiceClient::new(client.clone());
    rooms.create_room(CreateRoomRequest::default()).await.unwrap_err().code()
}

#[tokio::test]
async fn every_call_that_may_be_repeated_is_answered_while_a_replica_hangs() {
    let server = Server::start(&with_token(TOKEN)).await;
    let (_hung, address) = hung_replica().await;
    let client = client_of(&server, address).await;
    for _ in 0..20 {
        assert_eq!(check(&client).await, ANSWERED);
    }
    // Many at once, too: each waits for its own second attempt at most.
    let client = client_of(&server, address).await;
    let calls = (0..200).map(|_| check(&client));
    let codes = futures_util::future::join_all(calls).await;
    assert!(codes.iter().all(|&code| code == ANSWERED), "{codes:?}");
}

#[tokio::test]
async fn a_call_that_may_not_be_repeated_fails_once_and_the_next_ones_pass_the_hung_replica_over() {
    let server = Server::start(&with_token(TOKEN)).await;
    let (_hung, address) = hung_replica().await;
    let client = client_of(&server, address).await.with_deadline(Duration::from_millis(500));
    let mut failed = 0;
    // Of two calls, each replica gets one.
    for _ in 0..2 {
        failed += usize::from(create(&client).await == Code::Unavailable);
    }
    assert_eq!(failed, 1);
    for _ in 0..20 {
        assert_eq!(create(&client).await, ANSWERED);
    }
}

#[tokio::test]
async fn a_replica_that_cannot_be_reached_costs_no_call() {
    let server = Server::start(&with_token(TOKEN)).await;
    let client = client_of(&server, free_address()).await;
    for _ in 0..20 {
        assert_eq!(create(&client).await, ANSWERED);
    }
}

#[tokio::test]
async fn replicas_are_tried_even_if_all_are_ejected() {
    let elsewhere = Server::start(&with_token(TOKEN)).await;
    let (first, second) = (free_address(), free_address());
    let names = format!("{first},{second}");
    let client = elsewhere.client_by_name(&names, &with_token(TOKEN)).await;
    for _ in 0..20 {
        assert_eq!(create(&client).await, Code::Unavailable);
    }
    let _server = Server::start_at(second, &with_token(TOKEN)).await;
    for _ in 0..20 {
        assert_eq!(create(&client).await, ANSWERED);
    }
}
