//! What a user shows of themselves.

use parlance_core::{AvatarUrl, DisplayName};
use parlance_proto::auth::{TextChange, UpdateProfileRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::User;
use crate::api::extract::{Caller, Valid};
use crate::api::request_body::request_body;
use crate::api::response::{Encoded, required};
use crate::app::App;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(update))
}

request_body! {
    /// Changes of what the caller shows. Null clears a text, an absent member keeps it.
    struct ProfileChanges {
        /// 1 to 64 characters, no control character, at least one visible one.
        #[schema(value_type = Option<String>, min_length = 1, max_length = 64, required = false)]
        display_name: Option<Option<DisplayName>> = text_change(DisplayName::parse),
        /// An absolute `https` URL with a host, without white space.
        #[schema(value_type = Option<String>, min_length = 1, max_length = 512, required = false)]
        avatar_url: Option<Option<AvatarUrl>> = text_change(AvatarUrl::parse),
    }
}

/// Changes what the caller shows of themselves.
#[utoipa::path(
    patch, path = "/v1/auth/me", tag = "auth", security(("bearer" = [])),
    request_body = ProfileChanges,
    responses((status = 200, description = "The account afterwards", body = User)),
)]
async fn update(caller: Caller, Valid(body): Valid<ProfileChanges>) -> Result<Encoded, ApiError> {
    let request = UpdateProfileRequest {
        user_id: caller.id(),
        display_name: change(body.display_name, DisplayName::as_str),
        avatar_url: change(body.avatar_url, AvatarUrl::as_str),
    };
    let answer = caller.app.auth.clone().update_profile(request).await?.into_inner();
    let user = User::from(required(answer.user)?);
    // The next request reads the user anew; this answer may be older than what is cached by then.
    caller.app.users.forget(user.id);
    Encoded::new(&user)
}

fn change<T>(change: Option<Option<T>>, as_str: fn(&T) -> &str) -> Option<TextChange> {
    let text = change?.map(|text| as_str(&text).to_owned());
    Some(TextChange { text })
}
