//! One node cannot reach the store any more, and the others can.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Fleet, POLICY, Storage, kind, on_every_store, until};

// A cluster tells its clients of ways of its own.
on_every_store!(@ postgres a_node_that_is_cut_off_refuses_and_comes_back_while_others_go_on);
on_every_store!(@ redis a_node_that_is_cut_off_refuses_and_comes_back_while_others_go_on);

/// A way to a store that can be cut as networks are: nothing is refused, and nothing arrives until
/// it is mended.
struct Way {
    address: String,
    cut: Cut,
}

/// Whether it is cut.
pub(super) type Cut = Arc<watch::Sender<bool>>;

impl Way {
    async fn to(store: String) -> Self {
        let cut = Arc::new(watch::Sender::new(false));
        let address = way_to(store, Arc::clone(&cut), |_| true).await.to_string();
        Self { address, cut }
    }
}

/// A way to a server, of which those are cut that come from where `crosses` says.
pub(super) async fn way_to(
    server: String,
    cut: Cut,
    crosses: impl Fn(IpAddr) -> bool + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = watch::Sender::new(false);
    tokio::spawn(async move {
        loop {
            let (near, from) = listener.accept().await.unwrap();
            let state = if crosses(from.ip()) { &*cut } else { &never };
            let Ok(far) = TcpStream::connect(&server).await else {
                continue;
            };
            let (near_out, near_in) = near.into_split();
            let (far_out, far_in) = far.into_split();
            tokio::spawn(carry(near_out, far_in, state.subscribe()));
            tokio::spawn(carry(far_out, near_in, state.subscribe()));
        }
    });
    address
}
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    let _ = cut.wait_for(|cut| !cut).await;
}

async fn a_node_that_is_cut_off_refuses_and_comes_back_while_others_go_on(storage: Storage) {
    let storage = storage.with_usual_patience();
    let (login, rest) = storage.url.split_once("127.0.0.1").unwrap();
    let (port, rest) = rest.split_at(rest.find(['/', '?']).unwrap());
    let way = Way::to(format!("127.0.0.1{port}")).await;
    let over_it = format!("{login}{}{rest}", way.address);
    let mut fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 1).await;
    let node = fleet.serve_over(1, &over_it);
    fleet.callers.push(fleet.callers[0].at(&node));
    fleet.nodes.push(node);
    let [well, cut_off] = &fleet.callers[..] else {
        panic!("two nodes")
    };
    let (id, code) = fleet.begin("+12015550101").await;
    assert_eq!(cut_off.start("+12015550102").await.status, 201);

    way.cut.send_replace(true);
    let (started, checked) = tokio::join!(cut_off.start("+12015550103"), async {
        cut_off.check(&id, &code).await
    });
    for refused in [started, checked] {
        assert_eq!(kind(&refused), "503 storage-unavailable");
    }
    assert!(fleet.codes("+12015550103").is_empty());
    assert_eq!(well.start("+12015550104").await.status, 201);
    assert_eq!(well.check(&id, &code).await.status, 200);

    way.cut.send_replace(false);
    // A new recipient each time: those before may have used up their slots.
    let next = std::sync::atomic::AtomicU32::new(0);
    until(201, || async {
        let next = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        cut_off.start(&format!("+1202555{next:04}")).await
    })
    .await;
    assert_eq!(kind(&cut_off.check(&id, &code).await), "404 not-found");
}
