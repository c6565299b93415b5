//! A RabbitMQ of one node or several, whose nodes may be killed, cut off from each other, and told what to do.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Server, command, free_port, home, run, until};

const USER: &str = "vestibule";
const PASSWORD: &str = "faults";
const COOKIE: &str = "vestibulefaults";

/// What a broker says first, when it is ready to talk: a method frame.
const METHOD_FRAME: u8 = 1;

pub(crate) struct RabbitMq {
    home: TempDir,
    epmd_port: u16,
    _epmd: Server,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    port: u16,
    server: Option<Server>,
}

impl RabbitMq {
    pub(crate) async fn start() -> Self {
        Self::cluster(1).await
    }

    /// Nodes that know of each other from the start. The smaller part of a divided cluster stops serving.
    pub(crate) async fn cluster(size: usize) -> Self {
        let (home, epmd_port) = (home("rabbitmq"), free_port());
        let mut epmd = command("epmd", "rabbitmq", home.path());
        epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        let epmd = Server::start(epmd, &home.path().join("epmd.log"));
        let tag = epmd_port;
        let node = |n| Node { name: format!("faults-{tag}-{n}@localhost"), port: free_port(), server: None };
        let mut broker = Self { nodes: (0..size).map(node).collect(), home, epmd_port, _epmd: epmd };
        broker.write_cookie();
        for node in 0..size {
            broker.write_settings(node);
            broker.launch(node);
            // One by one, so that each finds the one before it.
            broker.ready(node).await;
        }
        broker
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://{USER}:{PASSWORD}@{}/%2f", self.authorities().join(","))
    }

    pub(crate) fn authorities(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    pub(crate) fn kill(&mut self, node: usize) {
        let server = self.nodes[node].server.take().unwrap();
        server.signal(Signal::KILL);
        server.wait();
    }

    pub(crate) async fn restart(&mut self, node: usize) {
        self.launch(node);
        self.ready(node).await;
    }

    /// An order of the operator to a node.
    pub(crate) fn ctl(&self, node: usize, order: &[&str]) -> String {
        run(self.tool("rabbitmqctl").args(["--node", &self.nodes[node].name, "--quiet"]).args(order))
    }

    /// By which node the queue of this name is led, as this other one sees it.
    pub(crate) fn leader_of(&self, queue: &str, asked: usize) -> usize {
        let queues = self.ctl(asked, &["list_queues", "name", "pid"]);
        let line = queues.lines().find(|line| line.split_whitespace().next() == Some(queue)).expect("the queue");
        self.nodes.iter().position(|node| line.contains(&node.name)).expect("a node that leads it")
    }

    /// Has a node and all others refuse each other, as if there were no way between them, or makes them
    /// friends again. All at once: nodes that see one and not the other would take it for something else.
    pub(crate) fn isolate(&self, node: usize, isolated: bool) {
        let cookie = if isolated { "nobody" } else { COOKIE };
        let others = self.nodes.iter().enumerate().filter(|(n, _)| *n != node).map(|(_, other)| &other.name);
        let cut =
            others.map(|name| format!("erlang:set_cookie('{name}', '{cookie}'), erlang:disconnect_node('{name}')"));
        self.ctl(node, &["eval", &format!("{}.", cut.collect::<Vec<_>>().join(", "))]);
    }

    async fn ready(&self, node: usize) {
        let port = self.nodes[node].port;
        until("the broker greets", async || greets(port).await.is_ok_and(|greets| greets)).await;
    }

    fn write_cookie(&self) {
        let cookie = self.home.path().join(".erlang.cookie");
        std::fs::write(&cookie, COOKIE).unwrap();
        std::fs::set_permissions(&cookie, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        self.own(&cookie);
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
        self.own(&folder);
    }

    fn launch(&mut self, node: usize) {
        let folder = self.folder(node);
        let mut server = self.tool("rabbitmq-server");
        let at = |name: &str| folder.join(name);
        // Every place where a node reads or writes is named, lest it be the installed one's. As if under
        // systemd, the start script becomes the broker instead of staying its parent.
        server.env("RUNNING_UNDER_SYSTEMD", "true").env("RABBITMQ_NODENAME", &self.nodes[node].name);
        server.env("RABBITMQ_DIST_PORT", free_port().to_string()).env("RABBITMQ_LOGS", "-");
        server.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
        for (variable, place) in [
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
            server.env(variable, at(place));
        }
        self.nodes[node].server = Some(Server::start(server, &self.home.path().join(format!("{node}.log"))));
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = command(Path::new("/usr/lib/rabbitmq/bin").join(name), "rabbitmq", self.home.path());
        tool.env("ERL_EPMD_PORT", self.epmd_port.to_string());
        tool
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.home.path().join(node.to_string())
    }

    fn own(&self, path: &Path) {
        if rustix::process::getuid().is_root() {
            run(Command::new("chown").args(["--recursive", "rabbitmq:rabbitmq"]).arg(path));
        }
    }
}

async fn greets(port: u16) -> std::io::Result<bool> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let first = tokio::time::timeout(std::time::Duration::from_secs(3), stream.read_u8()).await??;
    Ok(first == METHOD_FRAME)
}
