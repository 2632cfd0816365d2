//! The OpenAPI document, made from the code.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, Method};
use axum::routing::get;
use serde_json::json;
use utoipa::OpenApi as _;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, OpenApi, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Server,
};

use crate::app::SurfaceKind;
use crate::asset::Asset;
use crate::mount::{Area, Mount};
use crate::problem::{PROBLEM_JSON, ProblemBody, ProblemKind};
use crate::surfaces::native;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Watchword",
        description = "Makes one-time codes, sends them over WhatsApp, SMS, email and voice, verifies each once.\n\nErrors of the native API are problems (RFC 9457): programs look at `code`; the other surfaces have their own. Every 429 and 503 says in `Retry-After` how many seconds to wait; a recipient that is locked until somebody unlocks it says 86400. Every POST of the native API that changes something takes an `Idempotency-Key`: the same request within 24 hours gets the same answer, marked `Idempotency-Replayed: true`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags((name = "native", description = "The API of this server itself.")),
    security(("bearer" = [])),
    components(schemas(ProblemBody, crate::json::Fault))
)]
struct Document;

/// The document without any operation.
pub(crate) fn empty() -> OpenApi {
    let mut api = Document::openapi();
    let components = api.components.get_or_insert_default();
    let mut bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    bearer.description = Some(
        "An API key (`wk_…`), made by `watchword apikey create`. In dev mode none is needed."
            .to_owned(),
    );
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    api
}

/// The document of everything that `mount` holds.
pub(crate) fn complete(mount: &Mount) -> OpenApi {
    let mut api = mount.api().clone();
    for item in api.paths.paths.values_mut() {
        // What follows is the native API's; the others describe themselves.
        let native = |post: &&mut Operation| {
            let tags = post.tags.iter().flatten();
            tags.clone().any(|tag| tag == SurfaceKind::Native.as_str())
        };
        let post = item.post.as_mut().filter(native);
        if let Some(post) = post {
            if let Some(RefOr::T(body)) = post.request_body.as_mut()
                && post.operation_id.as_deref() == Some("resend_code")
            {
                body.required = Some(Required::False);
            }
            if repeats(post) {
                add_idempotency(post);
            }
        }
        for operation in operations(item) {
            let id = operation.operation_id.as_deref();
            let kinds = native::PROBLEMS.iter().find(|(name, _)| Some(*name) == id);
            if let Some((_, kinds)) = kinds {
                add_problems(operation, kinds);
            }
        }
    }
    api
}

/// The OpenAPI document of every surface, as JSON. What the command line prints; a server serves the
/// same for the surfaces of its listener.
///
/// Of two surfaces that want the same path, the later stands below its name, as it could be mounted.
#[must_use]
pub fn openapi_json() -> String {
    let mut whole = empty();
    for kind in SurfaceKind::ALL {
        let document = complete(&crate::mount_surfaces(&[kind]));
        let mut paths = document.paths.paths;
        paths.retain(|path, item| whole.paths.paths.get(path) != Some(item));
        let clashes = paths
            .keys()
            .any(|path| whole.paths.paths.contains_key(path));
        let before = if clashes {
            format!("/{kind}")
        } else {
            String::new()
        };
        for (path, item) in paths {
            whole.paths.paths.insert(format!("{before}{path}"), item);
        }
        for tag in document.tags.unwrap_or_default() {
            let tags = whole.tags.get_or_insert_default();
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let schemas = document.components.unwrap_or_default().schemas;
        let components = whole.components.get_or_insert_default();
        components.schemas.extend(schemas);
    }
    whole.to_pretty_json().unwrap_or_default()
}

/// Serves the document. In dev mode it says that a key is optional; below a `path`, that its own paths
/// follow that.
pub(crate) fn mount(mount: Mount, dev: bool, path: &str) -> Mount {
    let mut api = complete(&mount);
    if !path.is_empty() {
        api.servers = Some(vec![Server::new(path)]);
    }
    if dev {
        let nothing = SecurityRequirement::default();
        api.security.get_or_insert_default().push(nothing);
    }
    let json = api.to_json().unwrap_or_default();
    let document = Arc::new(Asset::new("application/json", json));
    let serve = get(async move |headers: HeaderMap| document.answer(&headers));
    mount.plain(Area::Docs, "/openapi.json", &[Method::GET], serve)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.post, &mut item.delete];
    all.into_iter().flatten()
}

/// Whether an idempotency key matters to an operation: then it may have come with another one.
fn repeats(post: &Operation) -> bool {
    let id = post.operation_id.as_deref();
    let mut operations = native::PROBLEMS.iter();
    let known = operations.find(|(name, _)| Some(*name) == id);
    known.is_some_and(|(_, kinds)| kinds.contains(&ProblemKind::IdempotencyKeyReused))
}

fn add_idempotency(post: &mut Operation) {
    let parameters = post.parameters.get_or_insert_default();
    parameters.push(RefOr::T(idempotency_key()));
    for response in post.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            add_success_headers(response, post.operation_id.as_deref());
        }
    }
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(16))
        .max_length(Some(257))
        .pattern(Some(r#"^("[A-Za-z0-9_-]{16,255}"|[A-Za-z0-9_-]{16,255})$"#));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Names this request, in quotes: 16 to 255 characters. Repeating the request with the same key within 24 hours gives the same answer and does nothing.",
        ))
        .schema(Some(schema))
        .example(Some(json!("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")))
        .build()
}

fn add_success_headers(response: &mut Response, operation: Option<&str>) {
    let text = |description: &str| {
        let schema = ObjectBuilder::new().schema_type(Type::String).build();
        HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description))
            .build()
    };
    let replayed = text("`true` if this is the answer of an earlier request with the same key");
    response
        .headers
        .insert("Idempotency-Replayed".to_owned(), RefOr::T(replayed));
    if matches!(operation, Some("start_verification" | "resend_code")) {
        let policy = text("How many sends the caller's address has: `\"send\";q=30;w=600`");
        let current = text("How many of them are left for how long: `\"send\";r=29;t=600`");
        response
            .headers
            .insert("RateLimit-Policy".to_owned(), RefOr::T(policy));
        response
            .headers
            .insert("RateLimit".to_owned(), RefOr::T(current));
    }
}

/// Describes the problems of an operation, status by status.
fn add_problems(operation: &mut Operation, kinds: &[ProblemKind]) {
    let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in kinds {
        by_status
            .entry(kind.status().as_u16())
            .or_default()
            .push(*kind);
    }
    for (status, kinds) in by_status {
        let described: Vec<_> = kinds
            .iter()
            .map(|kind| format!("`{}`: {}.", kind.code(), kind.title()))
            .collect();
        let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
        for kind in &kinds {
            let example = ExampleBuilder::new()
                .summary(kind.title())
                .value(Some(example(*kind)))
                .build();
            content = content.examples_from_iter([(kind.code(), RefOr::T(example))]);
        }
        let mut response = ResponseBuilder::new()
            .description(described.join(" "))
            .content(PROBLEM_JSON, content.build());
        if kinds.iter().all(|kind| kind.has_retry_after()) {
            let seconds = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(1))
                .build();
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("How many seconds to wait"))
                .build();
            response = response.header("Retry-After", header);
        }
        let responses = &mut operation.responses.responses;
        responses.insert(status.to_string(), RefOr::T(response.build()));
    }
}

fn example(kind: ProblemKind) -> serde_json::Value {
    let mut example = json!({
        "type": kind.urn(),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "detail": kind.title(),
        "code": kind.code(),
    });
    match kind {
        ProblemKind::InvalidRequest => {
            example["detail"] = json!("/to is missing");
            example["errors"] = json!([{ "pointer": "/to", "detail": "is missing" }]);
        }
        ProblemKind::IncorrectCode => example["attempts_remaining"] = json!(4),
        _ => {}
    }
    example
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// OpenAPI 3.1: "Unique string used to identify the operation […] among all operations described in
    /// the API." Programs that are generated from the document name their functions after it.
    #[test]
    fn no_two_operations_of_all_surfaces_have_one_name() {
        let whole: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
        let paths = whole["paths"].as_object().unwrap();
        let mut seen = BTreeSet::new();
        for operation in paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
        {
            let id = operation["operationId"].as_str().unwrap();
            assert!(seen.insert(id), "{id}");
        }
        assert!(seen.len() > 20);
    }
}
