//! The dependencies of all requests, built once.

use std::sync::Arc;

use opentelemetry::metrics::Histogram;
use parlance_core::Clock;
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::contacts::contacts_service_client::ContactsServiceClient;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};

use crate::auth::verifier::TokenVerifier;
use crate::cache::newest_pages::NewestPages;
use crate::cache::users::UserCache;
use crate::config::Config;
use crate::fanout::Hub;
use crate::http::observation::request_durations;
use crate::http::sampling::Sampling;
use crate::limits::{ClientLimits, InputLimits, TcpLimits};
use crate::messaging_client::MessagingClient;
use crate::ws::send_budget::SendBudget;

/// The largest response of a service, in bytes. One response holds all rooms of a user with their
/// members.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// The dependencies of endpoints and sockets. Cheap to clone.
pub(crate) type App = Arc<Parts>;

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) token_verifier: TokenVerifier,
    pub(crate) users: UserCache,
    pub(crate) auth: AuthServiceClient<Client>,
    /// The auth service, with the deadline for calls that hash a password.
    pub(crate) passwords: AuthServiceClient<Client>,
    pub(crate) contacts: ContactsServiceClient<Client>,
    pub(crate) rooms: RoomsServiceClient<Client>,
    pub(crate) messaging: MessagingServiceClient<Client>,
    pub(crate) newest_pages: NewestPages,
    /// The streams to messaging.
    pub(crate) messaging_client: MessagingClient,
    /// The subscriptions of this gateway.
    pub(crate) hub: Hub,
    pub(crate) limits: ClientLimits,
    pub(crate) tcp_limits: TcpLimits,
    pub(crate) input_limits: InputLimits,
    pub(crate) durations: Histogram<f64>,
    pub(crate) sampling: Sampling,
}

/// Makes the clients, which connect when first used, and starts the background tasks.
pub(crate) fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<App> {
    let credential = Credential::start(&config.credential, lifecycle)?;
    let client = |service, addresses: &str| {
        let (addresses, credential) = (addresses.to_owned(), credential.clone());
        let deadline = config.upstream_deadline;
        Client::start(ClientConfig { service, addresses, credential, deadline }, lifecycle)
    };
    let auth = client("auth", &config.auth_addresses)?;
    let contacts = client("contacts", &config.contacts_addresses)?;
    let rooms = client("rooms", &config.rooms_addresses)?;
    let messaging = client("messaging", &config.messaging_addresses)?;

    let messaging_client = MessagingClient::new(messaging.clone());
    let messaging =
        MessagingServiceClient::new(messaging).max_decoding_message_size(MAX_RESPONSE_BYTES);
    let passwords = AuthServiceClient::new(auth.with_deadline(config.password_deadline));
    let auth = AuthServiceClient::new(auth).max_decoding_message_size(MAX_RESPONSE_BYTES);
    let token_verifier = TokenVerifier::start(auth.clone(), &config, clock.clone(), lifecycle);
    let users = UserCache::start(auth.clone(), &token_verifier, lifecycle);
    let send_budget = SendBudget::new(&config.limits);
    let hub = Hub::new(
        messaging_client.clone(),
        messaging.clone(),
        users.clone(),
        send_budget,
        clock.clone(),
        lifecycle,
    );
    hub.run(&token_verifier, lifecycle);
    Ok(Arc::new(Parts {
        clock,
        lifecycle: lifecycle.clone(),
        token_verifier,
        users,
        auth,
        passwords,
        contacts: ContactsServiceClient::new(contacts)
            .max_decoding_message_size(MAX_RESPONSE_BYTES),
        rooms: RoomsServiceClient::new(rooms).max_decoding_message_size(MAX_RESPONSE_BYTES),
        newest_pages: NewestPages::start(messaging.clone(), config.upstream_deadline, lifecycle),
        messaging,
        messaging_client,
        hub,
        limits: ClientLimits::new(&config.limits),
        input_limits: InputLimits::default(),
        tcp_limits: TcpLimits::new(&config.tcp, config.limits.trusted_proxies.clone()),
        durations: request_durations(),
        sampling: Sampling::new(config.otel_traces_sampler_arg),
        config,
    }))
}
