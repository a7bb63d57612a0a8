//! The number that grows, by triggers, whenever keys or inactive users change.

use sqlx::PgConnection;

/// The present number.
pub(crate) async fn get(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("SELECT revision FROM auth.access_revision").fetch_one(conn).await
}
