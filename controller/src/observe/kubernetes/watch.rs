//! Follows a kind: a watch with its initial list, for ever, through errors.

use std::{collections::HashMap, fmt, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, time};

use super::store::{Key, Store, Trouble};

/// A watch call is renewed after so many seconds; with bookmarks once a minute it holds few events anew.
const WATCH_SECONDS: u32 = 240;

/// Pauses after errors that may pass by themselves: doubled each time, up to the second.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Pause after an answer that only a person can change (RBAC, a CRD that is not installed).
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Fills `store` from the objects of `api`, reduced by `reduce`; tells `notify` what `changed` calls a change.
///
/// One object that is not of the schema must not stall the others: `K` is a `DeserializeGuard`, or a type
/// that reads anything.
pub(super) async fn follow<K, V>(
    api: Api<K>,
    store: Arc<Store<V>>,
    reduce: fn(K) -> V,
    changed: fn(Option<&V>, Option<&V>) -> bool,
    notify: Arc<Notify>,
) where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let mut streaming = true;
    let mut pause = PAUSES.0;
    loop {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let config = if streaming { config.streaming_lists() } else { config };
        let mut events = pin!(watcher(api.clone(), config));
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    pause = PAUSES.0;
                    take(event, &mut listed, &store, reduce, changed, &notify);
                }
                Err(error) if streaming && is_refused(&error) => {
                    tracing::info!(kind = store.kind(), "no streaming lists here: listing in pages");
                    streaming = false;
                    break;
                }
                Err(error) => {
                    let trouble = trouble(&error);
                    complain(&store, trouble, &error);
                    if trouble == Trouble::Away {
                        time::sleep(pause).await;
                        pause = (pause * 2).min(PAUSES.1);
                    } else {
                        time::sleep(PATIENCE).await;
                    }
                }
            }
        }
    }
}

fn take<K: Resource, V>(
    event: Event<K>,
    listed: &mut HashMap<Key, V>,
    store: &Store<V>,
    reduce: fn(K) -> V,
    changed: fn(Option<&V>, Option<&V>) -> bool,
    notify: &Notify,
) {
    let is_change = match event {
        Event::Init => {
            listed.clear();
            false
        }
        Event::InitApply(object) => {
            listed.insert(key(&object), reduce(object));
            false
        }
        Event::InitDone => {
            store.replace(std::mem::take(listed));
            true
        }
        Event::Apply(object) => {
            if store.trouble().is_some() {
                store.set_trouble(None);
            }
            store.put(key(&object), reduce(object), changed)
        }
        Event::Delete(object) => store.remove(&key(&object), changed),
    };
    if is_change {
        notify.notify_one();
    }
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (
        Arc::from(meta.namespace.as_deref().unwrap_or_default()),
        Arc::from(meta.name.as_deref().unwrap_or_default()),
    )
}

/// Whether the API server does not know streaming lists (before 1.32, or switched off).
fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(s)) if matches!(s.code, 400 | 422))
}

/// What an error of a watch means.
pub(super) fn trouble(error: &watcher::Error) -> Trouble {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    let code = match error {
        InitialListFailed(kube::Error::Api(s))
        | WatchStartFailed(kube::Error::Api(s))
        | WatchFailed(kube::Error::Api(s))
        | WatchError(s) => s.code,
        _ => 0,
    };
    match code {
        403 => Trouble::Forbidden,
        404 => Trouble::UnknownKind,
        _ => Trouble::Away,
    }
}

/// Logs a trouble when it begins or becomes another one.
fn complain<V>(store: &Store<V>, trouble: Trouble, error: &watcher::Error) {
    if store.trouble() == Some(trouble) {
        return;
    }
    store.set_trouble(Some(trouble));
    let (kind, error) = (store.kind(), error.to_string());
    match trouble {
        Trouble::Forbidden => tracing::warn!(
            kind,
            error,
            "not allowed to watch: grant verbs \"list\" and \"watch\", or take the kind out of scaleTargets"
        ),
        Trouble::UnknownKind => tracing::info!(kind, error, "the API server does not know this kind"),
        // An expired watch lists again: that is how watches work.
        Trouble::Away => tracing::debug!(kind, error, "watch interrupted"),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16) -> watcher::Error {
        watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(
            Status::failure("no", "R").with_code(code),
        )))
    }

    #[test]
    fn what_only_a_person_can_mend_is_told_from_what_passes() {
        assert_eq!(trouble(&api(403)), Trouble::Forbidden);
        assert_eq!(trouble(&api(404)), Trouble::UnknownKind);
        assert_eq!(trouble(&api(500)), Trouble::Away);
        assert_eq!(trouble(&watcher::Error::NoResourceVersion), Trouble::Away);
    }

    #[test]
    fn only_a_refused_request_means_no_streaming_lists() {
        assert!(is_refused(&api(422)));
        assert!(!is_refused(&api(403)));
        assert!(!is_refused(&api(500)));
    }
}
