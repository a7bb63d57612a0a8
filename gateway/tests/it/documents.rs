//! The OpenAPI document and the page that shows it.

use std::collections::HashSet;

use serde_json::Value;

use crate::app::{TestGateway, assert_error};

async fn document(gateway: &TestGateway) -> Value {
    gateway.get("/v1/openapi.json").await.json().await.unwrap()
}

#[tokio::test]
async fn the_document_lists_every_operation() {
    let gateway = TestGateway::start().await;
    let document = document(&gateway).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    for (method, path) in [
        ("post", "/v1/auth/register"),
        ("post", "/v1/auth/login"),
        ("get", "/v1/auth/me"),
        ("patch", "/v1/auth/me"),
        ("post", "/v1/auth/refresh"),
        ("post", "/v1/auth/exchange"),
        ("post", "/v1/auth/logout"),
        ("get", "/v1/auth/sessions"),
        ("delete", "/v1/auth/sessions"),
        ("delete", "/v1/auth/sessions/{id}"),
        ("put", "/v1/auth/password"),
        ("post", "/v1/auth/password/reset"),
        ("post", "/v1/contacts/invite"),
        ("post", "/v1/contacts/{invitation_id}/accept"),
        ("post", "/v1/contacts/{invitation_id}/reject"),
        ("get", "/v1/contacts"),
        ("get", "/v1/contacts/check/{username}"),
        ("post", "/v1/rooms"),
        ("get", "/v1/rooms"),
        ("get", "/v1/rooms/{room_id}"),
        ("delete", "/v1/rooms/{room_id}"),
        ("post", "/v1/rooms/{room_id}/members"),
        ("delete", "/v1/rooms/{room_id}/members/{username}"),
        ("post", "/v1/rooms/{room_id}/leave"),
        ("get", "/v1/messages/rooms/{room_id}/history"),
        ("post", "/v1/messages/rooms/{room_id}"),
        ("patch", "/v1/messages/{message_id}"),
        ("delete", "/v1/messages/{message_id}"),
        ("get", "/v1/messages/ws"),
        ("get", "/v1/healthz"),
        ("get", "/v1/openapi.json"),
        ("get", "/docs"),
        ("get", "/.well-known/jwks.json"),
    ] {
        assert!(document["paths"][path][method].is_object(), "{method} {path}");
    }
}

#[tokio::test]
async fn every_reference_of_the_document_has_a_target() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| references(element, found))
            }
            _ => {}
        }
    }
    let gateway = TestGateway::start().await;
    let document = document(&gateway).await;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_operation_has_a_name_and_lists_its_errors() {
    let gateway = TestGateway::start().await;
    let document = document(&gateway).await;
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
            let responses = &operation["responses"];
            assert!(
                responses["500"].is_object() && responses["503"].is_object(),
                "{method} {path}"
            );
            let is_secured = operation["security"].to_string().contains("bearer");
            assert!(!is_secured || responses["401"].is_object(), "{method} {path}");
            let has_body = operation["requestBody"].is_object();
            assert!(
                !has_body || responses["422"].is_object() && responses["415"].is_object(),
                "{method} {path}"
            );
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[tokio::test]
async fn members_that_can_be_null_are_required() {
    let gateway = TestGateway::start().await;
    let schemas = document(&gateway).await["components"]["schemas"].take();
    for (schema, members) in [
        ("Room", ["name", "owner"]),
        ("Message", ["edited_at", "seq"]),
        ("Session", ["user_agent", "address"]),
    ] {
        let required = schemas[schema]["required"].as_array().unwrap();
        for member in members {
            assert!(required.contains(&Value::from(member)), "{schema}.{member}");
        }
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_other_hosts() {
    let gateway = TestGateway::start().await;
    let response = gateway.get("/docs").await;
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    let page = response.text().await.unwrap();
    assert!(!page.contains("//"), "{page}");

    let links: Vec<&str> =
        page.split(['"', '\'']).filter(|part| part.starts_with("/docs/")).collect();
    assert_eq!(links.len(), 4, "{links:?}");
    for link in links {
        let response = gateway.get(link).await;
        assert_eq!(response.status(), 200, "{link}");
        assert!(!response.bytes().await.unwrap().is_empty(), "{link}");
    }
    let script = gateway.get("/docs/start.js").await.text().await.unwrap();
    assert!(script.contains("/v1/openapi.json") && !script.contains("http"), "{script}");
}

#[tokio::test]
async fn other_parts_of_swagger_ui_are_not_served() {
    let gateway = TestGateway::start().await;
    for file in
        ["index.html", "swagger-initializer.js", "oauth2-redirect.html", "..%2fCargo.toml", "%ff"]
    {
        assert_eq!(gateway.get(&format!("/docs/{file}")).await.status(), 404, "{file}");
    }
}

#[tokio::test]
async fn the_health_endpoint_needs_no_service() {
    let gateway = TestGateway::start().await;
    let response = gateway.get("/v1/healthz").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn the_documentation_can_be_switched_off() {
    let gateway = TestGateway::start_with_settings(&["--docs=off"]).await;
    for path in ["/docs", "/docs/start.js", "/v1/openapi.json"] {
        assert_error(gateway.get(path).await, 404, "not_found").await;
    }
    assert_eq!(gateway.get("/v1/healthz").await.status(), 200);
}
