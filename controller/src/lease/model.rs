//! Model check of the elector: never two valid permits at once, and nobody leads on with a memory that another one
//! has overtaken, whatever happens to two processes.
//!
//! The model drives the real [`Elector`] in whole units of time and visits *every* reachable state: times are
//! kept relative to now and versions are renumbered, so that there are finitely many and no horizon is needed.
//! A process that is well acts when it is due, and its requests take less than a unit. Faults, of which a run
//! has a few at any moment: a process is stopped (SIGSTOP) for any time and goes on, also between sending and
//! its answer; it crashes, or ends in good order and releases the lease, and is started again; the API server is away for any time; a request is lost before
//! or after the API server did it, or is done at any time after the client gave up; a clock stands still for
//! a unit. Two processes, as the chart runs; one fault together with a drift, and two faults, are exhausted.

use std::{sync::Arc, time::Duration};

use loadline_policies::now::Mono;
use stateright::{Checker, Model, Property};

use super::elector::{Claim, Elector, Event, Record, Step, Timing, Write};

const UNIT: Duration = Duration::from_secs(1);
/// "Now" of every process in every state; all times are relative to it.
const NOW: Mono = Mono(Duration::from_secs(1_000));

/// The timing of production in miniature; a margin of 1 is a third of the lease.
fn timing(margin: u32) -> Timing {
    Timing { lease: UNIT * 3, renew: UNIT, poll: UNIT, write_timeout: Duration::ZERO, margin: UNIT * margin }
}

/// A write of the lease on its way: not yet at the server, or answered and on its way back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Flight {
    Asked { write: Write, sent: Mono },
    Answered(Event),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    elector: Elector,
    flight: Option<Flight>,
    /// Something was sent, and no time has passed since.
    fresh: bool,
    /// SIGSTOP.
    stopped: bool,
    /// Another one has become the holder since this process last was.
    overtaken: bool,
}

impl Process {
    fn new(name: &str, timing: Timing) -> Self {
        let elector = Elector::new(name.into(), timing);
        Self { elector, flight: None, fresh: false, stopped: false, overtaken: false }
    }

    /// The process dies and another is started in its place, under another name.
    fn restarted(&self) -> Self {
        Self::new(&format!("{}'", self.elector.identity()), self.elector.timing())
    }

    fn has_permit(&self) -> bool {
        self.elector.permit().is_some_and(|deadline| NOW < deadline)
    }

    fn has_led(&self) -> bool {
        self.elector.has_led()
    }

    fn on(&mut self, event: Event) {
        self.elector.on(event, NOW);
    }

    /// Whether it would act before any time passes: an answer may take up to a unit.
    fn is_due(&self) -> bool {
        let waits = matches!(self.elector.next(NOW), Step::Wait(_));
        !self.stopped && if self.flight.is_some() { !self.fresh } else { !waits }
    }

    fn age(&mut self) {
        self.fresh = false;
        let oldest = NOW.minus(self.elector.timing().lease);
        self.elector = self.elector.clone().aged(UNIT, NOW);
        if let Some(Flight::Asked { sent, .. } | Flight::Answered(Event::Written { sent, .. })) =
            &mut self.flight
        {
            *sent = sent.minus(UNIT).max(oldest);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    processes: [Process; 2],
    lease: Option<Record>,
    /// A write whose client gave up and that the server may still do.
    late: Option<(Arc<str>, Write)>,
    /// The API server does not answer.
    away: bool,
    faults: u8,
    drift: u8,
}

impl World {
    /// The server does a write, if nothing has changed since what it carries was read.
    fn serve(&mut self, who: &Arc<str>, write: &Write, sent: Mono) -> Event {
        if self.lease.as_ref().map(|r| &r.version) != write.version.as_ref() {
            return Event::Conflict;
        }
        let version: Arc<str> = "new".into();
        let record = Record {
            holder: (write.claim != Claim::Release).then(|| Arc::clone(who)),
            beat: Arc::clone(&version),
            transitions: write.transitions,
            version,
        };
        if write.claim == Claim::Take {
            for p in self.processes.iter_mut().filter(|p| p.elector.identity() != who) {
                p.overtaken |= p.has_led();
            }
        }
        self.lease = Some(record.clone());
        Event::Written { claim: write.claim, record, sent }
    }

    /// Renumbers versions by where they are found, so that worlds that differ only in them are one state.
    fn canonical(mut self) -> Self {
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut rename = |version: &mut Arc<str>| {
            let known = names.iter().position(|n| n == version).unwrap_or_else(|| {
                names.push(Arc::clone(version));
                names.len() - 1
            });
            *version = known.to_string().into();
        };
        let mut record = |r: &mut Record| {
            rename(&mut r.version);
            r.beat = Arc::clone(&r.version);
        };
        self.lease.iter_mut().for_each(&mut record);
        for p in &mut self.processes {
            p.elector.records().into_iter().for_each(&mut record);
            if let Some(Flight::Answered(Event::Read(Some(r)) | Event::Written { record: r, .. })) =
                &mut p.flight
            {
                record(r);
            }
        }
        let asked = self.processes.iter_mut().filter_map(|p| match &mut p.flight {
            Some(Flight::Asked { write, .. }) => Some(write),
            _ => None,
        });
        for write in asked.chain(self.late.as_mut().map(|(_, write)| write)) {
            write.version.iter_mut().for_each(&mut rename);
        }
        self.count_from_zero()
    }

    /// Counts changes of hands from the lowest number that anybody knows: only differences decide anything.
    fn count_from_zero(mut self) -> Self {
        let mut known: Vec<&mut i32> = Vec::new();
        known.extend(self.lease.as_mut().map(|r| &mut r.transitions));
        known.extend(self.late.as_mut().map(|(_, write)| &mut write.transitions));
        for p in &mut self.processes {
            let (record, term) = p.elector.counts();
            known.extend(record);
            known.extend(term);
            known.extend(match &mut p.flight {
                Some(Flight::Asked { write, .. }) => Some(&mut write.transitions),
                Some(Flight::Answered(Event::Read(Some(r)) | Event::Written { record: r, .. })) => {
                    Some(&mut r.transitions)
                }
                _ => None,
            });
        }
        let lowest = known.iter().map(|n| **n).min().unwrap_or(0);
        for n in known {
            *n -= lowest;
        }
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// A unit of time passes on all clocks, but not on the one named.
    Tick(Option<usize>),
    /// The elector is asked and a request is sent. A read is served at once: its delay is before or after.
    Send(usize),
    /// The server does what was asked.
    Serve(usize),
    /// The answer arrives.
    Answer(usize),
    /// The client gives up; the flag says that the server may still do it later.
    GiveUp(usize, bool),
    /// The server does a request whose client gave up.
    ServeLate,
    /// The process dies and is started again.
    Crash(usize),
    /// The process is asked to end: it lets go of the lease, and is started again.
    End(usize),
    /// SIGSTOP, or SIGCONT.
    Stop(usize),
    /// The API server goes away, or comes back.
    Away,
}

struct Election {
    timing: Timing,
    faults: u8,
    drift: u8,
}

fn send(world: &mut World, i: usize) -> Option<()> {
    let lease = world.lease.clone();
    let p = &mut world.processes[i];
    match p.elector.next(NOW) {
        Step::Read if world.away => p.flight = Some(Flight::Answered(Event::Failed)),
        Step::Read => p.flight = Some(Flight::Answered(Event::Read(lease))),
        Step::Write(write) => p.flight = Some(Flight::Asked { write, sent: NOW }),
        Step::Lost(_) | Step::Released => *p = p.restarted(),
        Step::Wait(_) => return None,
    }
    p.fresh = true;
    Some(())
}

fn serve(world: &mut World, i: usize) -> Option<()> {
    let Some(Flight::Asked { write, sent }) = world.processes[i].flight.clone() else { return None };
    let who = Arc::clone(world.processes[i].elector.identity());
    let answer = if world.away { Event::Failed } else { world.serve(&who, &write, sent) };
    world.processes[i].flight = Some(Flight::Answered(answer));
    Some(())
}

fn give_up(world: &mut World, i: usize, later: bool) -> Option<()> {
    let p = &mut world.processes[i];
    match (p.flight.take()?, later) {
        (Flight::Asked { write, .. }, true) => world.late = Some((Arc::clone(p.elector.identity()), write)),
        (Flight::Answered(_), true) => return None,
        (_, false) => {}
    }
    p.on(Event::Failed);
    Some(())
}

impl Model for Election {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let processes = [Process::new("a", self.timing), Process::new("b", self.timing)];
        vec![World {
            processes,
            lease: None,
            late: None,
            away: false,
            faults: self.faults,
            drift: self.drift,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Act>) {
        if !world.processes.iter().any(Process::is_due) {
            actions.push(Act::Tick(None));
            if world.drift > 0 {
                actions.extend([Act::Tick(Some(0)), Act::Tick(Some(1))]);
            }
        }
        if world.late.is_some() {
            actions.push(Act::ServeLate);
        }
        if world.away || world.faults > 0 {
            actions.push(Act::Away);
        }
        for (i, p) in world.processes.iter().enumerate() {
            // The API server goes on while the process is stopped.
            match &p.flight {
                Some(Flight::Asked { .. }) => actions.push(Act::Serve(i)),
                Some(Flight::Answered(_)) if !p.stopped => actions.push(Act::Answer(i)),
                None if !p.stopped => actions.push(Act::Send(i)),
                _ => {}
            }
            if world.faults > 0 || p.stopped {
                actions.push(Act::Stop(i));
            }
            if world.faults > 0 {
                actions.push(Act::Crash(i));
                if p.flight.is_none() && !p.stopped {
                    actions.push(Act::End(i));
                }
                if p.flight.is_some() && !p.stopped {
                    actions.extend([Act::GiveUp(i, false), Act::GiveUp(i, true)]);
                }
            }
        }
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        match act {
            Act::Tick(slow) => {
                world.drift -= u8::from(slow.is_some());
                for (i, p) in world.processes.iter_mut().enumerate() {
                    if slow != Some(i) {
                        p.age();
                    }
                }
            }
            Act::Send(i) => send(&mut world, i)?,
            Act::Serve(i) => serve(&mut world, i)?,
            Act::Answer(i) => {
                let Some(Flight::Answered(event)) = world.processes[i].flight.take() else { return None };
                world.processes[i].on(event);
            }
            Act::GiveUp(i, later) => {
                world.faults -= 1;
                give_up(&mut world, i, later)?;
            }
            Act::ServeLate => {
                let (who, write) = world.late.take()?;
                world.serve(&who, &write, NOW);
            }
            Act::Stop(i) => {
                let stopped = &mut world.processes[i].stopped;
                world.faults -= u8::from(!*stopped);
                *stopped = !*stopped;
            }
            Act::Away => {
                world.faults -= u8::from(!world.away);
                world.away = !world.away;
            }
            Act::Crash(i) => {
                world.faults -= 1;
                world.processes[i] = world.processes[i].restarted();
            }
            Act::End(i) => {
                world.faults -= 1;
                world.processes[i].elector.stop(NOW);
            }
        }
        Some(world.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |_, w: &World| !w.processes.iter().all(Process::has_permit)),
            Property::always("nobody leads on with a memory that is overtaken", |_, w: &World| {
                !w.processes.iter().any(|p| p.has_permit() && p.overtaken)
            }),
            Property::sometimes("the lease is released", |_, w: &World| {
                w.lease.as_ref().is_some_and(|r| r.holder.is_none())
            }),
            Property::sometimes("the second takes over from the first", |_, w: &World| {
                w.processes[1].has_permit() && w.processes[0].has_led()
            }),
            Property::sometimes("a holder is without a permit", |_, w: &World| {
                w.processes[0].has_led() && !w.processes[0].has_permit() && !w.processes[1].has_led()
            }),
        ]
    }
}

const SAFE: &str = "never two valid permits at once";

/// Far over what the model needs: a change that makes the states explode fails instead of eating the machine.
const MOST_STATES: usize = 3_000_000;

fn check(margin: u32, faults: u8, drift: u8) -> impl Checker<Election> {
    Election { timing: timing(margin), faults, drift }
        .checker()
        .target_state_count(MOST_STATES)
        .spawn_bfs()
        .join()
}

/// Checks every reachable state, or fails.
fn exhaust(faults: u8, drift: u8) {
    let checker = check(1, faults, drift);
    println!("{} states", checker.unique_state_count());
    assert!(checker.state_count() < MOST_STATES, "every state was visited");
    checker.assert_properties();
}

#[test]
fn never_two_valid_permits_with_one_fault_while_clocks_run_apart() {
    exhaust(1, 1);
}

#[test]
fn never_two_valid_permits_with_two_faults() {
    exhaust(2, 0);
}

#[test]
fn the_model_finds_the_fault_when_the_margin_does_not_cover_the_drift() {
    assert!(check(0, 1, 1).discovery(SAFE).is_some(), "a permit as long as the lease must be caught");
}
