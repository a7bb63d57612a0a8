//! The table `auth.access_revision`: numbers that triggers increase whenever something changes that
//! decides whether a token is accepted.

use sqlx::PgConnection;

use crate::model::Revisions;

/// Returns the current revisions.
pub(crate) async fn get(conn: &mut PgConnection) -> sqlx::Result<Revisions> {
    sqlx::query_as!(
        Revisions,
        "SELECT
            revision AS access,
            ended_revision AS ended,
            session_generation,
            profile_revision AS profiles
        FROM auth.access_revision"
    )
    .fetch_one(conn)
    .await
}

/// Takes the lock of the row, which every change of keys takes, until the end of the transaction.
pub(crate) async fn lock(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT revision FROM auth.access_revision FOR NO KEY UPDATE")
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// Ends all sessions of all users.
pub(crate) async fn begin_session_generation(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("UPDATE auth.access_revision SET session_generation = session_generation + 1")
        .execute(conn)
        .await?;
    Ok(())
}
