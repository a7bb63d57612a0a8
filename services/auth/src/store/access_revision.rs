//! The table `auth.access_revision`: a number that triggers increase whenever keys or inactive
//! users change.

use sqlx::PgConnection;

/// Returns the current revision.
pub(crate) async fn get(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("SELECT revision FROM auth.access_revision").fetch_one(conn).await
}
