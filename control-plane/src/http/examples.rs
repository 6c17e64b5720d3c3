//! Examples in the description of the API, made of the schemas, so that none is ever missing or out of date.

use serde_json::{Map, Value, json};

/// Deeper than any of our types; one that holds itself ends there.
const DEEPEST: usize = 12;
const COMPONENTS: &str = "#/components/schemas/";

/// What stands in a field of this name, where its schema does not say.
const WORDS: [(&str, &str); 70] = [
    ("action", "deployment.create"),
    ("address", "203.0.113.7"),
    ("arch", "x86_64"),
    (
        "authorization_url",
        "https://accounts.example.org/authorize?state=Xp3",
    ),
    ("bot_token", "123456:AAF"),
    ("chat_id", "-1001234"),
    ("code", "123456"),
    ("command", "towline-agent enroll --token twle_8m2"),
    ("compose", "2.26.1"),
    ("compose_file", "docker-compose.yml"),
    ("currency", "EUR"),
    (
        "detail",
        "the service web did not become healthy within 300 s",
    ),
    ("effect", "allowed"),
    ("email", "ada@example.org"),
    ("engine", "26.1.5"),
    ("environment", "production"),
    ("error", "the receiver answered 503"),
    ("event", "deployment.failed"),
    ("event_type", "deployment.failed"),
    ("failure_policy", "closed"),
    ("field", "name"),
    ("file", "docker-compose.yml"),
    (
        "hash",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    ("health", "healthy"),
    ("hook", "after_deploy"),
    ("host", "web-1"),
    ("hostname", "web-1.example.org"),
    ("id", "5f2b9c0e7a41"),
    ("image", "nginx:1.27"),
    ("key", "DATABASE_URL"),
    ("kind", "deploy"),
    ("last_error", "the receiver answered 503"),
    ("link", "https://towline.example.org/join#twli_4k9"),
    ("message", "shop was deployed to web-1"),
    ("mode", "0644"),
    ("name", "shop"),
    ("new_password", "a better horse battery"),
    ("os", "Debian GNU/Linux 12"),
    ("owner", "ada@example.org"),
    ("password", "correct horse battery"),
    ("path", "docker-compose.yml"),
    ("plan", "Pro"),
    ("prefix", "twlk_7hq2"),
    ("project", "shop"),
    ("project_name", "shop"),
    ("provider", "acme"),
    ("reason", "the engine does not answer"),
    ("reference", "nginx:1.27"),
    ("remedy", "give another name"),
    ("request_body", "{\"type\":\"deployment.failed\"}"),
    ("response_body", "ok"),
    ("rule", "host_namespaces"),
    ("secret", "whsec_c2VjcmV0"),
    ("server", "https://ntfy.example.org"),
    ("service", "web"),
    ("severity", "error"),
    ("source", "deployment"),
    ("state", "running"),
    ("status", "running"),
    ("step", "pull"),
    ("stream", "stdout"),
    ("subject", "deployment"),
    ("target", "web-1"),
    ("text", "listening on port 8080"),
    ("title", "Not found"),
    ("token", "twle_8m2"),
    ("topic", "towline-alerts"),
    ("type", "deployment.failed"),
    ("url", "https://hooks.example.org/towline"),
    ("version", "0.1.0"),
];

/// Gives each body in JSON of the description an example.
pub fn add(document: &mut Value) {
    let schemas = document["components"]["schemas"].take();
    let known = Known(&schemas);
    let paths = document["paths"].as_object_mut();
    for operation in paths
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
    {
        if let Some(body) = operation.get_mut("requestBody") {
            known.exemplify(body);
        }
        let responses = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut);
        let responses = responses.into_iter().flat_map(Map::values_mut);
        responses.for_each(|response| known.exemplify(response));
    }
    document["components"]["schemas"] = schemas;
}

/// The schemas that others refer to.
struct Known<'a>(&'a Value);

impl Known<'_> {
    /// Gives each body of one request or answer an example.
    fn exemplify(&self, of: &mut Value) {
        let contents = of.get_mut("content").and_then(Value::as_object_mut);
        for (media, content) in contents.into_iter().flatten() {
            if media.ends_with("json") && content.get("example").is_none() {
                content["example"] = self.of(&content["schema"], "", 0);
            }
        }
    }

    fn of(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        let stated = ["example", "const", "default"].map(|word| schema.get(word));
        let stated = stated.into_iter().flatten().next();
        let stated = stated.or_else(|| schema.pointer("/enum/0"));
        if let Some(stated) = stated {
            return stated.clone();
        }
        if let Some(to) = schema["$ref"].as_str() {
            let to = to.strip_prefix(COMPONENTS).unwrap_or(to);
            return self.of(&self.0[to], name, depth + 1);
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.together(parts, name, depth);
        }
        let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
        if let Some(choices) = choices {
            let some = choices.iter().find(|choice| choice["type"] != "null");
            return some.map_or(Value::Null, |some| self.of(some, name, depth + 1));
        }
        self.plain(schema, name, depth)
    }

    /// Of what is all of these at once.
    fn together(&self, parts: &[Value], name: &str, depth: usize) -> Value {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(fields) = self.of(part, name, depth + 1) {
                all.extend(fields);
            }
        }
        Value::Object(all)
    }

    fn plain(&self, schema: &Value, name: &str, depth: usize) -> Value {
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => {
                let name = name.strip_suffix('s').unwrap_or(name);
                json!([self.of(&schema["items"], name, depth + 1)])
            }
            "string" => text(schema, name),
            "integer" => number(schema),
            "number" => json!(12.5),
            "boolean" => json!(true),
            _ => json!({}),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let mut fields = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            fields.insert(name.clone(), self.of(field, name, depth + 1));
        }
        if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
            fields.insert("web".to_owned(), self.of(values, "web", depth + 1));
        }
        Value::Object(fields)
    }
}

/// What it is where it is not nothing.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    }
}

fn text(schema: &Value, name: &str) -> Value {
    let word = match schema["format"].as_str() {
        Some("uuid") => "01920f3e-7a41-7cc2-9b5d-2f0c8a1e6d37",
        Some("date-time") => "2026-01-30T12:00:00Z",
        Some("date") => "2026-01-30",
        _ => WORDS
            .binary_search_by_key(&name, |(name, _)| name)
            .map_or("text", |at| WORDS[at].1),
    };
    json!(word)
}

fn number(schema: &Value) -> Value {
    let least = schema["minimum"].as_i64().unwrap_or(0).max(0);
    let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
    json!((least + 3).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_their_field() {
        assert!(WORDS.is_sorted_by_key(|(name, _)| name));
        assert_eq!(text(&json!({}), "email"), "ada@example.org");
        assert_eq!(
            text(&json!({"format": "uuid"}), "email")
                .as_str()
                .map(str::len),
            Some(36)
        );
    }

    #[test]
    fn an_example_is_made_of_everything_that_schemas_are_made_of() {
        let mut document = json!({
            "components": {"schemas": {
                "Named": {"type": "object", "properties": {"name": {"type": "string"}}},
                "Loop": {"type": "object", "properties": {"again": {"$ref": "#/components/schemas/Loop"}}},
            }},
            "paths": {"/x": {"post": {
                "requestBody": {"content": {"application/json": {"schema": {"allOf": [
                    {"$ref": "#/components/schemas/Named"},
                    {"type": "object", "properties": {
                        "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": 2},
                        "kind": {"oneOf": [{"type": "null"}, {"type": "string", "enum": ["a", "b"]}]},
                        "services": {"type": "array", "items": {"type": "string"}},
                        "by_name": {"type": "object", "additionalProperties": {"type": "number"}},
                    }},
                ]}}}},
                "responses": {"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}, "204": {}},
            }}},
        });
        let before = document["components"].clone();
        add(&mut document);
        assert_eq!(document["components"], before);
        let post = &document["paths"]["/x"]["post"];
        assert_eq!(
            post["requestBody"]["content"]["application/json"]["example"],
            json!({"name": "shop", "limit": 2, "kind": "a", "services": ["web"], "by_name": {"web": 12.5}})
        );
        assert!(
            post["responses"]["200"]["content"]["text/plain"]
                .get("example")
                .is_none()
        );
        let schemas = &document["components"]["schemas"];
        Known(schemas).of(&schemas["Loop"], "", 0);
    }
}
