//! What the guest agent can be told to do: commands, passwords, files, shutting down. What it tells
//! about the guest is in `agent.rs`. Every call is refused with
//! [`crate::Refusal::is_agent_not_ready`] while there is no agent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::{Error, NeverSentCause};
use crate::lenient;
use crate::request::{Parameters, vm_path};

/// The longest input of a command, bytes.
const LONGEST_INPUT: usize = 64 * 1024;
/// The longest content of a file written, bytes: 60 KiB once encoded.
const LONGEST_CONTENT: usize = 45 * 1024;

/// What came of a command in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CommandStatus {
    /// Whether it has ended. The rest has no meaning before.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub exited: bool,
    /// Its exit code, if it ended by itself.
    #[serde(rename = "exitcode", default, deserialize_with = "lenient::optional_signed")]
    pub exit_code: Option<i64>,
    /// The signal (or Windows exception) that ended it.
    #[serde(default, deserialize_with = "lenient::optional_signed")]
    pub signal: Option<i64>,
    /// What it wrote.
    #[serde(rename = "out-data", default)]
    pub output: String,
    /// What it wrote as errors.
    #[serde(rename = "err-data", default)]
    pub error_output: String,
    /// Whether more was written than the agent keeps.
    #[serde(rename = "out-truncated", default, deserialize_with = "lenient::flag")]
    pub output_truncated: bool,
    /// Whether more was written as errors than the agent keeps.
    #[serde(rename = "err-truncated", default, deserialize_with = "lenient::flag")]
    pub error_output_truncated: bool,
}

/// A file of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestFile {
    /// Its content, of up to 16 MiB. Bytes that are no text arrive as the letters of their numbers.
    #[serde(default)]
    pub content: String,
    /// Whether there is more.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub truncated: bool,
}

#[derive(Deserialize)]
struct Process {
    #[serde(deserialize_with = "lenient::whole")]
    pid: u64,
}

/// What the agent said.
#[derive(Deserialize)]
struct Told<T> {
    result: T,
}

#[derive(Deserialize)]
struct Count(#[serde(deserialize_with = "lenient::whole")] u64);

fn argument_failure(path: &str, detail: &str) -> Error {
    Error::never_sent(format_args!("POST {path}"), NeverSentCause::Argument, detail)
}

impl Client {
    /// `POST /nodes/{node}/qemu/{vmid}/agent/ping`. Needs VM.GuestAgent.Audit, before version 9
    /// VM.Monitor. Whether an agent answers; a no takes 3 s of a worker of the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_ping(&self, node: &str, vmid: u32) -> Result<(), Error> {
        let _: IgnoredAny = self.post(vm_path(node, vmid, "/agent/ping")?, Parameters::new()).await?;
        Ok(())
    }

    /// `POST …/agent/fstrim`. Needs VM.GuestAgent.FileSystemMgmt, before version 9 VM.Monitor. Gives
    /// blocks that file systems no longer use back to the storage.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_trim(&self, node: &str, vmid: u32) -> Result<(), Error> {
        let _: IgnoredAny = self.post(vm_path(node, vmid, "/agent/fstrim")?, Parameters::new()).await?;
        Ok(())
    }

    /// `POST …/agent/fsfreeze-freeze`. Needs VM.GuestAgent.FileSystemMgmt, before version 9
    /// VM.Monitor. Stops writing to all file systems until [`Client::agent_thaw`], and says how many.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_freeze(&self, node: &str, vmid: u32) -> Result<u64, Error> {
        self.count_of(vm_path(node, vmid, "/agent/fsfreeze-freeze")?).await
    }

    /// `POST …/agent/fsfreeze-thaw`. Privileges as [`Client::agent_freeze`]. Lets file systems be
    /// written to again, and says how many; 0 when none was frozen.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_thaw(&self, node: &str, vmid: u32) -> Result<u64, Error> {
        self.count_of(vm_path(node, vmid, "/agent/fsfreeze-thaw")?).await
    }

    /// `POST …/agent/fsfreeze-status`. Needs VM.GuestAgent.Audit, before version 9 VM.Monitor. Whether
    /// file systems are frozen.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_is_frozen(&self, node: &str, vmid: u32) -> Result<bool, Error> {
        let path = vm_path(node, vmid, "/agent/fsfreeze-status")?;
        let state: Told<String> = self.post(path, Parameters::new()).await?;
        Ok(state.result == "frozen")
    }

    async fn count_of(&self, path: String) -> Result<u64, Error> {
        let Told { result: Count(count) } = self.post(path, Parameters::new()).await?;
        Ok(count)
    }

    /// `POST …/agent/exec`. Needs VM.GuestAgent.Unrestricted, before version 9 VM.Monitor. Starts a
    /// program with its arguments, without a shell, and gives its number for
    /// [`Client::agent_exec_status`]. Not for version 7, which wants the command otherwise.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let pid = client.agent_exec("pve1", 101, &["uname", "-a"], None).await?;
    /// let status = client.agent_exec_status("pve1", 101, pid).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`]; no command, and an input above 64 KiB, are not sent.
    pub async fn agent_exec(&self, node: &str, vmid: u32, command: &[&str], input: Option<&str>) -> Result<u64, Error> {
        let path = vm_path(node, vmid, "/agent/exec")?;
        if command.is_empty() {
            return Err(argument_failure(&path, "there is no command"));
        }
        if input.is_some_and(|input| input.len() > LONGEST_INPUT) {
            return Err(argument_failure(&path, "the input is longer than 64 KiB"));
        }
        // A list is its key as often as it has entries.
        let parameters = command.iter().fold(Parameters::new(), |parameters, word| parameters.with("command", word));
        let process: Process = self.post(path, parameters.maybe("input-data", input)).await?;
        Ok(process.pid)
    }

    /// `GET …/agent/exec-status?pid=`. Needs VM.GuestAgent.Unrestricted, before version 9
    /// VM.Monitor. Ask until it has exited; the agent forgets it with that answer, and a further
    /// look is refused (500). So an end can be lost with a broken connection, after which the client
    /// asks again: that refusal then means ended, outcome unknown.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_exec_status(&self, node: &str, vmid: u32, pid: u64) -> Result<CommandStatus, Error> {
        self.get(vm_path(node, vmid, "/agent/exec-status")?, Parameters::new().with("pid", pid)).await
    }

    /// `GET …/agent/file-read?file=`. Needs VM.GuestAgent.FileRead, before version 9 VM.Monitor.
    /// Refused (500) with the agent's words when the file cannot be opened.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_file_read(&self, node: &str, vmid: u32, file: &str) -> Result<GuestFile, Error> {
        self.get(vm_path(node, vmid, "/agent/file-read")?, Parameters::new().with("file", file)).await
    }

    /// `POST …/agent/file-write`. Needs VM.GuestAgent.FileWrite, before version 9 VM.Monitor.
    /// Writes the file anew. Refused (500) with the agent's words when it cannot be opened.
    ///
    /// # Errors
    /// See [`Error`]; more than 45 KiB are not sent.
    pub async fn agent_file_write(&self, node: &str, vmid: u32, file: &str, content: &[u8]) -> Result<(), Error> {
        let path = vm_path(node, vmid, "/agent/file-write")?;
        if content.len() > LONGEST_CONTENT {
            return Err(argument_failure(&path, "the content is longer than 45 KiB"));
        }
        // Left to encode by itself, Proxmox fails on letters outside Latin-1.
        let parameters =
            Parameters::new().with("file", file).with("content", STANDARD.encode(content)).flag("encode", Some(false));
        let _: IgnoredAny = self.post(path, parameters).await?;
        Ok(())
    }

    /// `POST …/agent/set-user-password`. Needs VM.GuestAgent.Unrestricted, before version 9
    /// VM.Monitor. 5 to 1024 letters, or with `is_hash` a crypt hash; shorter is refused with
    /// `errors.password` (400), a user the guest does not have with the agent's words (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_set_password(
        &self,
        node: &str,
        vmid: u32,
        user: &str,
        password: &SecretString,
        is_hash: bool,
    ) -> Result<(), Error> {
        let parameters = Parameters::new()
            .with("username", user)
            .with("password", password.expose_secret())
            .flag("crypted", is_hash.then_some(true));
        let _: IgnoredAny = self.post(vm_path(node, vmid, "/agent/set-user-password")?, parameters).await?;
        Ok(())
    }

    /// `POST …/agent/shutdown`. Needs VM.PowerMgmt or VM.GuestAgent.Unrestricted, before version 9
    /// VM.Monitor. Asks and does not wait; [`Client::shutdown`] waits and can pull the plug.
    ///
    /// # Errors
    /// See [`Error`]. A guest that goes down before its agent has answered looks like
    /// [`crate::Refusal::is_agent_not_ready`].
    pub async fn agent_shutdown(&self, node: &str, vmid: u32) -> Result<(), Error> {
        let _: IgnoredAny = self.post(vm_path(node, vmid, "/agent/shutdown")?, Parameters::new()).await?;
        Ok(())
    }
}
