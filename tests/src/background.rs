//! A small runtime of its own for what must outlive the test that started it: each `#[tokio::test]` has its
//! runtime, and ends the tasks on it, but a proxy or an emulator may be shared by all tests of a binary.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime with one worker thread; its tasks end when it is dropped.
#[derive(Debug)]
pub struct Background(Option<Runtime>);

impl Background {
    /// Starts it; `name` is that of its thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(name: &str) -> io::Result<Self> {
        Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }

    /// Spawns a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(handle) = self.handle() {
            handle.spawn(task);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A blocking shutdown would panic inside another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
