//! The public REST API as people use it who do not give up: at any gateway, until the outcome is
//! known.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;

const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
const PASSWORD: &str = "securepass123";

/// All gateways.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    bases: Vec<String>,
    /// Where the gateways take sockets.
    sockets: Vec<String>,
    /// How the names of all people begin.
    prefix: String,
    next: AtomicUsize,
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl Api {
    /// The gateways at these addresses.
    pub(crate) fn at(gateways: &[SocketAddr]) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(REQUEST_DEADLINE).build()?;
        let bases: Vec<String> =
            gateways.iter().map(|gateway| format!("http://{gateway}")).collect();
        let socket = |base: &String| format!("{}/v1/messages/ws", base.replacen("http", "ws", 1));
        let sockets = bases.iter().map(socket).collect();
        Ok(Self { client, bases, sockets, prefix: "person".to_owned(), next: AtomicUsize::new(0) })
    }

    /// The same for people whose names begin with this.
    pub(crate) fn for_people_named(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// The same for other people, whose names begin with this, and whose sockets go to these
    /// addresses.
    #[cfg(test)]
    pub(crate) fn for_others(self, prefix: &str, sockets: Vec<String>) -> Self {
        Self { sockets, ..self.for_people_named(prefix) }
    }

    /// Where the gateways take sockets.
    pub(crate) fn socket_urls(&self) -> Vec<String> {
        self.sockets.clone()
    }

    /// Asks until there is an answer that is neither 5xx nor 429: its status and body.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let begin = Instant::now();
        loop {
            let base = &self.bases[self.next.fetch_add(1, Ordering::Relaxed) % self.bases.len()];
            let mut request = self.client.request(method.clone(), format!("{base}{path}"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            let last = match request.send().await {
                Ok(answer) if answer.status().as_u16() < 500 && answer.status().as_u16() != 429 => {
                    let status = answer.status().as_u16();
                    if let Ok(text) = answer.text().await {
                        let body = if text.is_empty() {
                            Value::Null
                        } else {
                            serde_json::from_str(&text)?
                        };
                        return Ok((status, body));
                    }
                    "the answer broke off".to_owned()
                }
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            ensure!(begin.elapsed() < DEADLINE, "{method} {path} did not succeed in time: {last}");
            sleep(PAUSE).await;
        }
    }

    /// Reads something that must be there.
    pub(crate) async fn get(&self, person: &Person, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.ask(Method::GET, path, Some(&person.token), None).await?;
        ensure!(status == 200, "GET {path}: {status} {body}");
        Ok(body)
    }

    /// Makes an account. The names are unique in a fresh stack.
    pub(crate) async fn register(&self, number: usize) -> anyhow::Result<Person> {
        let name = format!("{}{number}", self.prefix);
        let credentials = json!({"username": name, "password": PASSWORD});
        let (status, user) =
            self.ask(Method::POST, "/v1/auth/register", None, Some(credentials.clone())).await?;
        ensure!(status == 201, "register {name}: {status} {user}");
        let (status, login) =
            self.ask(Method::POST, "/v1/auth/login", None, Some(credentials)).await?;
        ensure!(status == 200, "login {name}: {status} {login}");
        let id = user["id"].as_i64().context("a user has an id")?;
        let token = login["access_token"].as_str().context("a login has a token")?.to_owned();
        Ok(Person { id, name, token })
    }

    /// Makes a room of contacts of its owner; its id.
    pub(crate) async fn make_room(
        &self,
        owner: &Person,
        members: &[&Person],
    ) -> anyhow::Result<i64> {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let body = json!({"name": "Room", "member_usernames": names});
        let (status, room) =
            self.ask(Method::POST, "/v1/rooms", Some(&owner.token), Some(body)).await?;
        ensure!(status == 201 && room["skipped"] == json!([]), "make a room: {status} {room}");
        room["id"].as_i64().context("a room has an id")
    }

    /// Makes two people contacts, whatever fails on the way.
    pub(crate) async fn befriend(&self, one: &Person, other: &Person) -> anyhow::Result<()> {
        let body = json!({"username": other.name});
        let (status, answer) =
            self.ask(Method::POST, "/v1/contacts/invite", Some(&one.token), Some(body)).await?;
        if answer["code"] == "already_contacts" {
            return Ok(());
        }
        // An answer that was lost makes the next try a repetition.
        ensure!(status == 200 || answer["code"] == "already_invited", "invite: {status} {answer}");
        let contacts = self.get(other, "/v1/contacts").await?;
        let invitations =
            contacts["received_invitations"].as_array().context("a list of invitations")?;
        let Some(invitation) = invitations.iter().find(|it| it["from_user"]["id"] == one.id) else {
            // The other one may have invited back at the same time.
            let list = contacts["contacts"].as_array().context("a list of contacts")?;
            if list.iter().any(|contact| contact["other_user"]["id"] == one.id) {
                return Ok(());
            }
            bail!("{} does not see the invitation of {}", other.name, one.name);
        };
        let path = format!("/v1/contacts/{}/accept", invitation["id"]);
        let (status, answer) = self.ask(Method::POST, &path, Some(&other.token), None).await?;
        ensure!(
            status == 200 || answer["code"] == "invitation_not_found",
            "accept: {status} {answer}"
        );
        Ok(())
    }

    /// Ends a membership, whatever fails on the way.
    pub(crate) async fn remove(
        &self,
        owner: &Person,
        room: i64,
        member: &Person,
    ) -> anyhow::Result<()> {
        let path = format!("/v1/rooms/{room}/members/{}", member.name);
        let (status, answer) = self.ask(Method::DELETE, &path, Some(&owner.token), None).await?;
        ensure!(status == 204 || answer["code"] == "not_a_member", "remove: {status} {answer}");
        Ok(())
    }
}
