//! Machines of a run: network namespaces with an address each, on one bridge in a namespace of its own;
//! links between them can be cut, one way or both ways, and can lose packets. Nothing leaves this host,
//! and nothing is left behind: a namespace ends with its processes and with this one's descriptors.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, held open.
struct Namespace(File);

impl Namespace {
    fn new() -> Self {
        let made = std::thread::spawn(|| {
            // Only this thread moves, and it ends here.
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Self(made.join().unwrap())
    }

    /// A name that `ip` understands.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Lets a command run in here.
    fn enter(&self, command: &mut Command) {
        let namespace = self.0.try_clone().unwrap();
        // SAFETY: setns is a system call and nothing else; it is safe between fork and exec.
        unsafe {
            command.pre_exec(move || Ok(setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?));
        }
    }

    fn run(&self, program: &str, words: &[&str], input: &str) {
        let mut command = Command::new(program);
        command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        self.enter(&mut command);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program} {words:?} {input}: {said}"
        );
    }
}

/// All machines; the last one is the operator's, which no fault touches.
pub(crate) struct Network {
    machines: Vec<Namespace>,
    _switch: Namespace,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// What `from` sends does not arrive at the machine.
    Deaf {
        /// The sender.
        from: usize,
    },
    /// Nothing leaves the machine.
    Mute,
    /// Nothing arrives.
    Cut,
    /// Some packets are lost, both ways.
    Loss {
        /// Of a hundred.
        percent: u32,
    },
}

/// The address of a machine.
pub(crate) fn address(machine: usize) -> String {
    format!("10.77.0.{}", machine + 1)
}

impl Network {
    pub(crate) fn new(machines: usize) -> Self {
        let switch = Namespace::new();
        let machines: Vec<Namespace> = (0..machines).map(|_| Namespace::new()).collect();
        let mut links = "link add switch type bridge\nlink set switch up\n".to_owned();
        for (number, machine) in machines.iter().enumerate() {
            let path = machine.path();
            links.push_str(&format!(
                "link add m{number} type veth peer name eth0 netns {path}\n\
                 link set m{number} master switch up\n"
            ));
        }
        switch.run("ip", &["-batch", "-"], &links);
        for (number, machine) in machines.iter().enumerate() {
            let address = address(number);
            let own = format!("addr add {address}/24 dev eth0\nlink set lo up\nlink set eth0 up\n");
            machine.run("ip", &["-batch", "-"], &own);
        }
        Self {
            machines,
            _switch: switch,
        }
    }

    /// Lets a command run on a machine.
    pub(crate) fn place(&self, machine: usize, command: &mut Command) {
        self.machines[machine].enter(command);
    }

    /// Lets a command run where the operator is.
    pub(crate) fn place_operator(&self, command: &mut Command) {
        self.place(self.machines.len() - 1, command);
    }

    /// Does something with sockets where the operator is.
    pub(crate) fn at_operator<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = &self.machines[self.machines.len() - 1].0;
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
                what()
            });
            there.join().unwrap()
        })
    }

    pub(crate) fn make(&self, machine: usize, trouble: Trouble) {
        self.rules(machine, trouble, "-A");
    }

    pub(crate) fn mend(&self, machine: usize, trouble: Trouble) {
        self.rules(machine, trouble, "-D");
    }

    fn rules(&self, machine: usize, trouble: Trouble, verb: &str) {
        let incoming = ["INPUT", "!", "-i", "lo"];
        let outgoing = ["OUTPUT", "!", "-o", "lo"];
        let apply = |chain: &[&str], what: &[&str]| {
            let words = [&["-w", verb], chain, what, &["-j", "DROP"]].concat();
            self.machines[machine].run("iptables", &words, "");
        };
        match trouble {
            Trouble::Deaf { from } => apply(&["INPUT"], &["-s", &address(from)]),
            Trouble::Mute => apply(&outgoing, &[]),
            Trouble::Cut => {
                apply(&incoming, &[]);
                apply(&outgoing, &[]);
            }
            Trouble::Loss { percent } => {
                let chance = format!("{}.{:02}", percent / 100, percent % 100);
                let part = [
                    "-m",
                    "statistic",
                    "--mode",
                    "random",
                    "--probability",
                    &chance,
                ];
                apply(&incoming, &part);
                apply(&outgoing, &part);
            }
        }
    }
}
