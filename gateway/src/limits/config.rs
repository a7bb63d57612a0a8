//! The settings of the limits.

use clap::Args;
use parlance_runtime::config::number;

use crate::limits::address::TrustedProxies;

/// What one client may use of a gateway.
#[derive(Args, Clone, Debug)]
pub struct LimitsConfig {
    /// The proxies in front of the gateway: comma-separated addresses or networks such as
    /// `10.0.0.0/8`. Only their `X-Forwarded-For` is trusted.
    ///
    /// Behind a load balancer, set its addresses. Else all clients count as one.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: TrustedProxies,
    /// The most authenticated connections of a user. One account can serve a whole installation of
    /// screens or sensors. An idle connection costs some kilobytes.
    #[arg(long, env = "MAX_CONNECTIONS_PER_USER", default_value = "10000", value_parser = count())]
    pub max_connections_per_user: u32,
    /// The most sockets from an address. An address may stand for an office, a university or a
    /// mobile network. An IPv6 network of 64 bits counts as one address, because a client can use
    /// all of it.
    #[arg(long, env = "MAX_SOCKETS_PER_ADDRESS", default_value = "20000", value_parser = count())]
    pub max_sockets_per_address: u32,
    /// The most unauthenticated sockets from an address. Each is closed after 10 seconds.
    #[arg(
        long, env = "MAX_UNAUTHENTICATED_SOCKETS_PER_ADDRESS",
        default_value = "1000", value_parser = count()
    )]
    pub max_unauthenticated_sockets_per_address: u32,
    /// The most rooms that a connection is subscribed to.
    #[arg(long, env = "MAX_ROOMS_PER_CONNECTION", default_value = "2000", value_parser = count())]
    pub max_rooms_per_connection: u32,
    /// The most subscriptions to rooms of all connections of a user together. Each costs some
    /// hundred bytes.
    #[arg(
        long, env = "MAX_SUBSCRIPTIONS_PER_USER", default_value = "50000", value_parser = count()
    )]
    pub max_subscriptions_per_user: u32,
    /// The most sends and `typing` frames of a user that are not answered yet, over all connections
    /// and calls. Further frames wait in their connections; a call is refused.
    ///
    /// The default lets a single user send as fast as the store takes messages.
    #[arg(long, env = "MAX_IN_FLIGHT_PER_USER", default_value = "1000", value_parser = in_flight())]
    pub max_in_flight_per_user: u32,
    /// The frames of a connection that are handled each second in the long run.
    ///
    /// Lower it to slow down clients that send too much.
    #[arg(long, env = "MAX_FRAMES_PER_SECOND", default_value = "5000", value_parser = rate())]
    pub max_frames_per_second: u32,
    /// The frames of a connection that are handled at any speed before the rate applies. The
    /// default admits several thousand messages that a program sends at once.
    #[arg(long, env = "FRAMES_BURST", default_value = "20000", value_parser = rate())]
    pub frames_burst: u32,
    /// The registrations, log-ins, exchanges, changes and resets of a password from an address that
    /// are handled each minute in the long run.
    ///
    /// Each but an exchange costs auth a password hash. Where clients do not share addresses, a
    /// lower value slows down attacks on passwords.
    #[arg(long, env = "LOG_INS_PER_MINUTE", default_value = "120", value_parser = rate())]
    pub log_ins_per_minute: u32,
    /// The same calls from an address that are handled at any speed before the rate applies. The
    /// default lets an office or a school log in at once.
    #[arg(long, env = "LOG_INS_BURST", default_value = "600", value_parser = rate())]
    pub log_ins_burst: u32,
    /// The most bytes in the send queue of a client. Beyond it, the connection is closed with code
    /// 4429.
    ///
    /// The default is a few bursts of the longest messages. Lower it to shed slow clients sooner;
    /// raise it, together with the memory, for clients on slow links.
    #[arg(long, env = "MAX_QUEUED_BYTES", default_value = "4194304", value_parser = bytes)]
    pub max_queued_bytes: usize,
    /// The most bytes in all send queues. Beyond it, the clients that are furthest behind are
    /// shed. A frame in several queues counts once.
    ///
    /// Raise it together with the memory limit of the gateway, of which it is the largest part.
    #[arg(long, env = "MAX_QUEUED_BYTES_TOTAL", default_value = "536870912", value_parser = bytes)]
    pub max_queued_bytes_total: usize,
}

/// The fewest bytes with which a client can catch up: a few of the longest frames.
const MIN_QUEUED_BYTES: usize = 1 << 20;

fn count() -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    number(1..=u32::MAX)
}

/// More would leave no place for other users: see `MAX_PENDING` in `messaging_client`.
fn in_flight() -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    number(1..=10_000)
}

fn rate() -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    number(1..=1_000_000)
}

fn bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if bytes >= MIN_QUEUED_BYTES => Ok(bytes),
        _ => Err(format!("must be a number of bytes, at least {MIN_QUEUED_BYTES}")),
    }
}
