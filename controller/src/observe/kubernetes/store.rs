//! A cache of one kind, filled by a watch and read by the loop.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Namespace (empty for kinds without) and name.
pub(super) type Key = (Arc<str>, Arc<str>);

/// Objects of one kind by namespace and name, reduced to what the loop needs.
#[derive(Debug)]
pub(super) struct Store<V> {
    kind: String,
    inner: RwLock<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    objects: HashMap<Key, V>,
    synced: bool,
    trouble: Option<Trouble>,
}

/// Why a watch does not work now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// RBAC says no.
    Forbidden,
    /// The API server does not know the kind.
    UnknownKind,
    /// No connection, or an answer that cannot be used.
    Away,
}

impl<V> Store<V> {
    /// An empty cache.
    pub(super) fn new(kind: &str) -> Self {
        let inner = Inner { objects: HashMap::new(), synced: false, trouble: None };
        Self { kind: kind.to_owned(), inner: RwLock::new(inner) }
    }

    /// The kind, for people.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether the initial list was complete once.
    pub(super) fn is_synced(&self) -> bool {
        self.read().synced
    }

    /// Why the watch does not work now, if it does not.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.read().trouble
    }

    /// Notes why the watch does not work, or that it does again. What was seen is kept: fail static.
    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.write().trouble = trouble;
    }

    /// Calls `f` with every object.
    pub(super) fn each(&self, mut f: impl FnMut(&Key, &V)) {
        self.read().objects.iter().for_each(|(key, value)| f(key, value));
    }

    /// Puts an object in; `changed` compares it with what was there.
    pub(super) fn put(&self, key: Key, value: V, changed: impl Fn(Option<&V>, Option<&V>) -> bool) -> bool {
        let mut inner = self.write();
        let is_change = changed(inner.objects.get(&key), Some(&value));
        inner.objects.insert(key, value);
        is_change
    }

    /// Takes an object out; `changed` compares nothing with what was there.
    pub(super) fn remove(&self, key: &Key, changed: impl Fn(Option<&V>, Option<&V>) -> bool) -> bool {
        let before = self.write().objects.remove(key);
        changed(before.as_ref(), None)
    }

    /// Replaces everything by a complete list.
    pub(super) fn replace(&self, objects: HashMap<Key, V>) {
        let mut inner = self.write();
        inner.objects = objects;
        inner.synced = true;
        inner.trouble = None;
    }

    // A panic while the lock was held cannot leave a map half written in a way that reading it is unsound.
    fn read(&self) -> RwLockReadGuard<'_, Inner<V>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<V>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> Store<V> {
    /// One object.
    pub(super) fn get(&self, key: &Key) -> Option<V> {
        self.read().objects.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("shop".into(), name.into())
    }

    fn differ(a: Option<&u32>, b: Option<&u32>) -> bool {
        a != b
    }

    #[test]
    fn a_list_replaces_what_is_not_in_it() {
        let store = Store::new("Deployment");
        store.put(key("a"), 1, differ);
        store.replace(HashMap::from([(key("b"), 2)]));
        assert_eq!(store.get(&key("a")), None);
        assert_eq!(store.get(&key("b")), Some(2));
        assert!(store.is_synced());
    }

    #[test]
    fn only_what_counts_as_a_change_is_one() {
        let store = Store::new("Deployment");
        assert!(store.put(key("a"), 1, differ));
        assert!(!store.put(key("a"), 1, differ));
        assert!(store.put(key("a"), 2, differ));
        assert!(store.remove(&key("a"), differ));
        assert!(!store.remove(&key("a"), differ));
    }

    #[test]
    fn what_was_seen_is_kept_while_the_watch_is_in_trouble() {
        let store = Store::new("Deployment");
        store.replace(HashMap::from([(key("a"), 1)]));
        store.set_trouble(Some(Trouble::Away));
        assert_eq!(store.get(&key("a")), Some(1));
        assert!(store.is_synced());
    }
}
