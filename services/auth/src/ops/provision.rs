//! Making the account of a person for whom a trusted issuer vouches.

use std::iter;

use aws_lc_rs::rand;
use parlance_core::Username;

use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::issuers::Identity;
use crate::model::NewUser;
use crate::store::identities;

/// Random numbers that are tried behind a name that is taken, for each count of digits.
const RANDOM_TRIES: usize = 3;

/// Makes the account, without a password, unless a request at the same time was faster. Its name is
/// the given one, or else one that is made from the identity.
pub(super) async fn provision(
    app: &App,
    identity: &Identity,
    username: Option<&Username>,
    client: &Client,
) -> Result<(), Error> {
    if !identity.issuer.config.provision {
        return Err(Error::RegistrationClosed);
    }
    if let Some(username) = username {
        return match add(app, identity, username, client).await? {
            true => Ok(()),
            false => Err(Error::UsernameTaken),
        };
    }
    let claimed = identity.username.as_deref().and_then(Username::fit);
    let claimed = claimed.ok_or(Error::UsernameNeeded)?;
    for name in candidates(&claimed) {
        if add(app, identity, &name?, client).await? {
            return Ok(());
        }
    }
    Err(Error::UsernameNeeded)
}

/// False if somebody else has the name. True also if the person has an account by now.
async fn add(
    app: &App,
    identity: &Identity,
    username: &Username,
    client: &Client,
) -> Result<bool, Error> {
    let new_user = NewUser {
        username: username.as_str(),
        folded_username: &username.folded(),
        password_hash: None,
        created_at: app.clock.now(),
    };
    let mut conn = app.pool.acquire().await?;
    let added = identities::add_account(&mut conn, identity, &new_user, client.network).await;
    match added {
        Ok(Some(user_id)) => {
            let issuer = &identity.issuer.config.name;
            audit::record_exchange("registered", issuer, None, Some(user_id), None, client);
            Ok(true)
        }
        // The name may be that of the same person, whose account was made a moment ago.
        Ok(None) => Ok(identities::find(&mut conn, identity).await?.is_some()),
        Err(error) if is_of_identity(&error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn is_of_identity(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    constraint == Some(identities::IDENTITY_KEY)
}

/// Returns the name, and then the name with digits behind it: small numbers, and random ones that
/// are free even if thousands have the same name.
fn candidates(name: &Username) -> impl Iterator<Item = Result<Username, Error>> {
    let small = (2..=9).map(Ok);
    let random = [10_000, 100_000_000]
        .into_iter()
        .flat_map(|range| iter::repeat_with(move || random_below(range)).take(RANDOM_TRIES));
    let with_number = |number: Result<u32, Error>| Ok(name.with_number(number?));
    iter::once(Ok(name.clone())).chain(small.chain(random).map(with_number))
}

fn random_below(range: u32) -> Result<u32, Error> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(u32::from_ne_bytes(bytes) % range)
}
