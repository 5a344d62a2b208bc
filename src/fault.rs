//! Named points at which a test can kill the process, to prove that nothing is lost or done twice. In a release build
//! they are nothing at all.

/// The environment variable that names the point at which to die.
pub const VARIABLE: &str = "UNI_MANAGER_FAULT";

/// Dies like `kill -9` if the environment asks for it at this point; otherwise does nothing.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var(VARIABLE).is_ok_and(|wanted| wanted == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
