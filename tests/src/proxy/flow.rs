//! Bytes between two connections, held back or slowed down.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

/// Chunks in flight per direction: 64 × 16 KiB is more than a socket buffer.
const IN_FLIGHT: usize = 64;
/// The largest chunk.
const CHUNK: u32 = 16 * 1024;

/// How bytes flow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flow {
    /// How much later what the upstream says arrives.
    pub(super) delay: Duration,
    /// The rate in each direction.
    pub(super) bytes_per_second: Option<u32>,
}

impl Flow {
    /// Carries bytes both ways until both sides have closed, or one broke. `asked` counts what the client sends.
    pub(super) async fn join(self, client: TcpStream, upstream: TcpStream, asked: &AtomicU64) {
        let (from_client, to_client) = client.into_split();
        let (from_upstream, to_upstream) = upstream.into_split();
        let there = Self { delay: Duration::ZERO, ..self };
        let count = || {
            asked.fetch_add(1, Ordering::SeqCst);
        };
        // An error of either direction ends both: what is dropped here is closed.
        let _ = tokio::try_join!(
            there.carry(from_client, to_upstream, count),
            self.carry(from_upstream, to_client, || {})
        );
    }

    /// Carries bytes one way; calls `heard` for each piece that came.
    async fn carry(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        heard: impl Fn(),
    ) -> io::Result<()> {
        // Reading goes on while earlier chunks wait: the delay is a latency, not a rate.
        let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
        // A tenth of a second's worth at a time, so that a slow flow is even.
        let size = self.bytes_per_second.map_or(CHUNK, |rate| (rate / 10).clamp(1, CHUNK));
        let read = async move {
            loop {
                let mut chunk = vec![0; size as usize];
                let n = from.read(&mut chunk).await?;
                chunk.truncate(n);
                if n > 0 {
                    heard();
                }
                if n == 0 || send.send((Instant::now() + self.delay, chunk)).await.is_err() {
                    return io::Result::Ok(());
                }
            }
        };
        let write = async move {
            while let Some((due, chunk)) = receive.recv().await {
                sleep_until(due).await;
                to.write_all(&chunk).await?;
                if let Some(rate) = self.bytes_per_second {
                    let bytes = u32::try_from(chunk.len()).unwrap_or(CHUNK);
                    sleep(Duration::from_secs_f64(f64::from(bytes) / f64::from(rate))).await;
                }
            }
            to.shutdown().await
        };
        tokio::try_join!(read, write).map(|_| ())
    }
}
