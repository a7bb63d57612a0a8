//! Everything a request may need, built once.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

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
use crate::http::middleware::RequestDurations;
use crate::http::sampling::Sampling;
use crate::limits::Limits;
use crate::messaging_client::MessagingClient;
use crate::ws::send_budget::SendBudget;

/// The largest answer of a service, in bytes: a user's rooms with all their members come in one.
const MAX_ANSWER: usize = 64 << 20;

/// What handlers and sockets work with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Parts>);

/// The parts of an [`App`].
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    /// Which tokens are accepted.
    pub(crate) access: TokenVerifier,
    /// The cached look-up of users.
    pub(crate) users: UserCache,
    /// The auth service, with the deadline of calls that hash a password.
    pub(crate) passwords: AuthServiceClient<Client>,
    pub(crate) contacts: ContactsServiceClient<Client>,
    pub(crate) rooms: RoomsServiceClient<Client>,
    pub(crate) messaging: MessagingServiceClient<Client>,
    /// Pages of messages.
    pub(crate) histories: NewestPages,
    /// The streams to messaging, which store messages.
    pub(crate) messaging_client: MessagingClient,
    /// Who is subscribed to what.
    pub(crate) hub: Hub,
    /// What one client may take.
    pub(crate) limits: Limits,
    pub(crate) durations: RequestDurations,
    /// Which traces are recorded.
    pub(crate) sampling: Sampling,
}

impl App {
    /// Sets up the clients, which connect when first used, and the tasks behind [`TokenVerifier`] and
    /// [`UserCache`].
    pub(crate) fn start(
        config: Config,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let credential = Credential::start(&config.credential, lifecycle)?;
        let client = |service, addresses: &str, deadline: Duration| {
            let (addresses, credential) = (addresses.to_owned(), credential.clone());
            Client::start(ClientConfig { service, addresses, credential, deadline }, lifecycle)
        };
        let auth = client("auth", &config.auth_addresses, config.upstream_deadline)?;
        let contacts = client("contacts", &config.contacts_addresses, config.upstream_deadline)?;
        let rooms = client("rooms", &config.rooms_addresses, config.upstream_deadline)?;
        let messaging = client("messaging", &config.messaging_addresses, config.upstream_deadline)?;

        let messaging_client = MessagingClient::new(messaging.clone());
        let messaging =
            MessagingServiceClient::new(messaging).max_decoding_message_size(MAX_ANSWER);
        let passwords = AuthServiceClient::new(auth.with_deadline(config.password_deadline));
        let auth = AuthServiceClient::new(auth).max_decoding_message_size(MAX_ANSWER);
        let access = TokenVerifier::start(auth.clone(), &config, clock.clone(), lifecycle);
        let users = UserCache::start(auth, &access, lifecycle);
        let send_budget = SendBudget::new(&config.limits);
        let hub = Hub::new(
            messaging_client.clone(),
            messaging.clone(),
            users.clone(),
            send_budget,
            clock.clone(),
            lifecycle,
        );
        hub.run(&access, lifecycle);
        Ok(Self(Arc::new(Parts {
            clock,
            lifecycle: lifecycle.clone(),
            access,
            users,
            passwords,
            contacts: ContactsServiceClient::new(contacts).max_decoding_message_size(MAX_ANSWER),
            rooms: RoomsServiceClient::new(rooms).max_decoding_message_size(MAX_ANSWER),
            histories: NewestPages::start(messaging.clone(), config.upstream_deadline, lifecycle),
            messaging,
            messaging_client,
            hub,
            limits: Limits::new(&config.limits),
            durations: RequestDurations::new(),
            sampling: Sampling::new(config.otel_traces_sampler_arg),
            config,
        })))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
