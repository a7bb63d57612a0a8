//! Users, contacts and rooms that a test or a measurement needs before it begins.
//!
//! Every step is repeated until the gateway has answered it, so that it also works while parts of
//! Parlance restart. A step whose response was lost is recognised when it is repeated.

use serde_json::{Value, json};

use crate::{Client, Error, Response, endpoints};

/// The password of every account that is created here.
pub const PASSWORD: &str = "securepass123";

/// A registered user with an access token.
#[derive(Clone, Debug)]
pub struct Account {
    /// The id of the user.
    pub user_id: i64,
    /// The name of the user.
    pub username: String,
    /// The access token.
    pub token: String,
}

impl Client {
    /// Registers a user with the password [`PASSWORD`] and logs in.
    pub async fn create_account(&self, username: &str) -> Result<Account, Error> {
        let registered = self.send_until_answered(endpoints::register(username, PASSWORD)).await?;
        expect_or_repeated(&registered, 201, "username_taken")?;
        let login = self.send_until_answered(endpoints::login(username, PASSWORD)).await?;
        let login = login.expect(200)?;
        let Some(token) = login["access_token"].as_str() else { return Err(incomplete(&login)) };
        let user = match registered.status.as_u16() {
            201 => registered.json()?,
            _ => self.send_until_answered(endpoints::me(token)).await?.expect(200)?,
        };
        let (username, token) = (username.to_owned(), token.to_owned());
        Ok(Account { user_id: id(&user)?, username, token })
    }

    /// Makes two users contacts: one invites, the other accepts. Succeeds if they are contacts
    /// already, also if the other user invites at the same time.
    pub async fn make_contacts(&self, one: &Account, other: &Account) -> Result<(), Error> {
        let invite = endpoints::invite(&one.token, &other.username);
        let invited = self.send_until_answered(invite).await?;
        if invited.has_code("already_contacts") {
            return Ok(());
        }
        expect_or_repeated(&invited, 200, "already_invited")?;
        let contacts = self.send_until_answered(endpoints::contacts(&other.token)).await?;
        let contacts = contacts.expect(200)?;
        let mut received = contacts["received_invitations"].as_array().into_iter().flatten();
        let Some(invitation) = received.find(|it| it["from_user"]["id"] == one.user_id) else {
            // Two users who invite each other at the same time are contacts without accepting.
            return Ok(());
        };
        let accept = endpoints::accept(&other.token, id(invitation)?);
        let accepted = self.send_until_answered(accept).await?;
        expect_or_repeated(&accepted, 200, "invitation_not_found")
    }

    /// Creates a room whose members are the owner and contacts of the owner. Returns its id.
    pub async fn create_room(&self, owner: &Account, members: &[&Account]) -> Result<i64, Error> {
        let names: Vec<&str> = members.iter().map(|member| member.username.as_str()).collect();
        let create = endpoints::create_room(&owner.token, "Room", &names);
        let room = self.send_until_answered(create).await?.expect(201)?;
        if room["skipped"] != json!([]) {
            return Err(incomplete(&room));
        }
        id(&room)
    }
}

/// Accepts a status, or the error code that the repetition of a successful call has.
fn expect_or_repeated(response: &Response, status: u16, code: &str) -> Result<(), Error> {
    if response.has_code(code) { Ok(()) } else { response.expect(status).map(drop) }
}

fn id(object: &Value) -> Result<i64, Error> {
    object["id"].as_i64().ok_or_else(|| incomplete(object))
}

fn incomplete(object: &Value) -> Error {
    Error::Content(object.to_string())
}
