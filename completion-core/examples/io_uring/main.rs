//! Reads through `io_uring`, each known to the kernel by the token of its round.
//!
//! The kernel hands back 64 bits of user data with each completion. Here they are the token, so a
//! completion finds its waiter without a table, and one that comes after its waiter left is refused
//! instead of reaching whoever uses the slot by then. Do so in a reactor for one thread or for many: the
//! pool serves both.
//!
//! A buffer that was lent to the kernel must live until the kernel is done with it, waiter or no waiter.
//! So the reactor owns it meanwhile; it travels to the waiter inside the outcome, and comes back from a
//! refused completion, to be used again.

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod reactor;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn main() -> std::io::Result<()> {
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;

    // One round at a time, so that the last two below share a slot.
    let mut reactor = match reactor::Reactor::new(1) {
        Ok(reactor) => reactor,
        Err(error) => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::OutOfMemory => {
                println!("this kernel grants no io_uring: {error}");
                return Ok(());
            }
            _ => return Err(error),
        },
    };

    let (socket, mut peer) = UnixStream::pair()?;
    peer.write_all(b"hello")?;
    let (_, read) = reactor.read(&socket)?;
    let hello = reactor.run(read)?.expect("the kernel reads what is there");
    println!("read {:?}", String::from_utf8_lossy(&hello));
    assert_eq!(hello, b"hello");

    // Nothing comes here, and the waiter does not stay. Its slot serves the next read at once, while the
    // kernel still holds the first one's buffer.
    let (silent, _open) = UnixStream::pair()?;
    let (token, given_up) = reactor.read(&silent)?;
    drop(given_up);
    peer.write_all(b"again")?;
    let (_, read) = reactor.read(&socket)?;
    assert_eq!(reactor.under_way(), 2);

    // The kernel answers the cancelled read: too late, so it is counted, and reaches nobody.
    reactor.cancel(token)?;
    let again = reactor.run(read)?.expect("the kernel reads what is there");
    println!("read {:?}", String::from_utf8_lossy(&again));
    assert_eq!(again, b"again");
    while reactor.under_way() > 0 {
        reactor.turn()?;
    }
    let stats = reactor.stats();
    println!("{stats:?}");
    assert_eq!((stats.in_use, stats.stale), (0, 1));
    Ok(())
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
fn main() {
    println!("io_uring is an interface of Linux");
}
