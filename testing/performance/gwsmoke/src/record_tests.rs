use super::*;
use crate::clock;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn window(start: Instant) -> Window {
    Window {
        start,
        end: start + 1000 * MS,
        stretch: 100 * MS,
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    Outcome {
        status: match verdict {
            Verdict::AsAsked => Some(200),
            Verdict::Refused => Some(503),
            Verdict::Failed => None,
        },
        verdict,
        is_verified: false,
        sent: 1,
        received: 2,
    }
}

#[test]
fn what_was_due_before_or_after_the_window_does_not_count_but_in_the_course() {
    let start = clock::now() + 1000 * MS;
    let mut record = Recorder::new(window(start));
    for (due, ended) in [(-50, -10), (-50, 20), (10, 130), (990, 1250), (1000, 1010)] {
        let at = |ms: i64| match u32::try_from(ms) {
            Ok(ms) => start + ms * MS,
            Err(_) => start - ms.unsigned_abs() as u32 * MS,
        };
        record.begin(Kind::Get, at(due));
        record.end(Kind::Get, at(due), &outcome(Verdict::AsAsked), at(ended));
    }
    let get = &record.operations[Kind::Get as usize];
    assert_eq!((get.begun, get.ended, get.failed), (2, 2, 0));
    assert_eq!(record.answered, 2, "one due before, one due within");
    let course: Vec<u64> = record.stretches.iter().map(|each| each.answered).collect();
    assert_eq!(course, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
    assert_eq!((record.sent, record.received), (2, 4));
}

#[test]
fn what_is_given_up_has_failed_without_an_answer() {
    let start = clock::now();
    let mut record = Recorder::new(window(start));
    for _ in 0..3 {
        record.begin(Kind::Put, start);
    }
    record.end(Kind::Put, start, &outcome(Verdict::Refused), start + MS);
    record.give_up();
    let put = &record.operations[Kind::Put as usize];
    assert_eq!((put.begun, put.ended, put.failed), (3, 3, 2));
    let counts = record.status_counts();
    assert_eq!((counts["none"], counts["503"]), (2, 1));
}

proptest! {
    /// However requests are spread over threads, the sum says the same.
    #[test]
    fn adding_threads_up_is_as_if_there_had_been_one(
        requests in prop::collection::vec((0..1000_u32, 0..500_u32, 0..3_usize, 0..3_usize), 0..200),
    ) {
        let start = clock::now();
        let mut one = Recorder::new(window(start));
        let mut many = [(); 3].map(|()| Recorder::new(window(start)));
        for (due, took, verdict, thread) in requests {
            let verdict = [Verdict::AsAsked, Verdict::Refused, Verdict::Failed][verdict];
            let (due, kind) = (start + due * MS, Kind::ALL[took as usize % Kind::ALL.len()]);
            for record in [&mut one, &mut many[thread]] {
                record.begin(kind, due);
                record.end(kind, due, &outcome(verdict), due + took * MS);
            }
        }
        let [mut sum, second, third] = many;
        sum.add(second);
        sum.add(third);
        prop_assert_eq!(sum.status_counts(), one.status_counts());
        prop_assert_eq!((sum.answers, sum.answered), (one.answers, one.answered));
        for (sum, one) in sum.operations.iter().zip(&one.operations) {
            prop_assert_eq!((sum.begun, sum.ended, sum.failed), (one.begun, one.ended, one.failed));
            prop_assert_eq!(&sum.latency, &one.latency);
        }
        prop_assert_eq!(sum.stretches.len(), one.stretches.len());
        for (sum, one) in sum.stretches.iter().zip(&one.stretches) {
            prop_assert_eq!(
                (sum.answered, sum.refused, sum.errors),
                (one.answered, one.refused, one.errors)
            );
            prop_assert_eq!(&sum.latency, &one.latency);
        }
    }
}
