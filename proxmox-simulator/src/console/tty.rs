//! What a guest writes: the lines of its boot, a login, and a shell that knows four words. It only plays; there is no
//! guest behind it.

use crate::clock::Micros;

/// The longest line that can be typed, characters.
const LINE_MAX: usize = 200;
/// What clears a terminal.
pub(super) const CLEAR: &str = "\x1b[H\x1b[2J";

/// The guest at one moment.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// Its host name.
    pub(super) host: String,
    /// The serial line that can be used.
    pub(super) serial: Option<String>,
    /// When it began to boot.
    pub(super) booted: Micros,
    pub(super) now: Micros,
    /// How long it boots.
    pub(super) boot: Micros,
}

const BOOT: [&str; 14] = [
    "SeaBIOS (version 1.16.3)",
    "Booting from Hard Disk...",
    "GRUB loading.",
    "[    0.000000] Linux version 6.12.57-cloud-amd64",
    "[    0.000000] Command line: root=/dev/sda1 console=ttyS0",
    "[    0.004210] Hypervisor detected: KVM",
    "[    0.214873] virtio_net virtio1 eth0: renamed",
    "[    0.402114] EXT4-fs (sda1): mounted filesystem",
    "[  OK  ] Reached target local-fs.target",
    "[  OK  ] Started systemd-networkd.service",
    "[  OK  ] Finished cloud-init.service",
    "[  OK  ] Started qemu-guest-agent.service",
    "[  OK  ] Started ssh.service",
    "[  OK  ] Reached target multi-user.target",
];

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Booting(usize),
    Login,
    Password,
    Shell,
}

/// A terminal of the guest.
#[derive(Debug)]
pub(super) struct Tty {
    name: &'static str,
    asks_login: bool,
    booted: Micros,
    stage: Stage,
    user: String,
    line: String,
}

impl Tty {
    /// The first virtual terminal: it shows the boot and asks for a login.
    pub(super) fn screen(scene: &Scene) -> Self {
        Self::new("tty1", true, Stage::Booting(0), scene)
    }

    /// A serial line: somebody is logged in; what was written before nobody sees any more.
    pub(super) fn serial(scene: &Scene) -> Self {
        Self::new("ttyS0", false, Stage::Booting(shown(scene)), scene)
    }

    fn new(name: &'static str, asks_login: bool, stage: Stage, scene: &Scene) -> Self {
        Self { name, asks_login, booted: scene.booted, stage, user: "root".to_owned(), line: String::new() }
    }

    /// What has been written since the last look.
    pub(super) fn look(&mut self, scene: &Scene) -> String {
        let mut text = String::new();
        if scene.booted != self.booted {
            self.booted = scene.booted;
            self.line.clear();
            self.stage = Stage::Booting(0);
            text.push_str(CLEAR);
        }
        let Stage::Booting(printed) = self.stage else { return text };
        let due = shown(scene);
        for line in BOOT.iter().take(due).skip(printed) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.stage = Stage::Booting(due);
        if scene.now.saturating_sub(scene.booted) >= scene.boot {
            text.push_str(&self.greet(scene));
        }
        text
    }

    /// What pressing a key writes.
    pub(super) fn press(&mut self, key: char, scene: &Scene) -> String {
        match (&self.stage, key) {
            (Stage::Booting(_), _) => String::new(),
            (_, '\r' | '\n') => self.enter(scene),
            (_, '\u{8}' | '\u{7f}') => {
                let erased = self.line.pop().is_some() && self.stage != Stage::Password;
                if erased { "\u{8} \u{8}".to_owned() } else { String::new() }
            }
            (_, '\u{3}') => {
                self.line.clear();
                format!("^C\r\n{}", self.prompt(scene))
            }
            (_, '\u{c}') => format!("{CLEAR}{}{}", self.prompt(scene), self.line),
            (stage, ' '..='~') if self.line.chars().count() < LINE_MAX => {
                let echoes = *stage != Stage::Password;
                self.line.push(key);
                if echoes { key.to_string() } else { String::new() }
            }
            _ => String::new(),
        }
    }

    fn greet(&mut self, scene: &Scene) -> String {
        self.stage = if self.asks_login { Stage::Login } else { Stage::Shell };
        if self.asks_login {
            format!("\r\nDebian GNU/Linux 13 {} {}\r\n\r\n{}", scene.host, self.name, self.prompt(scene))
        } else {
            self.prompt(scene)
        }
    }

    fn prompt(&self, scene: &Scene) -> String {
        match self.stage {
            Stage::Booting(_) => String::new(),
            Stage::Login => format!("{} login: ", scene.host),
            Stage::Password => "Password: ".to_owned(),
            Stage::Shell if self.user == "root" => format!("root@{}:~# ", scene.host),
            Stage::Shell => format!("{}@{}:~$ ", self.user, scene.host),
        }
    }

    fn enter(&mut self, scene: &Scene) -> String {
        let line = std::mem::take(&mut self.line);
        let said = match self.stage {
            Stage::Booting(_) => return String::new(),
            Stage::Login => {
                if !line.trim().is_empty() {
                    line.trim().clone_into(&mut self.user);
                    self.stage = Stage::Password;
                }
                String::new()
            }
            Stage::Password => {
                self.stage = Stage::Shell;
                format!("Linux {} 6.12.57-cloud-amd64 x86_64\r\nA simulated guest: try `help`.\r\n", scene.host)
            }
            Stage::Shell => match line.trim() {
                "" => String::new(),
                "clear" => return format!("\r\n{CLEAR}{}", self.prompt(scene)),
                "hostname" => format!("{}\r\n", scene.host),
                "whoami" => format!("{}\r\n", self.user),
                "help" => "This is a simulated guest. It knows: clear, help, hostname, whoami.\r\n".to_owned(),
                other => format!("-bash: {}: command not found\r\n", other.split(' ').next().unwrap_or(other)),
            },
        };
        format!("\r\n{said}{}", self.prompt(scene))
    }
}

/// How many lines of the boot are there.
fn shown(scene: &Scene) -> usize {
    let age = scene.now.saturating_sub(scene.booted);
    if age >= scene.boot {
        return BOOT.len();
    }
    let lines = u64::try_from(BOOT.len()).unwrap_or(u64::MAX);
    usize::try_from(age.saturating_mul(lines) / scene.boot.max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(now: Micros) -> Scene {
        Scene { host: "web-1".into(), serial: Some("serial0".into()), booted: 0, now, boot: 14_000 }
    }

    fn typed(tty: &mut Tty, text: &str) -> String {
        text.chars().map(|key| tty.press(key, &scene(20_000))).collect()
    }

    #[test]
    fn a_screen_boots_line_by_line_and_asks_for_a_login() {
        let mut tty = Tty::screen(&scene(0));
        assert_eq!(tty.look(&scene(1_000)), "SeaBIOS (version 1.16.3)\r\n");
        assert_eq!(tty.press('x', &scene(1_000)), "");
        assert!(tty.look(&scene(14_000)).ends_with("web-1 login: "));
        assert_eq!(typed(&mut tty, "debiam\u{8}n\r"), "debiam\u{8} \u{8}n\r\nPassword: ");
        assert!(typed(&mut tty, "secret\r").ends_with("debian@web-1:~$ "), "a password is not echoed");
    }

    #[test]
    fn a_serial_line_has_a_shell_that_knows_four_words() {
        let mut tty = Tty::serial(&scene(20_000));
        assert_eq!(tty.look(&scene(20_000)), "root@web-1:~# ");
        assert_eq!(typed(&mut tty, "hostname\r"), "hostname\r\nweb-1\r\nroot@web-1:~# ");
        assert!(typed(&mut tty, "help\r").contains("clear, help, hostname"));
        assert!(typed(&mut tty, "clear\r").contains(CLEAR));
        assert!(typed(&mut tty, "rm -rf\r").contains("rm: command not found"));
    }

    #[test]
    fn a_reset_begins_again() {
        let mut tty = Tty::screen(&scene(20_000));
        tty.look(&scene(20_000));
        let again = Scene { booted: 20_000, now: 21_000, ..scene(0) };
        assert_eq!(tty.look(&again), format!("{CLEAR}SeaBIOS (version 1.16.3)\r\n"));
    }
}
