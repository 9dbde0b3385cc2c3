//! A future that is polled again at once where it wakes itself.
//!
//! hyper asks for the next piece of a request's body, and hands it over, by waking the task that it already runs in. The
//! runtime would queue that task anew and call another thread to help with the queue: two changes of threads for each
//! request that has a body.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// How often a future is polled before other tasks have their turn.
const MOST_POLLS: usize = 4;

const IDLE: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

/// See the module.
pub(super) struct Again<F> {
    inner: F,
    state: Arc<State>,
    waker: Waker,
}

/// What the future's wakers know.
#[derive(Default)]
struct State {
    /// Idle, being polled, or woken while being polled.
    phase: AtomicU8,
    task: AtomicWaker,
}

impl<F: Future + Unpin> Again<F> {
    pub(super) fn new(inner: F) -> Again<F> {
        let state = Arc::new(State::default());
        Again {
            inner,
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }
}

impl<F: Future + Unpin> Future for Again<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Again {
            inner,
            state,
            waker,
        } = self.get_mut();
        state.task.register(cx.waker());
        for _ in 0..MOST_POLLS {
            // Whatever woke it before this, the poll that follows sees.
            state.phase.swap(POLLED, Ordering::AcqRel);
            let polled = Pin::new(&mut *inner).poll(&mut Context::from_waker(waker));
            if polled.is_ready() || state.rests() {
                return polled;
            }
        }
        state.phase.store(IDLE, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl State {
    /// Leaves it to the task's own waker from here on; `false` if there was a wake during the poll.
    fn rests(&self) -> bool {
        self.change(POLLED, IDLE).is_ok()
    }

    fn change(&self, from: u8, to: u8) -> Result<u8, u8> {
        self.phase
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
    }
}

impl Wake for State {
    fn wake(self: Arc<State>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<State>) {
        if self.change(POLLED, WOKEN) == Err(IDLE) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts the wakes of the task.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Counted>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once a future that is ready at its `polls`-th poll and wakes itself in those before; how often it was
    /// polled, and how often the task was woken.
    fn poll_once(polls: usize) -> (Poll<()>, usize, usize) {
        let count = RefCell::new(0);
        let task = Arc::new(Counted::default());
        let mut future = Again::new(poll_fn(|cx| {
            *count.borrow_mut() += 1;
            if *count.borrow() == polls {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let waker = Waker::from(Arc::clone(&task));
        let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
        drop(future);
        (polled, count.into_inner(), task.0.load(Ordering::SeqCst))
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_and_its_task_left_alone() {
        assert_eq!(poll_once(3), (Poll::Ready(()), 3, 0));
    }

    #[test]
    fn one_that_never_ceases_lets_others_have_their_turn() {
        assert_eq!(poll_once(usize::MAX), (Poll::Pending, MOST_POLLS, 1));
    }

    #[test]
    fn a_wake_between_polls_wakes_the_task() {
        let task = Arc::new(Counted::default());
        let inner_waker = RefCell::new(None::<Waker>);
        let mut future = Again::new(poll_fn(|cx| {
            *inner_waker.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let waker = Waker::from(Arc::clone(&task));
        for wakes in 1..4 {
            assert!(
                Pin::new(&mut future)
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            inner_waker
                .borrow_mut()
                .take()
                .expect("it was polled")
                .wake();
            assert_eq!(task.0.load(Ordering::SeqCst), wakes);
        }
    }
}
