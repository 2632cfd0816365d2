//! The gate as a layer around handlers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::Route;
use axum::routing::future::RouteFuture;
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tower::{Layer, Service};

use super::rush::Turn;
use super::{Gate, Kind, Place, TurnedAway};
use crate::json::read_body;

/// Says a refusal: how long to stay away.
type Words = Arc<dyn Fn(Duration) -> Response + Send + Sync>;

/// What stands before the handlers of a route that sends codes.
#[derive(Clone)]
pub(crate) struct Entrance {
    /// Known when every route is in place.
    pub(crate) gate: Arc<OnceLock<Arc<Gate>>>,
    pub(crate) words: Words,
    /// What else there has to be room for.
    pub(crate) room: Option<Room>,
}

/// Something that a request needs and that may be full. It is asked first: whoever is certain to be refused
/// stands in no line, and its body is read and thrown away.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) is_full: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Says the refusal.
    pub(crate) words: Arc<dyn Fn() -> Response + Send + Sync>,
}

impl Layer<Route> for Entrance {
    type Service = Guarded;

    fn layer(&self, route: Route) -> Guarded {
        Guarded {
            entrance: self.clone(),
            route,
        }
    }
}

/// A route behind the gate.
#[derive(Clone)]
pub(crate) struct Guarded {
    entrance: Entrance,
    route: Route,
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = Entering<Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.route, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.entrance.enter((self.route.clone(), request))
    }
}

/// A request before the gate, and who answers it behind.
pub(crate) trait Guest: Send + 'static {
    /// The answer in the making.
    type Answer: Future + Send + 'static;

    /// Is answered.
    fn go_in(self) -> Self::Answer;

    /// What is left to read of one that is refused.
    fn into_parts(self) -> (Parts, Body);

    /// The answer of one that is refused.
    fn told(refusal: Response) -> <Self::Answer as Future>::Output;
}

impl Guest for (Route, Request) {
    type Answer = RouteFuture<Infallible>;

    fn go_in(self) -> Self::Answer {
        let (mut route, request) = self;
        route.call(request)
    }

    fn into_parts(self) -> (Parts, Body) {
        self.1.into_parts()
    }

    fn told(refusal: Response) -> Result<Response, Infallible> {
        Ok(refusal)
    }
}

/// A request on its way through the gate.
pub(crate) type Entering<R> = Pin<Box<dyn Future<Output = R> + Send>>;

impl Entrance {
    /// Lets a guest in, at once or later, or refuses it once its body was read.
    pub(crate) fn enter<G: Guest>(&self, guest: G) -> Entering<<G::Answer as Future>::Output> {
        let Self { gate, words, room } = self;
        let gate = gate.get_or_init(Arc::default);
        if let Some(room) = room
            && (room.is_full)()
        {
            return refused(guest, gate.no_room((room.words)()));
        }
        match gate.admit(Kind::Send) {
            Ok((place, Turn::AtOnce)) => {
                let answer = guest.go_in();
                Box::pin(Admitted {
                    answer,
                    _place: place,
                })
            }
            Ok((place, turn)) => Box::pin(Standing {
                line: Some(Line::of(gate, turn)),
                guest: Some(guest),
                answer: None,
                _place: place,
            }),
            Err(wait) => refused(guest, TurnedAway::by(words(wait))),
        }
    }
}

fn refused<G: Guest>(guest: G, refusal: Response) -> Entering<<G::Answer as Future>::Output> {
    let (parts, body) = guest.into_parts();
    Box::pin(async move {
        // Some HTTP/2 clients lose an answer that comes before they have sent their body,
        // and an HTTP/1 connection is kept only behind a whole one.
        let _ = read_body(&parts.headers, body).await;
        G::told(refusal)
    })
}

pin_project! {
    /// A request that went in at once.
    struct Admitted<A> {
        #[pin]
        answer: A,
        _place: Place,
    }
}

impl<A: Future> Future for Admitted<A> {
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        self.project().answer.poll(cx)
    }
}

/// A request that others go before. Thousands of them may stand: such a one holds what it was asked, and the
/// kilobytes of a handler at work only once it is its turn, which are those that another one has just left.
struct Standing<G: Guest> {
    line: Option<Line>,
    guest: Option<G>,
    answer: Option<Pin<Box<G::Answer>>>,
    _place: Place,
}

// Nothing in it is pinned but what is in a box of its own.
impl<G: Guest> Unpin for Standing<G> {}

impl<G: Guest> Future for Standing<G> {
    type Output = <G::Answer as Future>::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(line) = &mut this.line {
            ready!(line.poll(cx));
        }
        if let Some(guest) = this.guest.take() {
            this.answer = Some(Box::pin(guest.go_in()));
        }
        let Some(answer) = &mut this.answer else {
            return Poll::Pending; // one of the two is always there
        };
        let polled = answer.as_mut().poll(cx);
        // Whatever it waits for now is not a thread: the next one may have that.
        this.line = None;
        polled
    }
}

/// A send that lets others go first.
pub(crate) struct Line {
    gate: Arc<Gate>,
    since: Instant,
    /// Whether it is counted as standing in line.
    counted: bool,
    turn: Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>,
    permit: Option<OwnedSemaphorePermit>,
    stepped_back: bool,
}

impl Line {
    fn of(gate: &Arc<Gate>, turn: Turn) -> Self {
        let gate = Arc::clone(gate);
        let counted = turn == Turn::InLine;
        let next = counted.then(|| {
            let turns = Arc::clone(&gate.turns);
            // Nobody closes the semaphore; without it, it is their turn.
            let turn = async move { turns.acquire_owned().await.ok() };
            Box::pin(turn) as Pin<Box<dyn Future<Output = _> + Send>>
        });
        Self {
            gate,
            since: Instant::now(),
            counted,
            turn: next,
            permit: None,
            stepped_back: false,
        }
    }

    /// Ready when the send may work.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(turn) = &mut self.turn {
            self.permit = ready!(turn.as_mut().poll(cx));
            self.turn = None;
        }
        if !self.stepped_back {
            self.stepped_back = true;
            // A task that wakes itself goes behind all that its thread has to do.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let now = Instant::now();
        let wait = now.saturating_duration_since(self.since);
        let mut rush = self.gate.rush.lock();
        if std::mem::take(&mut self.counted) {
            rush.enter(now, wait);
        } else {
            rush.looked(now, wait);
        }
        Poll::Ready(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.counted {
            self.gate.rush.lock().leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use axum::Router;
    use axum::routing::post;
    use parking_lot::Mutex;
    use tokio::task::JoinSet;
    use tower::ServiceExt as _;

    use super::*;

    /// `/send` and `/check` behind a gate; both write down that they were reached.
    struct House {
        gate: Arc<Gate>,
        router: Router,
        reached: Arc<Mutex<Vec<&'static str>>>,
    }

    impl House {
        fn new(sends: usize) -> Self {
            let gate = Arc::new(Gate::new(sends));
            let known = Arc::new(OnceLock::from(Arc::clone(&gate)));
            let reached: Arc<Mutex<Vec<&'static str>>> = Arc::default();
            let handler = |name| {
                let reached = Arc::clone(&reached);
                async move || reached.lock().push(name)
            };
            let entrance = Entrance {
                gate: known,
                words: Arc::new(|_| Response::new(Body::empty())),
                room: None,
            };
            let router = Router::new()
                .route("/send", post(handler("send")).route_layer(entrance))
                .route("/check", post(handler("check")));
            Self {
                gate,
                router,
                reached,
            }
        }

        fn is_late(&self) {
            let long = Duration::from_secs(1);
            self.gate.rush.lock().looked(Instant::now() + long, long);
        }

        fn ask(&self, tasks: &mut JoinSet<()>, path: &'static str) {
            let router = self.router.clone();
            tasks.spawn(async move {
                let request = Request::post(path).body(Body::empty()).unwrap();
                router.oneshot(request).await.unwrap();
            });
        }
    }

    #[tokio::test]
    async fn a_late_server_takes_checks_before_the_sends_that_came_earlier() {
        let house = House::new(1000);
        house.is_late();
        let mut tasks = JoinSet::new();
        for _ in 0..100 {
            house.ask(&mut tasks, "/send");
        }
        for _ in 0..100 {
            house.ask(&mut tasks, "/check");
        }
        tasks.join_all().await;
        let reached = house.reached.lock();
        assert_eq!(reached.len(), 200);
        assert!(reached[..100].iter().all(|name| *name == "check"));
        assert_eq!(house.gate.figures().sends_in_line, 0);
    }

    /// A guest whose answer takes much memory to make.
    struct Heavy;

    impl Guest for Heavy {
        type Answer = std::future::Ready<[u8; 16_384]>;

        fn go_in(self) -> Self::Answer {
            std::future::ready([0; 16_384])
        }

        fn into_parts(self) -> (Parts, Body) {
            Request::default().into_parts()
        }

        fn told(_: Response) -> [u8; 16_384] {
            [0; 16_384]
        }
    }

    #[tokio::test]
    async fn who_stands_in_line_holds_no_room_for_its_answer() {
        let house = House::new(1000);
        house.is_late();
        let entrance = Entrance {
            gate: Arc::new(OnceLock::from(Arc::clone(&house.gate))),
            words: Arc::new(|_| Response::new(Body::empty())),
            room: None,
        };
        let standing = entrance.enter(Heavy);
        assert_eq!(house.gate.figures().sends_in_line, 1);
        assert!(size_of_val(&*standing) < 1024);
        assert_eq!(standing.await.len(), 16_384);
    }

    #[tokio::test]
    async fn who_hangs_up_leaves_the_line() {
        let house = House::new(1000);
        house.is_late();
        let turns = house.gate.turns.available_permits();
        let send = || Request::post("/send").body(Body::empty()).unwrap();
        let mut sends: Vec<_> = (0..100)
            .map(|_| Box::pin(house.router.clone().oneshot(send())))
            .collect();
        for send in &mut sends {
            assert!(futures_util::poll!(send).is_pending());
        }
        assert_eq!(house.gate.figures().sends_in_line, 100);
        drop(sends);
        let figures = house.gate.figures();
        assert_eq!((figures.sends_in_line, figures.sends_in_flight), (0, 0));
        assert_eq!(house.gate.turns.available_permits(), turns);
    }

    #[tokio::test]
    async fn a_send_that_waits_for_something_else_than_a_thread_gives_its_turn_to_the_next() {
        let house = House::new(1000);
        house.is_late();
        let begun = Arc::new(AtomicUsize::new(0));
        let handler = {
            let begun = Arc::clone(&begun);
            async move || {
                begun.fetch_add(1, SeqCst);
                std::future::pending::<()>().await;
            }
        };
        let known = Arc::new(OnceLock::from(Arc::clone(&house.gate)));
        let slow = post(handler).route_layer(Entrance {
            gate: known,
            words: Arc::new(|_| Response::new(Body::empty())),
            room: None,
        });
        let house = House {
            router: Router::new().route("/send", slow),
            ..house
        };
        let mut tasks = JoinSet::new();
        for _ in 0..500 {
            house.ask(&mut tasks, "/send");
        }
        while begun.load(SeqCst) < 500 {
            tokio::task::yield_now().await;
        }
        assert_eq!(house.gate.figures().sends_in_flight, 500);
        tasks.shutdown().await;
    }
}
