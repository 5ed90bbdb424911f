//! A desk for each party: threads of its own, on which its calls are worked on. The kernel shares the
//! processors between threads fairly, and lets go first who has waited: who calls without end keeps
//! its own desk busy and nobody else's. Depends on tokio only.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    mem,
    num::NonZero,
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::{Builder, Handle, Runtime},
    task::spawn_blocking,
};

/// The desks, by party.
pub(super) struct Desks(HashMap<String, Runtime>);

/// Where hands are shaken, and for those whose certificate is no party's.
pub(super) const DOOR: &str = "";

impl Desks {
    /// Opens a desk for each party.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub(super) fn open<'a>(parties: impl Iterator<Item = &'a str>) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let desk = |party: &str| {
            let desk = Builder::new_multi_thread()
                .worker_threads((cores / 2).clamp(1, MOST))
                .thread_name(format!("desk-{party}"))
                .enable_all()
                .build()?;
            Ok((party.to_owned(), desk))
        };
        Ok(Self(parties.chain([DOOR]).map(desk).collect::<io::Result<_>>()?))
    }

    /// Where a party's calls are worked on; of who is no party, at the door.
    pub(super) fn of(&self, party: &str) -> Handle {
        let desk = self.0.get(party).or_else(|| self.0.get(DOOR));
        desk.map_or_else(Handle::current, |desk| desk.handle().clone())
    }

    /// Ends the threads; what still runs on them is given up when the time is over.
    pub(super) async fn close(mut self, longest: Duration) {
        let until = Instant::now() + longest;
        let desks = mem::take(&mut self.0);
        let close = move || {
            for desk in desks.into_values() {
                desk.shutdown_timeout(until.saturating_duration_since(Instant::now()));
            }
        };
        if spawn_blocking(close).await.is_err() {
            tracing::error!("the desks could not be closed");
        }
    }
}

impl Drop for Desks {
    /// Of a service that ends without closing them: a task may not wait for threads.
    fn drop(&mut self) {
        for (_, desk) in mem::take(&mut self.0) {
            desk.shutdown_background();
        }
    }
}

/// Threads of a desk where there are many processors: more calls than these can work on are more
/// than one store writes.
const MOST: usize = 4;

/// A connection that can be taken from the thread that shook hands to a desk.
pub(super) struct Socket(Option<TcpStream>);

impl Socket {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    /// From now on the current thread is woken when there is something to read.
    ///
    /// # Errors
    /// The system cannot watch the connection.
    pub(super) fn arrive(&mut self) -> io::Result<()> {
        if let Some(stream) = self.0.take() {
            self.0 = Some(TcpStream::from_std(stream.into_std()?)?);
        }
        Ok(())
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.get_mut().0.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_connection_goes_on_at_the_desk_of_its_party() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut socket = Socket::new(listener.accept().await.unwrap().0);
        caller.write_all(b"one").await.unwrap();
        let mut three = [0; 3];
        socket.read_exact(&mut three).await.unwrap();
        let desks = Desks::open(["44"].into_iter()).unwrap();
        let desk = desks.of("44");
        // Sent while the connection is between two threads.
        caller.write_all(b"two").await.unwrap();
        let work = desk.spawn(async move {
            socket.arrive().unwrap();
            let mut three = [0; 3];
            socket.read_exact(&mut three).await.unwrap();
            socket.write_all(&three).await.unwrap();
            thread::current().name().map(str::to_owned)
        });
        caller.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"two");
        assert_eq!(work.await.unwrap().as_deref(), Some("desk-44"));
        desks.close(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn a_busy_desk_is_no_other_party_s() {
        let desks = Desks::open(["44", "23"].into_iter()).unwrap();
        let (free, busy) = std::sync::mpsc::channel::<()>();
        let stuck = desks.of("44").spawn(async move { busy.recv().is_err() });
        let quick = desks.of("23").spawn(async { 1 });
        assert_eq!(quick.await.unwrap(), 1);
        assert_eq!(desks.of("unknown").spawn(async { 2 }).await.unwrap(), 2);
        drop(free);
        assert!(stuck.await.unwrap());
        desks.close(Duration::from_secs(5)).await;
    }
}
