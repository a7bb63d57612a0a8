//! Looking users up by name.

use std::collections::HashMap;

use parlance_core::Username;

use super::lookup_limit::check_lookup_size;
use crate::app::App;
use crate::error::Error;
use crate::model::{FoundUser, User};
use crate::store::users;

/// Returns the users with these names, in the order of the request. Leaves out names that are
/// unknown or break the rules for names.
pub(crate) async fn find_users(app: &App, usernames: Vec<String>) -> Result<Vec<FoundUser>, Error> {
    check_lookup_size(usernames.len())?;
    let (requested, folded): (Vec<String>, Vec<String>) =
        usernames.into_iter().filter_map(fold).unzip();
    if folded.is_empty() {
        return Ok(Vec::new());
    }
    let rows = users::list_by_folded_usernames(&mut *app.pool.acquire().await?, &folded).await?;
    let users: HashMap<String, User> = rows.into_iter().collect();

    let found = requested.into_iter().zip(&folded).filter_map(|(requested_username, folded)| {
        Some(FoundUser { requested_username, user: users.get(folded)?.clone() })
    });
    Ok(found.collect())
}

/// Returns the name with its folded form, or `None` if it breaks the rules for names.
fn fold(requested: String) -> Option<(String, String)> {
    let folded = Username::parse(requested.clone()).ok()?.folded();
    Some((requested, folded))
}
