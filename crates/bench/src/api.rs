//! The public REST API as far as people and rooms have to be made before anything is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_devstack::Stack;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::wire::Door;

const DEADLINE: Duration = Duration::from_secs(30);
/// Of everybody.
pub(crate) const PASSWORD: &str = "securepass123";
/// Addresses that registrations come from: a single one may not make so many.
const SOURCES: u8 = 16;
const SOCKETS: &str = "/v1/messages/ws";

/// All gateways of a stack.
#[derive(Debug)]
pub(crate) struct Api {
    clients: Vec<Client>,
    gateways: Vec<SocketAddr>,
    /// Requests at once.
    at_once: usize,
    next_client: AtomicUsize,
    next_person: AtomicUsize,
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) token: String,
}

/// A room with people in it.
#[derive(Clone, Debug)]
pub(crate) struct Circle {
    pub(crate) room: i64,
    /// The owner first.
    pub(crate) members: Vec<Person>,
}

impl Api {
    pub(crate) fn of(stack: &Stack, gateways: usize, at_once: usize) -> anyhow::Result<Self> {
        let client = |source| {
            Client::builder().local_address(Some(loopback(source).into())).timeout(DEADLINE).build()
        };
        let address = |index| stack.gateway_url(index).trim_start_matches("http://").parse();
        Ok(Self {
            clients: (0..SOURCES).map(client).collect::<Result<_, _>>()?,
            gateways: (0..gateways).map(address).collect::<Result<_, _>>()?,
            at_once,
            next_client: AtomicUsize::new(0),
            next_person: AtomicUsize::new(0),
        })
    }

    /// Where the gateways take sockets; the sockets with these numbers go to all of them in turn.
    pub(crate) fn door(&self, number: usize) -> Door {
        Door { address: self.gateways[number % self.gateways.len()], path: SOCKETS }
    }

    pub(crate) fn gateways(&self) -> &[SocketAddr] {
        &self.gateways
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let number = self.next_client.fetch_add(1, Ordering::Relaxed);
        let gateway = self.gateways[number % self.gateways.len()];
        let client = &self.clients[number % self.clients.len()];
        let mut request = client.request(method.clone(), format!("http://{gateway}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    async fn register(&self) -> anyhow::Result<Person> {
        let name = format!("person{}", self.next_person.fetch_add(1, Ordering::Relaxed));
        let credentials = json!({"username": name, "password": PASSWORD});
        let (status, user) =
            self.ask(Method::POST, "/v1/auth/register", None, Some(credentials.clone())).await?;
        ensure!(status == 201, "register {name}: {status} {user}");
        let (status, login) =
            self.ask(Method::POST, "/v1/auth/login", None, Some(credentials)).await?;
        ensure!(status == 200, "login {name}: {status} {login}");
        let token = login["access_token"].as_str().context("a login has a token")?.to_owned();
        Ok(Person { name, token })
    }

    /// Makes accounts.
    pub(crate) async fn people(&self, count: usize) -> anyhow::Result<Vec<Person>> {
        let registering = stream::iter(0..count).map(|_| self.register());
        registering.buffered(self.at_once).try_collect().await.context("cannot make people")
    }

    /// Makes one of them a contact of all others.
    pub(crate) async fn befriend(&self, one: &Person, others: &[Person]) -> anyhow::Result<()> {
        let meeting = stream::iter(others).map(|other| self.befriend_two(one, other));
        meeting.buffer_unordered(self.at_once).try_collect().await.context("cannot make contacts")
    }

    async fn befriend_two(&self, one: &Person, other: &Person) -> anyhow::Result<()> {
        let body = json!({"username": other.name});
        let (status, invitation) =
            self.ask(Method::POST, "/v1/contacts/invite", Some(&one.token), Some(body)).await?;
        ensure!(status == 200, "invite: {status} {invitation}");
        let path = format!("/v1/contacts/{}/accept", invitation["id"]);
        let (status, contact) = self.ask(Method::POST, &path, Some(&other.token), None).await?;
        ensure!(status == 200, "accept: {status} {contact}");
        Ok(())
    }

    /// Makes rooms of people who know their owner, the first one.
    pub(crate) async fn rooms(&self, members: &[Person], count: usize) -> anyhow::Result<Vec<i64>> {
        let making = stream::iter(0..count).map(|_| self.room(members));
        making.buffered(self.at_once).try_collect().await.context("cannot make rooms")
    }

    async fn room(&self, members: &[Person]) -> anyhow::Result<i64> {
        let (owner, others) = members.split_first().context("a room has an owner")?;
        let names: Vec<&str> = others.iter().map(|member| member.name.as_str()).collect();
        let body = json!({"name": "Room", "member_usernames": names});
        let (status, room) =
            self.ask(Method::POST, "/v1/rooms", Some(&owner.token), Some(body)).await?;
        ensure!(status == 201 && room["skipped"] == json!([]), "make a room: {status} {room}");
        room["id"].as_i64().context("a room has an id")
    }

    /// Makes a room and everybody in it.
    pub(crate) async fn circle(&self, size: usize) -> anyhow::Result<Circle> {
        let members = self.people(size).await?;
        self.befriend(&members[0], &members[1..]).await?;
        let room = self.room(&members).await?;
        Ok(Circle { room, members })
    }
}

/// One of this machine's own addresses.
pub(crate) fn loopback(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 1 + number % 250)
}
