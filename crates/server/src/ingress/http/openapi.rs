//! The OpenAPI 3.1 document, generated from the table that serves the routes.

use super::routes::{ANY_OPERATION, OPERATIONS, Operation, Route};
use crate::call::{Cost, Needs};
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
    if matches!(operation.method, Method::POST | Method::PUT) {
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
    let mut parameters = Vec::new();
    if matches!(operation.route, Route::Object | Route::Manifest) {
        parameters.push(json!({ "name": "addr", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/Address" } }));
    }
    if operation.cost == Cost::Write {
        parameters.push(header("Expires-In", "Time to live, such as 30s, 10m or 1h"));
        parameters.push(header(
            "Content-Encoding",
            "gzip, zstd or br: decoded before it is stored",
        ));
    }
    if operation.route == Route::Object && operation.cost == Cost::Read {
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
        _ => json!({ "*/*": {} }),
    }
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
        (Route::OpenApi, _) => json_of(json!({ "type": "object" })),
        _ => None,
    }
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
