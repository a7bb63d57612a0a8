//! A pool of connections that waits for no server that has fallen silent.
//!
//! sqlx offers neither keepalive nor `TCP_USER_TIMEOUT`. When the host of Postgres vanishes without
//! a word, a statement waits until its caller gives up, and sqlx then waits for the connection
//! without a deadline before its place in the pool is free again. Here it waits for
//! [`RELEASE_TIMEOUT`] and closes the connection.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgTransactionManager;
use sqlx::{PgConnection, PgPool, Postgres};
use sqlx_core::transaction::TransactionManager;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a released connection may take to end what it was doing, such as a statement whose
/// caller has gone, or a rollback.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// A pool of connections to Postgres. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool(PgPool);

impl Pool {
    pub(super) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Returns a connection. Waits for one for at most a second.
    pub async fn acquire(&self) -> sqlx::Result<PooledConnection> {
        Ok(PooledConnection(self.0.acquire().await?))
    }

    /// Starts a transaction on a connection of its own.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        let mut connection = self.acquire().await?;
        PgTransactionManager::begin(&mut connection, None).await?;
        Ok(Transaction { connection, is_open: true })
    }

    /// Returns true if every connection is in use and no other may be made.
    pub fn is_exhausted(&self) -> bool {
        self.0.num_idle() == 0 && self.0.size() >= self.0.options().get_max_connections()
    }
}

/// A connection of a pool. It goes back to the pool when it is dropped, unless it does not answer:
/// then it is closed.
#[derive(Debug)]
pub struct PooledConnection(PoolConnection<Postgres>);

impl Deref for PooledConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        // The future owns the connection and its place in the pool. Dropping it closes the socket
        // at once and frees the place.
        let release = self.0.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async {
                if timeout(RELEASE_TIMEOUT, release).await.is_err() {
                    tracing::debug!("closed a connection to the database that did not answer");
                }
            });
        }
    }
}

/// A transaction on a connection of a pool. It is rolled back when it is dropped before its end.
#[derive(Debug)]
pub struct Transaction {
    connection: PooledConnection,
    is_open: bool,
}

impl Transaction {
    /// Commits the transaction.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        PgTransactionManager::commit(&mut self.connection).await?;
        self.is_open = false;
        Ok(())
    }

    /// Rolls the transaction back, and waits for it.
    pub async fn rollback(mut self) -> sqlx::Result<()> {
        PgTransactionManager::rollback(&mut self.connection).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open {
            // Sent when the connection goes back to the pool.
            PgTransactionManager::start_rollback(&mut self.connection);
        }
    }
}
