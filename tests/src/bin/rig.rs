//! The rig's binary: the local clusters for a person.

use std::{
    error::Error,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use loadline_tests::{
    binaries::{Found, Origin, Packaged, Tool},
    proofs::{self, Scale},
    up::{CLUSTERS, Rig, State},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// Local clusters of real Kubernetes, without containers.
#[derive(Debug, Parser)]
#[command(name = "rig", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Start the clusters, Prometheus, Alertmanager and the workload emulator
    Up {
        /// Which clusters, separated by commas; all of them when not given
        #[arg(long, value_delimiter = ',', default_values = CLUSTERS)]
        clusters: Vec<String>,
    },
    /// End everything that `up` started
    Down,
    /// Say what is up, and where
    Status,
    /// Find or build every program that the clusters need, and say where each is
    Binaries,
    /// Run one long proof, or list them (use tests/prove, which builds what is proven)
    Prove {
        /// Its name
        name: Option<String>,
        /// How much of it, over 0 and up to 1
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
    },
    /// Hold what is up (started by `up`)
    #[command(hide = true)]
    Keep {
        #[arg(long, value_delimiter = ',')]
        clusters: Vec<String>,
    },
}

type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// The most that `down` waits for the keeper to end.
const DOWN: Duration = Duration::from_secs(30);
/// How often the keeper is looked at.
const LOOK: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Order::Up { clusters } => up(&clusters),
        Order::Down => down(),
        Order::Status => status(),
        Order::Binaries => programs(),
        Order::Prove { name, scale } => prove(name.as_deref(), scale),
        Order::Keep { clusters } => keep(&clusters),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rig: {error}");
            ExitCode::FAILURE
        }
    }
}

fn up(clusters: &[String]) -> Done {
    if let Some(state) = State::read()? {
        println!("it is up already:\n{}", state.table());
        return Ok(());
    }
    // Here, not in the keeper: building takes minutes and a person wants to see it, and to be able to stop it.
    for tool in Tool::ALL {
        tool.get(&|line| println!("{line}"))?;
    }
    let log = File::create(State::log()?)?;
    let mut keeper = Command::new(std::env::current_exe()?)
        .args(["keep", "--clusters", &clusters.join(",")])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    let mut follow = File::open(State::log()?)?;
    let mut shown = 0;
    loop {
        let ended = keeper.try_wait()?;
        let mut text = String::new();
        follow.seek(SeekFrom::Start(shown))?;
        shown += u64::try_from(follow.read_to_string(&mut text)?)?;
        print!("{text}");
        if let Some(status) = ended {
            return Err(format!("it did not come up ({status}); see {}", State::log()?.display()).into());
        }
        if let Some(state) = State::read()? {
            println!("\n{}", state.table());
            return Ok(());
        }
        thread::sleep(LOOK);
    }
}

fn down() -> Done {
    let Some(state) = State::read()? else {
        println!("nothing is up");
        return Ok(());
    };
    let pid = Pid::from_raw(state.keeper).ok_or("the state file holds no pid")?;
    kill_process(pid, Signal::TERM)?;
    let start = Instant::now();
    while state.is_kept() {
        if start.elapsed() > DOWN {
            return Err(format!("the keeper (pid {}) does not end; kill it with -9", state.keeper).into());
        }
        thread::sleep(LOOK);
    }
    println!("down in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn status() -> Done {
    match State::read()? {
        Some(state) => println!("{}", state.table()),
        None => println!("nothing is up; start it with: cargo rig up"),
    }
    Ok(())
}

fn keep(clusters: &[String]) -> Done {
    tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopped = async {
            tokio::select! {
                _ = stop.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let held = async {
            let rig = Rig::start(clusters, &|line| println!("{line}")).await?;
            rig.state(i32::try_from(std::process::id())?)?.write()?;
            Ok::<_, Box<dyn Error + Send + Sync>>(rig)
        };
        tokio::pin!(stopped);
        tokio::select! {
            () = &mut stopped => Ok(()),
            rig = held => {
                let rig = rig?;
                stopped.await;
                drop(rig);
                std::fs::remove_file(State::file()?)?;
                Ok(())
            }
        }
    })
}

fn prove(name: Option<&str>, scale: f64) -> Done {
    let Some(name) = name else {
        for proof in proofs::ALL {
            println!("{:<16}{}", proof.name, proof.about);
        }
        return Ok(());
    };
    let scale = Scale::new(scale).ok_or("--scale is over 0 and up to 1")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Its parts end when it does, also on Ctrl-C.
    runtime.block_on(async {
        tokio::select! {
            done = proofs::run(name, scale) => done,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    })
}

fn programs() -> Done {
    for tool in Tool::ALL {
        let Found { path, origin } = tool.get(&|line| eprintln!("{line}"))?;
        let version = tool.module().version();
        println!("{:<24} {version:<10} {:<12} {}", tool.name(), origin.to_string(), path.display());
    }
    for tool in [Packaged::Prometheus, Packaged::Promtool, Packaged::Alertmanager] {
        let path = tool.get()?;
        println!(
            "{:<24} {:<10} {:<12} {}",
            tool.to_string(),
            "packaged",
            Origin::Path.to_string(),
            path.display()
        );
    }
    Ok(())
}
