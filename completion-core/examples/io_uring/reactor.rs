//! A ring, the rounds of its reads, and the buffers that the kernel has on loan.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use completion_core::{Completion, Pool, PoolStats, Token};
use io_uring::opcode::{AsyncCancel, Recv};
use io_uring::squeue::Entry;
use io_uring::types::Fd;
use io_uring::{IoUring, Probe};

type Buffer = Vec<u8>;

/// The user data of cancellations, whose own completions interest nobody. No token of the pool: its
/// index is beyond any capacity that is used here.
const CANCELLATION: u64 = u64::MAX;

pub(crate) struct Reactor {
    ring: IoUring,
    reads: Pool<Buffer, io::Error>,
    /// What the kernel may write to, by user data.
    lent: HashMap<u64, Buffer>,
    spare: Vec<Buffer>,
}

impl Reactor {
    /// # Errors
    ///
    /// `PermissionDenied`, `Unsupported` or `OutOfMemory` if the kernel refuses.
    pub(crate) fn new(capacity: u16) -> io::Result<Self> {
        let ring = IoUring::new(8)?;
        let mut probe = Probe::new();
        let probed = ring.submitter().register_probe(&mut probe);
        if probed.is_err() || !probe.is_supported(Recv::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self {
            ring,
            reads: Pool::with_capacity(capacity),
            lent: HashMap::new(),
            spare: Vec::new(),
        })
    }

    /// Begins a read of whatever comes next.
    pub(crate) fn read(
        &mut self,
        socket: &UnixStream,
    ) -> io::Result<(Token, Completion<'static, Buffer, io::Error>)> {
        let (completer, completion) = self.reads.try_rent().map_err(io::Error::other)?;
        let token = completer.into_token().expect("no overflow, so it has one");

        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(4096, 0);
        let length = u32::try_from(buffer.len()).expect("it is small");
        let entry = Recv::new(Fd(socket.as_raw_fd()), buffer.as_mut_ptr(), length).build();
        self.lent.insert(token.to_bits(), buffer);
        // SAFETY: the buffer is not touched until its completion takes it out of `lent`, and leaked if
        // that never comes; the socket is open until the entry is submitted, and then the kernel
        // has a reference of its own.
        unsafe { self.submit(entry.user_data(token.to_bits())) }?;
        Ok((token, completion))
    }

    /// Asks the kernel to end a read that nobody waits for. It answers the read in any case.
    pub(crate) fn cancel(&mut self, token: Token) -> io::Result<()> {
        let entry = AsyncCancel::new(token.to_bits()).build();
        // SAFETY: the entry refers to nothing.
        unsafe { self.submit(entry.user_data(CANCELLATION)) }
    }

    /// After an error the reactor is good for nothing but dropping: the entry may still be queued.
    ///
    /// # Safety
    ///
    /// What the entry refers to is valid: descriptors during the call, memory until its completion.
    unsafe fn submit(&mut self, entry: Entry) -> io::Result<()> {
        // SAFETY: as above.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.ring.submit()?;
        Ok(())
    }

    /// Waits for the kernel, and hands on what it has completed.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        self.ring.submit_and_wait(1)?;
        for entry in self.ring.completion() {
            let token = Token::from_bits(entry.user_data());
            let Some(mut buffer) = self.lent.remove(&entry.user_data()) else {
                continue;
            };
            match usize::try_from(entry.result()) {
                Ok(length) => {
                    buffer.truncate(length);
                    if let Err(late) = self.reads.complete(token, buffer) {
                        self.spare.push(late.into_payload());
                    }
                }
                Err(_) => {
                    self.spare.push(buffer);
                    let error = io::Error::from_raw_os_error(-entry.result());
                    if let Err(late) = self.reads.fail(token, error) {
                        let reason = late.reason();
                        println!("{}: {reason}", late.into_payload());
                    }
                }
            }
        }
        Ok(())
    }

    /// Turns until the future is ready.
    pub(crate) fn run<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        // Whatever happens, happens inside `turn`: there is nothing to wake.
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            self.turn()?;
        }
    }

    /// How many reads the kernel has not answered.
    pub(crate) fn under_way(&self) -> usize {
        self.lent.len()
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.reads.stats()
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // Closing the ring does not wait for the kernel to let go of the buffers.
        mem::forget(mem::take(&mut self.lent));
    }
}
