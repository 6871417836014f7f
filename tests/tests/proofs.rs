//! Every long proof at a tenth of its size, so that none rots; `tests/prove NAME` runs it at full size.

use loadline_tests::proofs::{self, Scale};

#[tokio::test]
async fn only_the_holder_of_the_lease_writes_whatever_happens_to_it() {
    proofs::run("election", Scale::TENTH).await.unwrap();
}

#[tokio::test]
async fn many_policies_are_followed_with_few_queries_and_rest_without_a_write() {
    proofs::run("fleet", Scale::TENTH).await.unwrap();
}

#[tokio::test]
async fn fewer_violations_than_hpa_at_the_same_cost() {
    proofs::run("frontier", Scale::TENTH).await.unwrap();
}

#[tokio::test]
async fn a_morning_finds_its_replicas_ready() {
    proofs::run("ramp", Scale::TENTH).await.unwrap();
}

#[tokio::test]
async fn a_replayed_load_is_followed() {
    proofs::run("replay", Scale::TENTH).await.unwrap();
}

#[tokio::test]
async fn a_step_of_the_load_is_followed() {
    proofs::run("step", Scale::TENTH).await.unwrap();
}
