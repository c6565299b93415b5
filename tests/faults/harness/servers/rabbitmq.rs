//! A RabbitMQ server or cluster whose nodes a test may kill, partition and control.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ServerProcess, command, free_port, run, temporary_home, wait_until};

const USER: &str = "vestibule";
const PASSWORD: &str = "faults";
const COOKIE: &str = "vestibulefaults";

/// The type of the first frame that a broker sends when it is ready.
const METHOD_FRAME: u8 = 1;

/// A RabbitMQ cluster of one or more nodes.
pub(crate) struct RabbitMq {
    home: TempDir,
    epmd_port: u16,
    _epmd: ServerProcess,
    nodes: Vec<BrokerNode>,
}

struct BrokerNode {
    name: String,
    port: u16,
    server: Option<ServerProcess>,
}

impl RabbitMq {
    /// Starts a single node.
    pub(crate) async fn start() -> Self {
        Self::cluster(1).await
    }

    /// Starts a cluster. In a partition, the nodes of the minority pause.
    pub(crate) async fn cluster(size: usize) -> Self {
        let mut broker = Self::first_of(size).await;
        for node in 1..size {
            // One after the other, so that each node can join the cluster.
            broker.restart(node).await;
        }
        broker
    }

    /// Starts the first node of a cluster. [`RabbitMq::restart`] starts the others, which join it.
    pub(crate) async fn first_of(size: usize) -> Self {
        let home = temporary_home("rabbitmq");
        let epmd_port = free_port();
        let mut epmd = command("epmd", "rabbitmq", home.path());
        epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        let epmd = ServerProcess::start(epmd, &home.path().join("epmd.log"));
        let node =
            |n| BrokerNode { name: format!("faults-{epmd_port}-{n}@localhost"), port: free_port(), server: None };
        let mut broker = Self { nodes: (0..size).map(node).collect(), home, epmd_port, _epmd: epmd };
        broker.write_cookie();
        for node in 0..size {
            broker.write_settings(node);
        }
        broker.restart(0).await;
        broker
    }

    /// The `AMQP_URL` with all nodes of the cluster.
    pub(crate) fn url(&self) -> String {
        format!("amqp://{USER}:{PASSWORD}@{}/%2f", self.authorities().join(","))
    }

    /// Host and port of each node.
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    /// Kills a node with SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        let server = self.nodes[node].server.take().unwrap();
        server.signal(Signal::KILL);
        server.wait();
    }

    /// Starts a node that was killed or never started, and waits until it is ready.
    pub(crate) async fn restart(&mut self, node: usize) {
        self.launch(node);
        self.wait_until_ready(node).await;
    }

    /// Runs `rabbitmqctl` for a node, and returns its output.
    pub(crate) fn ctl(&self, node: usize, arguments: &[&str]) -> String {
        run(self.rabbitmq_command("rabbitmqctl").args(["--node", &self.nodes[node].name, "--quiet"]).args(arguments))
    }

    /// Grows all quorum queues onto a node, as docs/RUNBOOK.md says.
    pub(crate) fn grow_queues(&self, node: usize) {
        let grow = ["--node", &self.nodes[0].name, "grow", &self.nodes[node].name, "all"];
        run(self.rabbitmq_command("rabbitmq-queues").args(grow));
    }

    /// How many members this quorum queue has, according to the first node.
    pub(crate) fn members_of(&self, queue: &str) -> usize {
        let queues = self.ctl(0, &["list_queues", "name", "members"]);
        let line = queues.lines().find(|line| line.split_whitespace().next() == Some(queue));
        self.nodes.iter().filter(|node| line.expect("the queue does not exist").contains(&node.name)).count()
    }

    /// The node that leads this queue, according to the node `observer`.
    pub(crate) fn leader_of(&self, queue: &str, observer: usize) -> usize {
        let queues = self.ctl(observer, &["list_queues", "name", "pid"]);
        let line = queues
            .lines()
            .find(|line| line.split_whitespace().next() == Some(queue))
            .expect("the queue does not exist");
        self.nodes.iter().position(|node| line.contains(&node.name)).expect("the queue has no leader")
    }

    /// Cuts the connections between a node and all others, or allows them again, by changing the Erlang cookie.
    ///
    /// For all other nodes in one call: a node that is cut off from only some of the others is no full partition.
    pub(crate) fn isolate(&self, node: usize, isolated: bool) {
        let cookie = if isolated { "isolated" } else { COOKIE };
        let others = self.nodes.iter().enumerate().filter(|(n, _)| *n != node).map(|(_, other)| &other.name);
        let commands =
            others.map(|name| format!("erlang:set_cookie('{name}', '{cookie}'), erlang:disconnect_node('{name}')"));
        self.ctl(node, &["eval", &format!("{}.", commands.collect::<Vec<_>>().join(", "))]);
    }

    async fn wait_until_ready(&self, node: usize) {
        let port = self.nodes[node].port;
        let is_ready = async || accepts_amqp(port).await.is_ok_and(|accepts| accepts);
        wait_until("the broker accepts connections", is_ready).await;
    }

    fn write_cookie(&self) {
        let cookie = self.home.path().join(".erlang.cookie");
        std::fs::write(&cookie, COOKIE).unwrap();
        std::fs::set_permissions(&cookie, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        self.give_to_rabbitmq(&cookie);
    }

    fn write_settings(&self, node: usize) {
        let folder = self.folder(node);
        std::fs::create_dir(&folder).unwrap();
        let mut settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\ndefault_user = {USER}\ndefault_pass = {PASSWORD}\n\
             log.console = true\nlog.file = false\ncluster_partition_handling = pause_minority\n\
             cluster_formation.peer_discovery_backend = classic_config\n",
            self.nodes[node].port
        );
        for (n, peer) in self.nodes.iter().enumerate() {
            settings.push_str(&format!("cluster_formation.classic_config.nodes.{} = {}\n", n + 1, peer.name));
        }
        std::fs::write(folder.join("rabbitmq.conf"), settings).unwrap();
        std::fs::write(folder.join("enabled_plugins"), "[].").unwrap();
        self.give_to_rabbitmq(&folder);
    }

    fn launch(&mut self, node: usize) {
        let folder = self.folder(node);
        let mut server = self.rabbitmq_command("rabbitmq-server");
        let at = |name: &str| folder.join(name);
        // Every path that a node reads or writes is set, so that it uses none of the installed server. With
        // RUNNING_UNDER_SYSTEMD, the start script execs the broker instead of staying its parent.
        server.env("RUNNING_UNDER_SYSTEMD", "true").env("RABBITMQ_NODENAME", &self.nodes[node].name);
        server.env("RABBITMQ_DIST_PORT", free_port().to_string()).env("RABBITMQ_LOGS", "-");
        server.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        for (variable, path) in [
            ("RABBITMQ_CONF_ENV_FILE", "none"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_CONFIG_FILES", "none"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "none"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_MNESIA_BASE", "mnesia"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "config"),
            ("RABBITMQ_SCHEMA_DIR", "schema"),
            ("RABBITMQ_PID_FILE", "pid"),
        ] {
            server.env(variable, at(path));
        }
        self.nodes[node].server = Some(ServerProcess::start(server, &self.home.path().join(format!("{node}.log"))));
    }

    fn rabbitmq_command(&self, name: &str) -> Command {
        let mut command = command(Path::new("/usr/lib/rabbitmq/bin").join(name), "rabbitmq", self.home.path());
        command.env("ERL_EPMD_PORT", self.epmd_port.to_string());
        command
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.home.path().join(node.to_string())
    }

    fn give_to_rabbitmq(&self, path: &Path) {
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").args(["--recursive", "rabbitmq:rabbitmq"]).arg(path));
        }
    }
}

/// Whether the broker answers the protocol header with a method frame.
async fn accepts_amqp(port: u16) -> std::io::Result<bool> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let first = tokio::time::timeout(std::time::Duration::from_secs(3), stream.read_u8()).await??;
    Ok(first == METHOD_FRAME)
}
