//! The merged document, judged by a validator that others wrote.

use backlot_web::testing::openapi_verdict;
use backlot_web::{Shell, Tokens, WebConfig};
use serde_json::json;

use crate::support::House;

fn fragment() -> serde_json::Value {
    json!({
        "tags": [{ "name": "clips" }],
        "paths": { "/clips/{id}": {
            "get": {
                "tags": ["clips"], "summary": "One clip", "operationId": "clip",
                "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }],
                "responses": {
                    "200": { "description": "The clip", "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/Clip" } } } },
                    "default": { "$ref": "#/components/responses/Error" }
                }
            }
        } },
        "components": { "schemas": { "Clip": { "type": "object", "properties": { "id": { "type": "string" } } } } }
    })
}

#[test]
fn a_foreign_validator_accepts_the_document() {
    let shell = Shell::builder(WebConfig::new(Tokens::off())).openapi_fragment(fragment()).build().unwrap();
    let Some(verdict) = openapi_verdict(shell.openapi()) else { return };
    assert_eq!(verdict, Ok(()));
    // The judge can say no.
    let mut broken = shell.openapi().clone();
    broken["paths"]["/clips/{id}"]["get"]["responses"]["200"].as_object_mut().unwrap().remove("description");
    assert!(openapi_verdict(&broken).unwrap().is_err());
}

#[tokio::test]
async fn the_document_is_served_and_listed() {
    let house = House::open_with(|config| config, |builder| builder.openapi_fragment(fragment())).await;
    let document = house.get("/openapi.json", &[]).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["paths"]["/clips/{id}"]["get"]["summary"], "One clip");
    let page = house.get_as(&house.admin, "/api").await.text();
    assert!(page.contains("/clips/{id}") && page.contains("One clip"), "{page}");
}
