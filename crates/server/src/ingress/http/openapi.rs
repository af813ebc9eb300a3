//! The OpenAPI 3.1 document, generated from the table that serves the routes.

use super::routes::{ANY_OPERATION, OPERATIONS, Operation, Route};
use crate::call::{Facet, Needs};
use bytes::Bytes;
use http::Method;
use micronode_protocol::{ErrorCode, limits};
use serde_json::{Map, Value, json};

/// The document, as pretty JSON.
pub(crate) fn document() -> Bytes {
    let mut paths = Map::new();
    for operation in &OPERATIONS {
        let path = paths
            .entry(operation.route.template())
            .or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = describe(operation);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "micronode data plane",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "capability": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "capability": [] }],
    });
    serde_json::to_vec_pretty(&document)
        .expect("a JSON value always serialises")
        .into()
}

fn describe(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, meaning) in operation.success {
        let mut response = json!({ "description": meaning });
        if let Some(content) = content(operation, *status) {
            response["content"] = content;
        }
        responses.insert(status.to_string(), response);
    }
    for code in operation
        .errors
        .iter()
        .copied()
        .flatten()
        .chain(ANY_OPERATION)
    {
        let response = responses.entry(code.status().to_string()).or_insert_with(|| {
            json!({
                "description": "",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            })
        });
        let listed = response["description"].as_str().unwrap_or_default();
        let separator = if listed.is_empty() { "" } else { ", " };
        response["description"] = json!(format!("{listed}{separator}{code}"));
    }
    let mut description = json!({
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": responses,
    });
    if operation.needs == Needs::Grant {
        description["security"] = json!([]);
    }
    let is_bodiless = matches!(operation.route, Route::Receive | Route::Redrive);
    if matches!(operation.method, Method::POST | Method::PUT) && !is_bodiless {
        description["requestBody"] =
            json!({ "required": true, "content": request_content(operation.route) });
    }
    description
}

fn operation_id(operation: &Operation) -> String {
    let route = match operation.route {
        Route::Put | Route::Object => "object",
        Route::Manifest => "manifest",
        Route::Has => "has",
        Route::Echo => "echo",
        Route::Exchange => "exchange",
        Route::Mint => "token",
        Route::Names => "names",
        Route::Name => "name",
        Route::Send => "send",
        Route::Receive => "receive",
        Route::Ack => "ack",
        Route::Nack => "nack",
        Route::Extend => "extend",
        Route::Redrive => "redrive",
        Route::Queue => "queue",
        Route::Events => "events",
        Route::OpenApi => "openapi",
        Route::Unknown => "unknown",
    };
    format!("{}_{route}", operation.method.as_str().to_ascii_lowercase())
}

fn parameters(operation: &Operation) -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } });
    let query = |name: &str, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string" } });
    let mut parameters = Vec::new();
    for part in ["name", "queue"] {
        if operation.route.template().contains(&format!("{{{part}}}")) {
            parameters.push(json!({ "name": part, "in": "path", "required": true, "schema": { "type": "string" } }));
        }
    }
    let queries: &[(&str, &str)] = match operation.route {
        Route::Names => &[
            ("prefix", "What the names begin with"),
            ("after", "The name that the page begins behind"),
            ("limit", "Names of the page, 1 to 1000; 100 unless given"),
        ],
        Route::Receive => &[
            ("max", "Messages, 1 to 256; 1 unless given"),
            (
                "wait",
                "How long to wait for one, at most 4s; not at all unless given",
            ),
            (
                "visibility",
                "How long they are leased, at most 12h; 30s unless given",
            ),
        ],
        Route::Redrive => &[("limit", "How many at most; all unless given")],
        _ => &[],
    };
    parameters.extend(
        queries
            .iter()
            .map(|(name, description)| query(name, description)),
    );
    if matches!(operation.route, Route::Object | Route::Manifest) {
        parameters.push(json!({ "name": "addr", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/Address" } }));
    }
    match (operation.route, &operation.method) {
        (Route::Send, _) => {
            parameters.push(header("Idempotency-Key", "Sends the same message once"));
            parameters.push(header("Delay", "Keeps it back, such as 5s; at most 7 days"));
        }
        (Route::Receive, _) => {
            parameters.push(header(
                "Accept",
                "application/octet-stream for one message as it is",
            ));
        }
        (Route::Events, _) => {
            parameters.push(header(
                "Last-Event-ID",
                "Goes on behind the event with this id",
            ));
        }
        (Route::Name, &Method::PUT | &Method::DELETE) => {
            parameters.push(header("If-Match", "Revisions or entity tags, or *"));
            parameters.push(header("If-None-Match", "*, for a name that is new"));
        }
        _ => {}
    }
    if operation.facet == Facet::StorageWrite {
        parameters.push(header("Expires-In", "Time to live, such as 30s, 10m or 1h"));
        parameters.push(header(
            "Content-Encoding",
            "gzip, zstd or br: decoded before it is stored",
        ));
    }
    let reads = operation.facet == Facet::StorageRead;
    if reads && matches!(operation.route, Route::Object | Route::Name) {
        for (name, description) in [
            ("Range", "At most 16 ranges of bytes"),
            ("If-Match", "Entity tags"),
            ("If-None-Match", "Entity tags"),
            ("If-Range", "An entity tag or a date"),
        ] {
            parameters.push(header(name, description));
        }
    }
    parameters.push(header(
        "X-Corr-ID",
        "Printable, at most 64 characters; made up when absent, always returned",
    ));
    Value::Array(parameters)
}

fn request_content(route: Route) -> Value {
    match route {
        Route::Has => json!({ "application/json": { "schema": {
            "type": "array", "maxItems": limits::HAS_ADDRESSES, "items": { "$ref": "#/components/schemas/Address" } } } }),
        Route::Mint => json!({ "application/json": { "schema": { "type": "object", "properties": {
            "caveats": { "type": "array", "maxItems": limits::CAPABILITY_CAVEATS, "items": { "type": "string" } },
            "ttl": { "type": "string" } } } } }),
        Route::Name => json!({ "application/json": { "schema": object(&json!({
            "address": { "$ref": "#/components/schemas/Address" } })) } }),
        Route::Ack => settling(&json!({})),
        Route::Nack => settling(&json!({ "delay": { "type": "string" } })),
        Route::Extend => settling(&json!({ "visibility": { "type": "string" } })),
        _ => json!({ "*/*": {} }),
    }
}

/// Receipts, and what else is said of them.
fn settling(more: &Value) -> Value {
    let mut properties = json!({ "receipts": {
        "type": "array", "maxItems": limits::RECEIPTS, "items": { "type": "string" } } });
    for (name, schema) in more.as_object().into_iter().flatten() {
        properties[name] = schema.clone();
    }
    json!({ "application/json": { "schema": {
        "type": "object", "required": ["receipts"], "properties": properties } } })
}

/// An object of which every member is there.
fn object(properties: &Value) -> Value {
    let members = properties.as_object().into_iter().flatten();
    let required: Vec<&String> = members.map(|(name, _)| name).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn content(operation: &Operation, status: u16) -> Option<Value> {
    let json_of = |schema: Value| Some(json!({ "application/json": { "schema": schema } }));
    match (operation.route, &operation.method) {
        (_, &Method::HEAD) => None,
        (Route::Put, _) | (Route::Object, &Method::PUT) => {
            json_of(json!({ "$ref": "#/components/schemas/Stored" }))
        }
        (Route::Object, &Method::GET) if status != 304 => Some(json!({ "*/*": {} })),
        (Route::Manifest, _) => Some(json!({ "application/vnd.micronode.manifest": {} })),
        (Route::Exchange | Route::Mint, _) => {
            json_of(json!({ "$ref": "#/components/schemas/Token" }))
        }
        (Route::Has, _) => json_of(json!({ "type": "array", "items": { "type": "boolean" } })),
        (Route::Echo, _) => Some(json!({ "*/*": {} })),
        (Route::Name, &Method::PUT) => json_of(json!({ "$ref": "#/components/schemas/Name" })),
        (Route::Name, &Method::GET) if status != 304 => Some(json!({ "*/*": {} })),
        (Route::Names, _) => json_of(object(&json!({
            "names": { "type": "array", "items": { "$ref": "#/components/schemas/Name" } },
            "next": { "type": ["string", "null"] },
        }))),
        (Route::Send, _) => json_of(object(&json!({
            "id": { "type": "string" }, "duplicate": { "type": "boolean" } }))),
        (Route::Receive, _) if status == 200 => Some(json!({
            "application/json": { "schema": object(&json!({ "messages": {
                "type": "array", "items": { "$ref": "#/components/schemas/Message" } } })) },
            "application/octet-stream": {},
        })),
        (Route::Ack | Route::Nack | Route::Extend, _) => json_of(object(&json!({ "results": {
            "type": "array", "items": object(&json!({
                "receipt": { "type": "string" },
                "code": { "type": "string", "enum": ["ok", "late", "unknown"] },
            })) } }))),
        (Route::Queue, &Method::GET) => {
            json_of(counts(&["ready", "leased", "delayed", "dead", "bytes"]))
        }
        (Route::Queue, _) => json_of(counts(&["removed"])),
        (Route::Redrive, _) => json_of(counts(&["moved", "left"])),
        (Route::Events, _) => Some(json!({ "text/event-stream": {} })),
        (Route::OpenApi, _) => json_of(json!({ "type": "object" })),
        _ => None,
    }
}

fn counts(names: &[&str]) -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let members = names.iter().map(|name| ((*name).to_owned(), count.clone()));
    object(&Value::Object(members.collect()))
}

fn schemas() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "Address": { "type": "string", "pattern": "^b3:[0-9a-f]{64}$" },
        "Stored": {
            "type": "object",
            "required": ["address", "size"],
            "properties": {
                "address": { "$ref": "#/components/schemas/Address" },
                "size": { "type": "integer", "minimum": 0 },
                "expires_at": { "type": "string", "format": "date-time" },
            },
        },
        "Name": object(&json!({
            "name": { "type": "string" },
            "address": { "$ref": "#/components/schemas/Address" },
            "revision": { "type": "integer", "minimum": 1 },
        })),
        "Message": object(&json!({
            "id": { "type": "string" },
            "receipt": { "type": "string" },
            "attempt": { "type": "integer", "minimum": 1 },
            "enqueued_at": { "type": "string", "format": "date-time" },
            "body": { "type": "string", "contentEncoding": "base64" },
        })),
        "Token": {
            "type": "object",
            "required": ["token", "expires_at"],
            "properties": {
                "token": { "type": "string" },
                "expires_at": { "type": "string", "format": "date-time" },
            },
        },
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "code", "retryable", "corr_id"],
            "properties": {
                "type": { "type": "string" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "code": { "type": "string", "enum": codes },
                "retryable": { "type": "boolean" },
                "corr_id": { "type": "string" },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_operation_is_described_once() {
        let document: Value = serde_json::from_slice(&document()).expect("JSON");
        let mut ids = HashSet::new();
        for operation in &OPERATIONS {
            let method = operation.method.as_str().to_ascii_lowercase();
            let described = &document["paths"][operation.route.template()][method];
            assert!(ids.insert(described["operationId"].as_str().expect("an id").to_owned()));
            for (status, _) in operation.success {
                assert!(described["responses"][status.to_string()].is_object());
            }
            assert!(
                described["responses"]["429"]["description"]
                    .as_str()
                    .expect("text")
                    .contains("rate_limited")
            );
        }
    }
}
