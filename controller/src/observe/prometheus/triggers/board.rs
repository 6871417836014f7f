//! What was read last of each trigger, and in which order they are asked next.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use loadline_policies::reading::{Doubt, Observed};
use tokio::time::Instant;

use super::{Key, Query};

/// What was read last of each trigger.
#[derive(Debug, Default)]
pub(super) struct Board(HashMap<Key, Pinned>);

#[derive(Debug)]
struct Pinned {
    /// What was asked: a policy may have another query by now.
    query: Query,
    read: Observed<f64>,
    at: Instant,
}

impl Board {
    /// Forgets the triggers that are no more, and puts the others into the order of a round.
    ///
    /// Those that ran out of time come last, so that they delay each other only. Namespaces take turns, so that
    /// one with a hundred triggers does not come before one with a single one. Within a namespace, who was not
    /// asked for longest is first, so that nobody is left out for ever.
    pub(super) fn begin(&mut self, mut queries: Vec<(Key, Query)>) -> Vec<(Key, Query)> {
        let asked: HashSet<&Key> = queries.iter().map(|(key, _)| key).collect();
        self.0.retain(|key, _| asked.contains(key));
        let pinned = |key: &Key| self.0.get(key);
        queries.sort_by_key(|(key, _)| pinned(key).map(|p| p.at));
        let mut before: HashMap<(bool, Arc<str>), usize> = HashMap::new();
        let mut ordered: Vec<_> = queries
            .into_iter()
            .map(|(key, query)| {
                let slow = pinned(&key).is_some_and(|p| p.read == Err(Doubt::TimedOut));
                let turn = before.entry((slow, Arc::clone(&key.0.namespace))).or_default();
                *turn += 1;
                ((slow, *turn), (key, query))
            })
            .collect();
        ordered.sort_by_key(|(rank, _)| *rank);
        ordered.into_iter().map(|(_, asked)| asked).collect()
    }

    /// Keeps what was read.
    pub(super) fn pin(&mut self, key: Key, query: Query, read: Observed<f64>, at: Instant) {
        self.0.insert(key, Pinned { query, read, at });
    }

    /// What is known of a trigger; what hangs there for longer than `keep` is known no more.
    pub(super) fn read(&self, key: &Key, query: &Query, now: Instant, keep: Duration) -> Observed<f64> {
        if let Err(doubt) = &**query {
            return Err(doubt.clone());
        }
        match self.0.get(key).filter(|pinned| Arc::ptr_eq(&pinned.query, query)) {
            None => Err(Doubt::NotYetRead),
            Some(pinned) if now.saturating_duration_since(pinned.at) > keep => Err(Doubt::TimedOut),
            Some(pinned) => pinned.read.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use loadline_policies::{ids::PolicyKey, reading::Reading};

    use super::*;
    use crate::observe::prometheus::promql;

    fn key(policy: &str) -> Key {
        let (namespace, name) = policy.split_once('/').unwrap();
        (PolicyKey::new(namespace, name), "t".to_owned())
    }

    fn query() -> Query {
        Arc::new(Ok(promql::trigger("sum(x)", &[("namespace", "shop")]).unwrap()))
    }

    fn number(value: f64) -> Reading<f64> {
        Reading::complete(value, Timestamp::UNIX_EPOCH)
    }

    fn order(board: &mut Board, policies: &[&str]) -> Vec<String> {
        let ordered = board.begin(policies.iter().map(|p| (key(p), query())).collect());
        ordered.into_iter().map(|(key, _)| key.0.to_string()).collect()
    }

    #[test]
    fn namespaces_take_turns_and_who_ran_out_of_time_comes_last() {
        let (mut board, start) = (Board::default(), Instant::now());
        let policies = ["many/a", "many/b", "many/c", "one/a"];
        assert_eq!(order(&mut board, &policies), ["many/a", "one/a", "many/b", "many/c"]);
        // when one of many is slow, and another was answered before the others
        board.pin(key("many/a"), query(), Err(Doubt::TimedOut), start);
        board.pin(key("many/b"), query(), Ok(number(1.0)), start + Duration::from_secs(1));
        board.pin(key("many/c"), query(), Ok(number(1.0)), start);
        board.pin(key("one/a"), query(), Ok(number(1.0)), start + Duration::from_secs(2));
        assert_eq!(order(&mut board, &policies), ["many/c", "one/a", "many/b", "many/a"]);
    }

    #[test]
    fn who_was_not_asked_for_want_of_time_comes_first() {
        let mut board = Board::default();
        board.pin(key("shop/a"), query(), Ok(number(1.0)), Instant::now());
        assert_eq!(order(&mut board, &["shop/a", "shop/b"]), ["shop/b", "shop/a"]);
    }

    #[test]
    fn a_number_is_kept_for_a_while_and_for_its_own_query_only() {
        let (mut board, now, keep) = (Board::default(), Instant::now(), Duration::from_secs(10));
        let (mine, asked) = (key("shop/a"), query());
        assert_eq!(board.read(&mine, &asked, now, keep), Err(Doubt::NotYetRead));
        board.pin(mine.clone(), Arc::clone(&asked), Ok(number(7.0)), now);
        assert_eq!(board.read(&mine, &asked, now + keep, keep), Ok(number(7.0)));
        // too old to decide by
        let late = now + keep + Duration::from_millis(1);
        assert_eq!(board.read(&mine, &asked, late, keep), Err(Doubt::TimedOut));
        // the policy was edited: what was read answers another question
        assert_eq!(board.read(&mine, &query(), now, keep), Err(Doubt::NotYetRead));
    }

    #[test]
    fn triggers_that_are_no_more_are_forgotten() {
        let (mut board, now, asked) = (Board::default(), Instant::now(), query());
        board.pin(key("shop/a"), Arc::clone(&asked), Ok(number(7.0)), now);
        order(&mut board, &["shop/b"]);
        assert_eq!(board.read(&key("shop/a"), &asked, now, Duration::MAX), Err(Doubt::NotYetRead));
    }
}
