//! The OpenAPI document. Handlers describe themselves; what is true of all of them is added here.

use bytes::Bytes;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
};

use crate::error::{ErrorBody, FieldError, FieldErrors, SpanBuilder};
use crate::router;

/// The document without its paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Parlance",
        description = "Accounts, contacts, rooms, messages. Ids are positive 64-bit integers, times RFC 3339 in UTC. \
                       Live messages come over the WebSocket `/v1/messages/ws`.",
    ),
    tags(
        (name = "auth", description = "Accounts and tokens"),
        (name = "contacts", description = "Invitations and contacts"),
        (name = "rooms", description = "Rooms and their members"),
        (name = "messages", description = "Messages"),
        (name = "service", description = "The service itself"),
    ),
    components(schemas(ErrorBody, FieldErrors, FieldError, SpanBuilder)),
)]
struct Frame;

/// What all routes are added to.
pub(crate) fn frame() -> OpenApi {
    Frame::openapi()
}

/// The whole document as JSON.
pub(crate) fn document() -> Bytes {
    let mut document = router::routes().into_openapi();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for (name, _, response) in shared_responses() {
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        complete(operation);
    }
    // A document of strings, numbers and lists can always be written.
    serde_json::to_vec(&document).map(Bytes::from).unwrap_or_default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, patch, delete, .. } = item;
    [get, post, patch, delete].into_iter().flatten()
}

/// Makes the name of the operation unique, and adds the refusals that every operation of its kind
/// can answer with.
fn complete(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    operation.operation_id =
        tag.zip(operation.operation_id.as_ref()).map(|(tag, name)| format!("{tag}_{name}"));
    let is_secured = operation.security.as_ref().is_some_and(|schemes| {
        serde_json::to_value(schemes).is_ok_and(|schemes| schemes.to_string().contains("bearer"))
    });
    let has_input = operation.request_body.is_some() || operation.parameters.is_some();
    for (name, status, _) in shared_responses() {
        let applies = match status {
            "401" => is_secured,
            "415" => operation.request_body.is_some(),
            "422" => has_input,
            _ => true,
        };
        if applies {
            let reference = RefOr::Ref(Ref::from_response_name(name));
            operation.responses.responses.entry(status.to_owned()).or_insert(reference);
        }
    }
}

fn shared_responses() -> [(&'static str, &'static str, Response); 7] {
    let refusal = |description: &str| response(description, "ErrorBody");
    [
        ("Unauthenticated", "401", refusal("`unauthenticated`, `invalid_token`, `inactive_user`")),
        ("RequestTimeout", "408", refusal("`request_timeout`")),
        ("PayloadTooLarge", "413", refusal("`payload_too_large`")),
        ("UnsupportedMediaType", "415", refusal("`unsupported_media_type`")),
        ("Invalid", "422", response("Every field that is wrong", "FieldErrors")),
        ("Internal", "500", refusal("`internal_error`")),
        ("Unavailable", "503", refusal("`unavailable`: try again after `Retry-After` seconds")),
    ]
}

fn response(description: &str, schema: &str) -> Response {
    let content: Content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}
