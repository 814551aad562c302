use super::Plan;

fn chosen(seed: u64, percent: u64, requests: u64) -> Vec<u64> {
    let plan = Plan::new(seed, percent, requests);
    (0..requests)
        .filter(|&index| plan.cancel_after(index).is_some())
        .collect()
}

#[test]
fn exactly_the_floor_is_chosen() {
    for requests in [1, 2, 3, 7, 99, 100, 101, 149, 250, 1_001] {
        for percent in 0..=100 {
            let count = chosen(1, percent, requests).len() as u64;
            assert_eq!(count, percent * requests / 100, "{percent} % of {requests}");
        }
    }
}

#[test]
fn the_seed_decides_who() {
    assert_eq!(chosen(7, 30, 500), chosen(7, 30, 500));
    assert_ne!(chosen(7, 30, 500), chosen(8, 30, 500));
}

#[test]
fn delays_stay_below_the_shortest_timeout() {
    let plan = Plan::new(3, 100, 10_000);
    let longest = (0..10_000)
        .filter_map(|index| plan.cancel_after(index))
        .max();
    assert!(longest.is_some_and(|delay| delay.as_micros() < 1_000));
}
