//! Tells the observer which route answered, without a middleware stack.

use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::routing::Route;
use tower::{Layer, Service};

use super::request_id::{RequestId, Template};

/// A route layer that notes the matched path template beside the request's id. It wraps no future:
/// its cost is one service clone that axum makes for any layer.
#[derive(Clone)]
pub(super) struct RouteMark;

impl Layer<Route> for RouteMark {
    type Service = Marked;

    fn layer(&self, route: Route) -> Marked {
        Marked(route)
    }
}

#[derive(Clone)]
pub(super) struct Marked(Route);

impl Service<Request> for Marked {
    type Response = <Route as Service<Request>>::Response;
    type Error = <Route as Service<Request>>::Error;
    type Future = <Route as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let extensions = request.extensions();
        if let Some(id) = extensions.get::<RequestId>()
            && let Some(template) = extensions.get::<MatchedPath>()
        {
            // Already set only if a route nests a whole router service: the outer template stays.
            let _ = id.exchange().route.set(Template::Routed(template.clone()));
        }
        self.0.call(request)
    }
}
