//! Stories of one elector; `model.rs` has all interleavings of two.

use super::*;

fn at(secs: u64) -> Mono {
    Mono(Duration::from_secs(1_000 + secs))
}

fn elector() -> Elector {
    Elector::new("a".into(), Timing::default())
}

fn held_by(holder: &str, beat: &str) -> Record {
    Record { holder: Some(holder.into()), beat: beat.into(), transitions: 0, version: beat.into() }
}

/// Reads the same answer every two seconds, from `from` to `to`.
fn watch(elector: &mut Elector, record: &Record, from: u64, to: u64) {
    for second in (from..=to).step_by(2) {
        elector.on(Event::Read(Some(record.clone())), at(second));
    }
}

fn leader(sent: u64) -> Elector {
    let mut e = elector();
    e.on(Event::Read(None), at(sent));
    e.on(written(Claim::Take, "1", sent), at(sent + 1));
    e
}

fn written(claim: Claim, beat: &str, sent: u64) -> Event {
    Event::Written { claim, record: held_by("a", beat), sent: at(sent) }
}

#[test]
fn given_no_lease_then_it_is_created_at_once() {
    let mut e = elector();
    assert_eq!(e.next(at(0)), Step::Read);
    e.on(Event::Read(None), at(0));
    assert!(matches!(e.next(at(0)), Step::Write(Write { claim: Claim::Take, version: None, .. })));
}

#[test]
fn the_permit_counts_from_before_the_write_was_sent() {
    assert_eq!(leader(0).permit(), Some(at(0).plus(Timing::default().permit())));
}

#[test]
fn the_holder_renews_before_its_permit_closes_for_writes() {
    let (e, t) = (leader(0), Timing::default());
    assert_eq!(e.next(at(1)), Step::Wait(at(0).plus(t.renew)));
    assert!(matches!(e.next(at(5)), Step::Write(Write { claim: Claim::Renew, .. })));
    assert!(t.renew < t.permit().saturating_sub(t.write_timeout), "writes never pause between renewals");
}

#[test]
fn a_lease_that_changes_is_never_taken() {
    let mut e = elector();
    for beat in 0..20_u32 {
        let now = at(u64::from(beat) * 5);
        e.on(Event::Read(Some(held_by("b", &beat.to_string()))), now);
        assert!(matches!(e.next(now), Step::Wait(_)));
    }
}

#[test]
fn a_silent_lease_is_taken_after_its_full_length_and_under_twenty_seconds() {
    let mut e = elector();
    let silent = held_by("b", "9");
    watch(&mut e, &silent, 0, 14);
    assert_eq!(e.next(at(14)), Step::Wait(at(15)));
    let Step::Write(write) = e.next(at(15)) else { panic!("takes over") };
    assert_eq!((write.claim, write.transitions), (Claim::Take, 1));
    let t = Timing::default();
    assert!(t.lease + t.poll * 5 / 4 < Duration::from_secs(20));
}

#[test]
fn an_outage_of_the_api_server_gives_the_holder_a_full_lease_again() {
    let mut e = elector();
    let silent = held_by("b", "9");
    watch(&mut e, &silent, 0, 4);
    for second in (6..60).step_by(7) {
        e.on(Event::Failed, at(second));
    }
    e.on(Event::Read(Some(silent.clone())), at(61));
    assert!(matches!(e.next(at(61)), Step::Wait(_)), "seen again only now");
    watch(&mut e, &silent, 63, 75);
    assert!(matches!(e.next(at(76)), Step::Write(_)));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut e = elector();
    e.on(Event::Read(Some(Record { holder: None, ..held_by("b", "9") })), at(0));
    assert!(matches!(e.next(at(0)), Step::Write(Write { claim: Claim::Take, .. })));
}

#[test]
fn a_lease_deleted_under_a_holder_is_not_taken_before_its_permit_must_have_ended() {
    let mut e = elector();
    e.on(Event::Read(Some(held_by("b", "1"))), at(0));
    for second in (2..=16).step_by(2) {
        e.on(Event::Read(None), at(second));
        assert!(matches!(e.next(at(second)), Step::Wait(_)), "{second}");
    }
    assert!(matches!(e.next(at(17)), Step::Write(Write { version: None, .. })));
}

#[test]
fn another_holder_ends_a_process_that_has_led() {
    let mut e = leader(0);
    e.on(Event::Conflict, at(6));
    assert_eq!(e.next(at(6)), Step::Read);
    e.on(Event::Read(Some(held_by("b", "7"))), at(6));
    assert_eq!(e.next(at(6)), Step::Lost(Some("b".into())));
    assert_eq!(e.permit(), None);
}

#[test]
fn another_holder_that_has_let_go_again_ends_a_process_that_has_led() {
    // Given a leader that was cut off, while another process took over, scaled, and ended in good order.
    let mut e = leader(0);
    e.on(Event::Failed, at(10));
    let released = Record { holder: None, transitions: 2, ..held_by("b", "9") };
    e.on(Event::Read(Some(released)), at(70));
    assert_eq!(e.next(at(70)), Step::Lost(None), "it does not go on with its old memory");
    assert_eq!(e.permit(), None);
}

#[test]
fn a_lease_that_was_made_anew_and_released_meanwhile_ends_it_too() {
    // Given that somebody deleted the lease: the changes of hands are counted from 0 again.
    let mut e = leader(0);
    e.on(Event::Failed, at(10));
    e.on(Event::Read(Some(Record { holder: None, ..held_by("b", "9") })), at(70));
    assert_eq!(e.next(at(70)), Step::Lost(None));
}

#[test]
fn a_holder_that_could_not_renew_reads_and_renews_when_the_api_server_is_back() {
    let mut e = leader(0);
    e.on(Event::Failed, at(10));
    assert_eq!(e.next(at(12)), Step::Read);
    e.on(Event::Read(Some(held_by("a", "1"))), at(70));
    assert!(matches!(e.next(at(70)), Step::Write(Write { claim: Claim::Renew, .. })));
    e.on(written(Claim::Renew, "2", 70), at(71));
    assert!(e.permit() > Some(at(80)));
}

#[test]
fn on_stop_the_permit_ends_first_and_the_lease_is_released_once() {
    let mut e = leader(0);
    e.stop(at(3));
    assert_eq!(e.permit(), None);
    assert!(matches!(e.next(at(3)), Step::Write(Write { claim: Claim::Release, .. })));
    e.on(Event::Failed, at(4));
    assert_eq!(e.next(at(4)), Step::Released);
}

#[test]
fn a_process_that_stands_by_has_nothing_to_release() {
    let mut e = elector();
    e.on(Event::Read(Some(held_by("b", "1"))), at(0));
    e.stop(at(1));
    assert_eq!(e.next(at(1)), Step::Released);
}
