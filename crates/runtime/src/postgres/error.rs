//! What the errors of statements mean.

use parlance_core::ErrorCode;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// The SQLSTATE of a statement that a read-only server refuses.
const READ_ONLY: &str = "25006";
/// The SQLSTATE `feature_not_supported`, and the function of Postgres that reports it when a table
/// has changed under a prepared statement.
const CHANGED_PLAN: (&str, &str) = ("0A000", "RevalidateCachedQuery");

/// Returns the error code of a failed statement: Postgres is away or overloaded, or the statement
/// is wrong.
pub fn code_from_error(error: &sqlx::Error) -> ErrorCode {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => ErrorCode::Unavailable,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // Connection exceptions, insufficient resources, operator intervention (shutdown,
            // statement timeout), system errors, and transactions that may be tried again;
            // read-only and authorisation errors come with a fail-over.
            Some(code)
                if ["08", "53", "57", "58", "40", "25", "28"]
                    .contains(&code.get(..2).unwrap_or("")) =>
            {
                ErrorCode::Unavailable
            }
            Some("55P03") => ErrorCode::Unavailable,
            _ if is_changed_plan(error.as_ref()) => ErrorCode::Unavailable,
            _ => ErrorCode::Internal,
        },
        _ => ErrorCode::Internal,
    }
}

/// Returns true if a statement waited too long for a lock (`lock_not_available`).
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03")
}

/// Returns true if the connection is of no more use, and neither are older ones: they lead to a
/// server that has become read-only, or have prepared statements for a table that has changed
/// since.
pub(super) fn is_outdated_connection(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some(READ_ONLY) || is_changed_plan(error))
}

fn is_changed_plan(error: &dyn DatabaseError) -> bool {
    let (code, routine) = CHANGED_PLAN;
    let reported_by = error.try_downcast_ref::<PgDatabaseError>().and_then(|error| error.routine());
    error.code().as_deref() == Some(code) && reported_by == Some(routine)
}
