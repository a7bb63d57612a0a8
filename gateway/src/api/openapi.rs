//! The OpenAPI document. Each endpoint describes itself; this module adds what all have in common.

use bytes::Bytes;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
};

use crate::api::docs;
use crate::error::{ErrorBody, FieldError, FieldErrors, LocSegment};

/// The document without the paths of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Parlance",
        description = "Accounts, contacts, rooms, messages. Ids are positive 64-bit integers, \
                       times RFC 3339 in UTC. Live messages come over the WebSocket \
                       `/v1/messages/ws`.",
    ),
    tags(
        (name = "auth", description = "Accounts, sessions and tokens"),
        (name = "contacts", description = "Invitations and contacts"),
        (name = "rooms", description = "Rooms and their members"),
        (name = "messages", description = "Messages"),
        (name = "service", description = "The service itself"),
    ),
    paths(docs::document),
    components(schemas(ErrorBody, FieldErrors, FieldError, LocSegment)),
)]
struct Base;

/// The codes of an answer to a token that is not accepted.
const UNAUTHENTICATED: &str =
    "`unauthenticated`, `invalid_token`, `token_expired`, `inactive_user`, `session_revoked`";

/// Returns the document that the routes are added to.
pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// Returns the document of all routes as JSON.
pub(crate) fn encode(mut document: OpenApi) -> Bytes {
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for (name, _, response) in shared_responses() {
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        complete(operation);
    }
    // A document of strings, numbers and lists can always be encoded.
    serde_json::to_vec(&document).map(Bytes::from).unwrap_or_default()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// Makes the name of the operation unique, describes the body of its errors, and adds the errors
/// that every operation of its kind can return.
fn complete(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    operation.operation_id =
        tag.zip(operation.operation_id.as_ref()).map(|(tag, name)| format!("{tag}_{name}"));
    let is_secured = operation.security.as_ref().is_some_and(|schemes| {
        serde_json::to_value(schemes).is_ok_and(|schemes| schemes.to_string().contains("bearer"))
    });
    let has_input = operation.request_body.is_some() || operation.parameters.is_some();
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('4')
        {
            response.content.insert("application/json".to_owned(), RefOr::T(content("ErrorBody")));
        }
    }
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

fn shared_responses() -> [(&'static str, &'static str, Response); 10] {
    let error = |description: &str| response(description, "ErrorBody");
    [
        ("Unauthenticated", "401", error(UNAUTHENTICATED)),
        ("BadRequest", "400", error("`bad_request`: the request breaks HTTP")),
        ("RequestTimeout", "408", error("`request_timeout`")),
        ("PayloadTooLarge", "413", error("`payload_too_large`")),
        ("UriTooLong", "414", error("`uri_too_long`")),
        ("UnsupportedMediaType", "415", error("`unsupported_media_type`")),
        ("Invalid", "422", response("An entry for each wrong field", "FieldErrors")),
        ("HeadersTooLarge", "431", error("`headers_too_large`")),
        ("Internal", "500", error("`internal_error`")),
        ("Unavailable", "503", error("`unavailable`: try again after `Retry-After` seconds")),
    ]
}

fn response(description: &str, schema: &str) -> Response {
    let response = ResponseBuilder::new().description(description);
    response.content("application/json", content(schema)).build()
}

fn content(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}
