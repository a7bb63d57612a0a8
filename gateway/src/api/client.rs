//! Who sends a request, as auth wants to know it.

use axum::extract::FromRequestParts;
use http::header::USER_AGENT;
use http::request::Parts;
use parlance_core::ErrorCode;
use parlance_proto::auth::ClientInfo;
use parlance_runtime::context::RequestContext;

use crate::app::App;
use crate::error::ApiError;
use crate::limits::ClientAddress;

/// The characters of `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 512;

/// The client of a request.
pub(super) struct Client {
    address: ClientAddress,
    user_agent: Option<String>,
}

impl Client {
    pub(super) fn address(&self) -> ClientAddress {
        self.address
    }

    /// Describes the client for auth.
    pub(super) fn info(self) -> ClientInfo {
        let context = RequestContext::current();
        ClientInfo {
            address: self.address.0.to_string(),
            user_agent: self.user_agent,
            request_id: context.map(|it| it.request_id.to_string()).unwrap_or_default(),
        }
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        // The server sets it for each request.
        let address = *parts.extensions.get::<ClientAddress>().ok_or(ErrorCode::Internal)?;
        let user_agent = parts.headers.get(USER_AGENT).map(|value| {
            String::from_utf8_lossy(value.as_bytes()).chars().take(MAX_USER_AGENT).collect()
        });
        Ok(Self { address, user_agent: user_agent.filter(|text: &String| !text.is_empty()) })
    }
}
