//! Who is behind a request.

use std::net::IpAddr;

use parlance_proto::auth::ClientInfo;

use crate::client_network::ClientNetwork;

/// Characters of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 512;

/// The client of a gateway. Its request id is not here: every log line of a request has it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Whose requests are counted together with this one.
    pub(crate) network: ClientNetwork,
    /// `None` if the gateway sent none that can be read.
    pub(crate) address: Option<IpAddr>,
    /// At most 512 characters, none of them a control character.
    pub(crate) user_agent: Option<String>,
}

impl From<Option<ClientInfo>> for Client {
    fn from(info: Option<ClientInfo>) -> Self {
        let ClientInfo { address, user_agent, .. } = info.unwrap_or_default();
        let kept = |text: String| {
            text.chars().filter(|letter| !letter.is_control()).take(MAX_USER_AGENT).collect()
        };
        Self {
            network: ClientNetwork::from_address(&address),
            address: address.parse().ok().map(|address: IpAddr| address.to_canonical()),
            user_agent: user_agent.map(kept),
        }
    }
}

#[cfg(test)]
#[path = "tests/client.rs"]
mod tests;
