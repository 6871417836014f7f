//! The guard: the last thing before a write leaves the process asks the permit.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use http::{Method, Request, Uri, uri::PathAndQuery};
use tokio::time;
use tower::{BoxError, Layer, Service};

use crate::lease::{Permit, PermitLapsed, Window};

/// Guards a client with a permit.
#[derive(Clone)]
pub struct GuardLayer {
    permit: Permit,
}

impl GuardLayer {
    /// A guard that asks this permit.
    #[must_use]
    pub const fn new(permit: Permit) -> Self {
        Self { permit }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, permit: self.permit.clone() }
    }
}

/// A client that writes only under the permit.
pub struct Guard<S> {
    inner: S,
    permit: Permit,
}

/// A write that took longer than its time-out; whether it was done is not known.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {seconds} s; whether the write was done is not known")]
pub(super) struct WriteTimedOut {
    seconds: u64,
}

type Answer<R> = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>>,
    S::Response: 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            let call = self.inner.call(request);
            return Box::pin(async move { call.await.map_err(Into::into) });
        }
        let window = match self.permit.window() {
            Ok(window) => window,
            Err(lapsed) => return Box::pin(async move { Err(lapsed.into()) }),
        };
        let timeout = self.permit.write_timeout();
        *request.uri_mut() = with_timeout(request.uri(), timeout.as_secs());
        let call = self.inner.call(request);
        Box::pin(async move {
            match time::timeout(timeout, in_window(call, &window)).await {
                Ok(answer) => answer,
                Err(_) => Err(WriteTimedOut { seconds: timeout.as_secs() }.into()),
            }
        })
    }
}

/// Asks before every step of the call whether its window is still open: a process that was stopped between
/// the check of the permit and the send must not go on with it.
async fn in_window<R, E: Into<BoxError>>(
    call: impl Future<Output = Result<R, E>>,
    window: &Window,
) -> Result<R, BoxError> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        if window.is_over() {
            return Poll::Ready(Err(PermitLapsed.into()));
        }
        call.as_mut().poll(cx).map_err(Into::into)
    })
    .await
}

/// Tells the API server the time-out too, so that it gives up what we have given up.
fn with_timeout(uri: &Uri, seconds: u64) -> Uri {
    let separator = if uri.query().is_some_and(|q| !q.is_empty()) { '&' } else { '?' };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str).trim_end_matches(['?', '&']);
    let mut parts = uri.clone().into_parts();
    match PathAndQuery::try_from(format!("{path}{separator}timeout={seconds}s")) {
        Ok(longer) => parts.path_and_query = Some(longer),
        Err(error) => tracing::error!(%uri, %error, "the time-out cannot be added to the address"),
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    use jiff::Timestamp;
    use loadline_policies::now::{Mono, Now};
    use tower::ServiceExt as _;
    use tower_test::mock;

    use super::*;
    use crate::ports::Clock;

    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn now(&self) -> Now {
            Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(self.0.load(Ordering::SeqCst)))
        }
    }

    type Server = mock::Handle<Request<String>, &'static str>;
    type Client = Guard<mock::Mock<Request<String>, &'static str>>;

    fn guarded(deadline: u64) -> (Client, Server, Arc<Seconds>) {
        let clock = Arc::new(Seconds(AtomicU64::new(100)));
        let permit = Permit::new(clock.clone(), Duration::from_secs(5));
        permit.set(Some(Mono(Duration::from_secs(deadline))));
        let (service, server) = mock::pair();
        (GuardLayer::new(permit).layer(service), server, clock)
    }

    fn request(method: Method, uri: &str) -> Request<String> {
        Request::builder().method(method).uri(uri).body(String::new()).unwrap()
    }

    #[tokio::test]
    async fn a_write_without_a_permit_never_reaches_the_wire() {
        let (guard, mut server, _) = guarded(104);
        let error = guard.oneshot(request(Method::PUT, "/scale")).await.unwrap_err();
        assert!(error.is::<PermitLapsed>());
        assert!(server.next_request().await.is_none());
    }

    #[tokio::test]
    async fn a_read_needs_no_permit() {
        let (guard, mut server, _) = guarded(0);
        let call = tokio::spawn(guard.oneshot(request(Method::GET, "/scale")));
        let (seen, send) = server.next_request().await.unwrap();
        assert_eq!(seen.uri(), "/scale");
        send.send_response("read");
        assert_eq!(call.await.unwrap().unwrap(), "read");
    }

    #[tokio::test]
    async fn a_permitted_write_tells_its_time_out_to_the_server() {
        let (guard, mut server, _) = guarded(105);
        let call = tokio::spawn(guard.oneshot(request(Method::PUT, "/scale?fieldManager=x")));
        let (seen, send) = server.next_request().await.unwrap();
        assert_eq!(seen.uri(), "/scale?fieldManager=x&timeout=5s");
        send.send_response("written");
        assert_eq!(call.await.unwrap().unwrap(), "written");
    }

    #[tokio::test]
    async fn a_process_that_wakes_after_its_window_does_not_go_on() {
        let (mut guard, mut server, clock) = guarded(200);
        let call = guard.ready().await.unwrap().call(request(Method::PUT, "/scale"));
        clock.0.store(160, Ordering::SeqCst);
        assert!(call.await.unwrap_err().is::<PermitLapsed>());
        drop(guard);
        assert!(server.next_request().await.is_none_or(|(_, answer)| answer_is_void(answer)));
    }

    /// The mock counts the call as made when the future is created; nobody waits for its answer.
    fn answer_is_void(answer: mock::SendResponse<&'static str>) -> bool {
        answer.send_response("too late");
        true
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_hangs_is_given_up() {
        let (guard, _server, _) = guarded(200);
        let error = guard.oneshot(request(Method::PATCH, "/scale")).await.unwrap_err();
        assert!(error.is::<WriteTimedOut>());
    }
}
