//! Looking users up, by id and by name.

use parlance_core::ErrorCode;
use parlance_proto::auth::{FindUsersRequest, FoundUser, GetUsersRequest, User};
use tonic::Status;

use crate::app::{Auth, refusal};
use crate::statements;

async fn get(auth: &Auth, user_ids: Vec<i64>) -> Result<Vec<User>, Status> {
    Ok(auth.grpc().get_users(GetUsersRequest { user_ids }).await?.into_inner().users)
}

async fn find(auth: &Auth, usernames: &[&str]) -> Result<Vec<FoundUser>, Status> {
    let usernames = usernames.iter().map(|&name| name.to_owned()).collect();
    Ok(auth.grpc().find_users(FindUsersRequest { usernames }).await?.into_inner().found)
}

#[tokio::test]
async fn ids_are_found_once_and_unknown_ids_are_left_out() {
    let auth = Auth::start().await;
    let (anna, berta) = (auth.register("anna").await, auth.register("berta").await);
    let ids = vec![berta.id, 999_999, anna.id, 0, -1, i64::MAX, berta.id];
    let mut users = get(&auth, ids).await.unwrap();
    users.sort_by_key(|user| user.id);
    assert_eq!(users, [anna, berta]);
    assert_eq!(get(&auth, vec![]).await.unwrap(), []);
}

#[tokio::test]
async fn names_are_found_in_the_order_of_the_request() {
    let auth = Auth::start().await;
    let (anna, berta) = (auth.register("Anna").await, auth.register("Berta").await);
    let found = find(&auth, &["BERTA", "nobody", "an na", "", "anna", "berta"]).await.unwrap();
    let expected = [("BERTA", &berta), ("anna", &anna), ("berta", &berta)].map(|(name, user)| {
        FoundUser { requested_username: name.to_owned(), user: Some(user.clone()) }
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn inactive_users_are_found_and_marked_inactive() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    auth.execute("UPDATE auth.users SET is_active = FALSE").await;
    assert!(!get(&auth, vec![anna.id]).await.unwrap()[0].is_active);
    let found = find(&auth, &["anna"]).await.unwrap();
    assert!(found.iter().all(|found| found.user.as_ref().is_some_and(|user| !user.is_active)));
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn look_ups_of_more_than_ten_thousand_users_are_refused() {
    let auth = Auth::start().await;
    assert_eq!(get(&auth, vec![1; 10_000]).await.unwrap(), []);
    assert_eq!(refusal(get(&auth, vec![1; 10_001]).await), ErrorCode::Validation);
    assert_eq!(find(&auth, &["anna"; 10_000]).await.unwrap(), []);
    assert_eq!(refusal(find(&auth, &["anna"; 10_001]).await), ErrorCode::Validation);
}

#[tokio::test]
async fn a_look_up_of_many_users_takes_one_statement() {
    let auth = Auth::start().await;
    let mut ids = Vec::new();
    let names: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    for name in &names {
        ids.push(auth.register(name).await.id);
    }
    let (users, statements) = statements::count("look-up by id", get(&auth, ids)).await;
    assert_eq!((users.unwrap().len(), statements), (20, 1));

    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (found, statements) = statements::count("look-up by name", find(&auth, &names)).await;
    assert_eq!((found.unwrap().len(), statements), (20, 1));
}
