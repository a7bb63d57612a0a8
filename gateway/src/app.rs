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

use crate::access::Access;
use crate::config::Config;
use crate::histories::Histories;
use crate::limits::Limits;
use crate::observe::RequestDurations;
use crate::sampling::Sampling;
use crate::users::Users;
use crate::ws::backlog::Backlog;
use crate::ws::hub::{Delays, Hub};
use crate::ws::upstream::Upstream;

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
    pub(crate) access: Access,
    /// The cached look-up of users.
    pub(crate) users: Users,
    /// The auth service, with the deadline of calls that hash a password.
    pub(crate) passwords: AuthServiceClient<Client>,
    pub(crate) contacts: ContactsServiceClient<Client>,
    pub(crate) rooms: RoomsServiceClient<Client>,
    pub(crate) messaging: MessagingServiceClient<Client>,
    /// Pages of messages.
    pub(crate) histories: Histories,
    /// The streams to messaging, which store messages.
    pub(crate) upstream: Upstream,
    /// Who is subscribed to what.
    pub(crate) hub: Hub,
    /// What one client may take.
    pub(crate) limits: Limits,
    pub(crate) durations: RequestDurations,
    /// Which traces are recorded.
    pub(crate) sampling: Sampling,
}

impl App {
    /// Sets up the clients, which connect when first used, and the tasks behind [`Access`] and
    /// [`Users`].
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

        let upstream = Upstream::new(messaging.clone());
        let messaging =
            MessagingServiceClient::new(messaging).max_decoding_message_size(MAX_ANSWER);
        let passwords = AuthServiceClient::new(auth.with_deadline(config.password_deadline));
        let auth = AuthServiceClient::new(auth).max_decoding_message_size(MAX_ANSWER);
        let access = Access::start(auth.clone(), &config, clock.clone(), lifecycle);
        let users = Users::start(auth, &access, lifecycle);
        let backlog = Backlog::new(&config.limits);
        let hub = Hub::start(
            upstream.clone(),
            messaging.clone(),
            users.clone(),
            &access,
            backlog,
            Delays::new(clock.clone()),
            lifecycle,
        );
        Ok(Self(Arc::new(Parts {
            clock,
            lifecycle: lifecycle.clone(),
            access,
            users,
            passwords,
            contacts: ContactsServiceClient::new(contacts).max_decoding_message_size(MAX_ANSWER),
            rooms: RoomsServiceClient::new(rooms).max_decoding_message_size(MAX_ANSWER),
            histories: Histories::start(messaging.clone(), config.upstream_deadline, lifecycle),
            messaging,
            upstream,
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
