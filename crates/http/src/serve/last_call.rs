//! Closing a listener so that nobody who was told of a connection loses it.
//!
//! The system makes connections by itself, and breaks those that wait for the server when the listener closes:
//! also those that came since the server last looked. Their clients have sent a request by then, and cannot know
//! whether it is safe to send it again. So the system is asked first to make no more of them, which leaves those
//! who come to try again a second later, and then what has begun gets the time to come to its end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// How long connections that had begun get to be made: what most clients need for a way to the server and back.
const BEGUN: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(5);

/// Takes in who is there and who was about to be, then closes the listener.
pub(super) async fn last_call(tcp: TcpListener, mut admit: impl FnMut(TcpStream, SocketAddr)) {
    let end = Instant::now() + BEGUN;
    let comes_nobody = refuse_to_begin(&tcp);
    loop {
        while let Ok((tcp, peer)) = next_in_queue(&tcp) {
            admit(tcp, peer);
        }
        if comes_nobody.is_err() || Instant::now() >= end {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Has the system pass over who asks for a connection from now on; who does so asks again after a second
/// (RFC 6298 section 2.1).
#[cfg(target_os = "linux")]
fn refuse_to_begin(tcp: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    /// Where the flags are in the header of a segment, and two of them: RFC 9293 section 3.1.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // Instructions of <https://www.kernel.org/doc/html/latest/networking/filter.html>.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    SockRef::from(tcp).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn refuse_to_begin(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The next connection that the system has ready, without waiting. Tokio's own `poll_accept` would not
/// know of one that nobody has been woken for yet.
fn next_in_queue(tcp: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (tcp, peer) = tcp.accept()?;
    tcp.set_nonblocking(true)?;
    Ok((TcpStream::from_std(tcp)?, peer))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::TcpStream as Client;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::net::TcpSocket;

    use super::*;
    use crate::serve::BACKLOG;

    /// What surely fits in the queue.
    const ROOM: usize = BACKLOG as usize - 96;

    fn listener() -> (TcpListener, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // Whoever finds a full queue is told of a connection that is none.
        let tcp = socket.listen(BACKLOG).unwrap();
        let address = tcp.local_addr().unwrap();
        (tcp.into_std().unwrap(), address)
    }

    #[tokio::test]
    async fn who_was_connected_is_taken_in_and_who_comes_is_told_of_no_connection() {
        let (tcp, address) = listener();
        let early = Client::connect(address).unwrap();
        refuse_to_begin(&tcp).unwrap();
        let late = || Client::connect_timeout(&address, Duration::from_millis(200));
        assert_eq!(late().unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut taken = Vec::new();
        last_call(tcp, |_, peer| taken.push(peer)).await;
        assert_eq!(taken, [early.local_addr().unwrap()]);
        let closed = late().unwrap_err().kind();
        assert_eq!(closed, io::ErrorKind::ConnectionRefused);
    }

    /// Whoever is told of a connection has it, however many come while the listener closes.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_connection_is_lost_to_the_end_of_its_listener() {
        for _ in 0..10 {
            let (tcp, address) = listener();
            let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
            let seen = Arc::clone(&counts);
            let come = move || {
                let [made, taken] = &*seen;
                let patience = Duration::from_millis(200);
                loop {
                    // However late somebody looks: a queue that is full tells of connections that are none.
                    while made.load(Relaxed) > taken.load(Relaxed) + ROOM {
                        std::thread::yield_now();
                    }
                    if Client::connect_timeout(&address, patience).is_err() {
                        return;
                    }
                    made.fetch_add(1, Relaxed);
                }
            };
            let crowd = [(); 4].map(|()| std::thread::spawn(come.clone()));
            sleep(LOOK).await;
            let [made, taken] = &*counts;
            last_call(tcp, |_, _| _ = taken.fetch_add(1, Relaxed)).await;
            for one in crowd {
                one.join().unwrap();
            }
            assert_eq!(taken.load(Relaxed), made.load(Relaxed));
        }
    }
}
