//! A line between two that talk TCP, which the test can cut, freeze and hold up. Depends on nothing.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// The line; it ends when it is dropped, and what runs over it with it.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct State {
    /// How often the line was cut and frozen: what was born before is.
    cuts: u32,
    freezes: u32,
    stalled: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// A line to there; every connection to its own address goes on to it.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(State::default());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Who is not there refuses, so the line breaks.
                let Ok(far) = TcpStream::connect(target).await else { continue };
                tokio::spawn(join(near, far, seen.clone()));
            }
        });
        Self { address, state, task }
    }

    /// Every connection is reset; new ones work.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Every connection stays open and carries nothing any more, as when the other end has lost
    /// its power; new ones work.
    pub(crate) fn freeze(&self) {
        self.state.send_modify(|state| state.freezes += 1);
    }

    /// Nothing passes, on old and new connections, until it is told otherwise.
    pub(crate) fn stall(&self, stalled: bool) {
        self.state.send_modify(|state| state.stalled = stalled);
    }
}

async fn join(near: TcpStream, far: TcpStream, state: watch::Receiver<State>) {
    for end in [&near, &far] {
        // Dropped, it is reset.
        end.set_zero_linger().unwrap();
        end.set_nodelay(true).unwrap();
    }
    let born = *state.borrow();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_in, far_out, state.clone(), born) => {}
        () = pump(far_in, near_out, state.clone(), born) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    born: State,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let now = *state.borrow_and_update();
        if now.cuts > born.cuts {
            return;
        }
        if now.stalled || now.freezes > born.freezes {
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => if to.write_all(&buffer[..read]).await.is_err() { return },
            },
        }
    }
}
