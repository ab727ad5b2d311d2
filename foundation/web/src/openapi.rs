//! One OpenAPI 3.1 document out of the departments' fragments.
//!
//! A fragment is an object with `paths` (full paths, prefix included) and optionally `components` and `tags`. Fragments
//! are merged, never overwritten: two that describe one operation, or one component differently, are an error at start-up,
//! where the programmer sees it.
//!
//! Every document also has `components.responses.Error`, the house's error form, for fragments to refer to.

use serde_json::{Map, Value, json};

use crate::Error;

/// Keys of a path item that are operations (OpenAPI 3.1.0, section 4.8.9).
pub(crate) const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Merges the fragments into one document.
pub(crate) fn document(fragments: &[Value]) -> Result<Value, Error> {
    let mut document = base();
    for fragment in fragments {
        let fragment = object("the fragment itself", fragment)?;
        for (key, part) in fragment {
            match key.as_str() {
                "paths" => merge_paths(&mut document["paths"], part)?,
                "components" => merge_components(&mut document["components"], part)?,
                "tags" => merge_tags(&mut document["tags"], part)?,
                other => return Err(Error::OpenApiFragment { what: format!("the key {other:?}") }),
            }
        }
    }
    Ok(document)
}

fn base() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backlot",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The doors of this house. Every error has the form of components.responses.Error.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "tags": [{ "name": "house", "description": "The shell itself" }],
        "paths": {
            "/healthz": { "get": {
                "tags": ["house"], "summary": "Is the process alive", "operationId": "healthz", "security": [],
                "responses": { "200": { "description": "It is" } }
            } },
            "/readyz": { "get": {
                "tags": ["house"], "summary": "Are all departments ready", "operationId": "readyz", "security": [],
                "responses": { "200": { "description": "They are" }, "503": { "description": "The named ones are not" } }
            } },
            "/openapi.json": { "get": {
                "tags": ["house"], "summary": "This document", "operationId": "openapi", "security": [],
                "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": {} } } }
            } }
        },
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": {
                "type": "object",
                "required": ["error"],
                "properties": { "error": {
                    "type": "object",
                    "required": ["code", "message", "mend"],
                    "properties": {
                        "code": { "type": "string", "description": "A stable name for programs" },
                        "message": { "type": "string", "description": "What happened" },
                        "mend": { "type": "string", "description": "What to do about it" },
                        "request_id": { "type": "string", "description": "The request's name in the server's log" }
                    }
                } }
            } },
            "responses": { "Error": {
                "description": "What went wrong, and the mend",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } }
            } }
        }
    })
}

fn merge_paths(into: &mut Value, paths: &Value) -> Result<(), Error> {
    for (path, item) in object("paths", paths)? {
        if !path.starts_with('/') {
            return Err(Error::OpenApiFragment {
                what: format!("the path {path:?}, which does not begin with a slash"),
            });
        }
        let known = entry(into, path);
        for (key, part) in object(path, item)? {
            merge_one(known, key, part, || format!("{} {path}", key.to_uppercase()))?;
        }
    }
    Ok(())
}

fn merge_components(into: &mut Value, components: &Value) -> Result<(), Error> {
    for (kind, items) in object("components", components)? {
        let known = entry(into, kind);
        for (name, item) in object(kind, items)? {
            // Two departments may share a component, as long as they agree on it.
            if known.get(name) != Some(item) {
                merge_one(known, name, item, || format!("components.{kind}.{name}"))?;
            }
        }
    }
    Ok(())
}

fn merge_tags(into: &mut Value, tags: &Value) -> Result<(), Error> {
    let malformed =
        || Error::OpenApiFragment { what: "tags, which must be a list of objects with names".to_owned() };
    let known = into.as_array_mut().expect("invariant: the base has a list of tags");
    for tag in tags.as_array().ok_or_else(malformed)? {
        let name = tag.get("name").and_then(Value::as_str).ok_or_else(malformed)?;
        if !known.iter().any(|other| other["name"] == name) {
            known.push(tag.clone());
        }
    }
    Ok(())
}

fn entry<'a>(into: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let map = into.as_object_mut().expect("invariant: the base is made of objects");
    let value = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    value.as_object_mut().expect("invariant: only objects are merged")
}

fn merge_one(
    into: &mut Map<String, Value>,
    key: &str,
    part: &Value,
    what: impl Fn() -> String,
) -> Result<(), Error> {
    if into.contains_key(key) {
        return Err(Error::OpenApiConflict { what: what() });
    }
    into.insert(key.to_owned(), part.clone());
    Ok(())
}

fn object<'a>(what: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| Error::OpenApiFragment { what: format!("{what}, which must be an object") })
}

/// One operation, for the page of routes.
pub(crate) struct Operation<'a> {
    pub(crate) tag: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) summary: &'a str,
}

/// Every operation of the document: by tag in the order of the tags, then by path.
pub(crate) fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if METHODS.contains(&method.as_str()) {
                let text = |value: &'static str| operation[value].as_str().unwrap_or_default();
                let tag = operation["tags"][0].as_str().unwrap_or_default();
                operations.push(Operation { tag, method, path, summary: text("summary") });
            }
        }
    }
    let rank = |tag: &str| {
        let tags = document["tags"].as_array().map_or(&[][..], Vec::as_slice);
        tags.iter().position(|known| known["name"] == tag).unwrap_or(usize::MAX)
    };
    let method_rank = |method: &str| METHODS.iter().position(|known| *known == method);
    operations.sort_by_key(|operation| {
        (rank(operation.tag), operation.tag, operation.path, method_rank(operation.method))
    });
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_merged_and_never_overwritten() {
        let get = json!({"paths": {"/a": {"get": {"summary": "read"}}}, "tags": [{"name": "a"}]});
        let post = json!({"paths": {"/a": {"post": {"summary": "write"}}}, "tags": [{"name": "a"}]});
        let merged = document(&[get.clone(), post]).unwrap();
        assert_eq!(merged["paths"]["/a"]["get"]["summary"], "read");
        assert_eq!(merged["paths"]["/a"]["post"]["summary"], "write");
        assert_eq!(merged["tags"].as_array().unwrap().len(), 2);
        let message = document(&[get.clone(), get]).unwrap_err().to_string();
        assert!(message.contains("GET /a"), "{message}");
    }

    #[test]
    fn shared_components_must_agree() {
        let one = json!({"components": {"schemas": {"Run": {"type": "object"}}}});
        let other = json!({"components": {"schemas": {"Run": {"type": "string"}}}});
        assert!(document(&[one.clone(), one.clone()]).is_ok());
        let message = document(&[one, other]).unwrap_err().to_string();
        assert!(message.contains("components.schemas.Run"), "{message}");
    }

    #[test]
    fn malformed_fragments_are_named() {
        for bad in [
            json!([]),
            json!({"paths": []}),
            json!({"paths": {"a": {}}}),
            json!({"info": {}}),
            json!({"tags": {}}),
        ] {
            assert!(
                matches!(document(std::slice::from_ref(&bad)), Err(Error::OpenApiFragment { .. })),
                "{bad}"
            );
        }
    }
}
