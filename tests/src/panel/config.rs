//! The panel's configuration: a JSON file, because a program writes it.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

/// What the panel rules over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where signed commands are taken and viewers ask where to watch.
    pub listen: SocketAddr,
    /// Where operators and tests steer it, unsigned: loopback only.
    pub control: SocketAddr,
    /// A file with one or several secrets, a line each: several while a key is being changed.
    pub secret_file: PathBuf,
    /// Where the highest epoch is kept; absent: in memory.
    pub epoch_file: Option<PathBuf>,
    /// The interface of multicast sources.
    pub interface: String,
    /// The channels.
    pub channels: Vec<Channel>,
    /// The delivery servers.
    pub servers: Vec<Server>,
}

/// A channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Its id.
    pub channel: String,
    /// Its sources' URLs by id.
    pub sources: BTreeMap<String, Url>,
    /// The source to start on.
    pub active: String,
    /// The regions' links.
    pub links: Vec<SocketAddr>,
    /// What runs its output process, where others run on it too: all of them start anew together.
    #[serde(default)]
    pub encoder: Option<String>,
}

/// A delivery server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its id.
    pub server: String,
    /// Its region.
    pub region: String,
    /// Where viewers watch each channel.
    pub watch: BTreeMap<String, Url>,
    /// The edge's control API; absent where it has none.
    pub control: Option<Url>,
    /// The program with its arguments that restarts what serves deliveries; empty where there is none.
    #[serde(default)]
    pub restart: Vec<String>,
}
