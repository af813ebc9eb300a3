//! Sleeping to within microseconds. The runtime's own timers have steps of a millisecond.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock;

/// A timer of the kernel that the runtime waits for beside its sockets.
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// # Errors
    ///
    /// If there are no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe, for the sake of descriptors that are not owned"
        )]
        let registered = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        Ok(Self(registered))
    }

    /// Returns at `instant`, or at once if that is over.
    pub(crate) async fn until(&mut self, instant: Instant) -> io::Result<()> {
        let left = instant.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(left),
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready
                .try_io(|descriptor| Ok(rustix::io::read(descriptor.get_ref(), &mut [0_u8; 8])?));
            match read {
                Ok(read) => return read.map(|_| ()),
                Err(_would_block) => {}
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_wakes_after_the_time_and_not_before() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut timer = Timer::new().unwrap();
            for micros in [0, 1, 300, 5000] {
                let instant = clock::now() + Duration::from_micros(micros);
                timer.until(instant).await.unwrap();
                assert!(clock::now() >= instant);
            }
        });
    }
}
