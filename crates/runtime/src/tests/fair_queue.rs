use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn queue(items: &[(char, u32)]) -> FairQueue<char, u32> {
    let mut queue = FairQueue::new(100, 100);
    for &(key, item) in items {
        queue.push(key, item).unwrap();
    }
    queue
}

fn drain(queue: &mut FairQueue<char, u32>) -> Vec<(char, u32)> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn keys_take_turns_and_each_is_served_in_order_of_arrival() {
    let mut queue = queue(&[('a', 1), ('a', 2), ('a', 3), ('b', 4), ('c', 5), ('b', 6)]);
    let expected = [('a', 1), ('b', 4), ('c', 5), ('a', 2), ('b', 6), ('a', 3)];
    assert_eq!(drain(&mut queue), expected);
    assert!(queue.is_empty());
}

#[test]
fn a_newcomer_goes_before_a_key_that_is_alone_and_was_just_served() {
    let mut queue = queue(&[('a', 1), ('a', 2), ('a', 3)]);
    queue.pop().unwrap();
    queue.push('b', 4).unwrap();
    queue.push('b', 5).unwrap();
    assert_eq!(drain(&mut queue), [('b', 4), ('a', 2), ('b', 5), ('a', 3)]);
}

#[test]
fn a_full_key_refuses_only_its_own_items() {
    let mut queue = FairQueue::new(2, 3);
    queue.push('a', 1).unwrap();
    queue.push('a', 2).unwrap();
    assert_eq!(queue.push('a', 3), Err(Full::Key));
    queue.push('b', 4).unwrap();
    assert_eq!(queue.push('b', 5), Err(Full::Queue));
    assert_eq!(queue.push('a', 5), Err(Full::Key));
}

#[test]
fn in_a_full_queue_the_longest_key_loses_its_newest_item() {
    let mut queue = FairQueue::new(3, 4);
    for (key, item) in [('a', 1), ('b', 2), ('a', 3), ('a', 4)] {
        assert_eq!(queue.push_or_displace(key, item), Ok(None));
    }
    assert_eq!(queue.push_or_displace('a', 5), Err(Full::Key));
    assert_eq!(queue.push_or_displace('c', 6), Ok(Some(('a', 4))));
    assert_eq!(queue.push_or_displace('d', 7), Ok(Some(('a', 3))));
    assert_eq!(queue.push_or_displace('e', 8), Err(Full::Queue));
    assert_eq!(queue.push_or_displace('a', 9), Err(Full::Queue));
    assert_eq!(drain(&mut queue), [('a', 1), ('b', 2), ('c', 6), ('d', 7)]);
}

#[test]
fn dropped_items_leave_their_place_and_their_turn() {
    let mut queue = queue(&[('a', 1), ('b', 2), ('b', 3), ('a', 4)]);
    queue.retain(&'a', |_| false);
    queue.retain(&'b', |&item| item == 3);
    queue.retain(&'c', |_| false);
    assert_eq!((queue.len(), queue.len_of(&'a'), queue.len_of(&'b')), (1, 0, 1));
    queue.push('a', 5).unwrap();
    assert_eq!(drain(&mut queue), [('b', 3), ('a', 5)]);
}

#[test]
fn a_queue_without_places_takes_nothing() {
    assert_eq!(FairQueue::new(1, 0).push_or_displace('a', 1), Err(Full::Queue));
    assert_eq!(FairQueue::new(0, 1).push_or_displace('a', 1), Err(Full::Key));
}

const MAX_PER_KEY: usize = 4;
const MAX_IN_ALL: usize = 10;

#[derive(Clone, Debug)]
enum Operation {
    Push(u8),
    PushOrDisplace(u8),
    Pop,
    /// Drops every second item of a key.
    Retain(u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..5_u8).prop_map(Operation::Push),
        3 => (0..5_u8).prop_map(Operation::PushOrDisplace),
        4 => Just(Operation::Pop),
        1 => (0..5_u8).prop_map(Operation::Retain),
    ]
}

/// The waiting items in order of arrival, and which keys were served while each key has waited.
#[derive(Default)]
struct Model {
    waiting: Vec<(u8, usize)>,
    served_since: HashMap<u8, Vec<u8>>,
}

impl Model {
    fn len_of(&self, key: u8) -> usize {
        self.waiting.iter().filter(|(other, _)| *other == key).count()
    }

    fn longest(&self) -> usize {
        self.waiting.iter().map(|(key, _)| self.len_of(*key)).max().unwrap_or(0)
    }

    fn remove(&mut self, item: (u8, usize)) {
        let place = self.waiting.iter().position(|other| *other == item);
        self.waiting.remove(place.expect("what comes out was waiting"));
        if self.len_of(item.0) == 0 {
            self.served_since.remove(&item.0);
        }
    }

    fn push(&mut self, item: (u8, usize)) {
        self.waiting.push(item);
        self.served_since.entry(item.0).or_default();
    }

    fn expected(&self, key: u8) -> Result<(), Full> {
        if self.len_of(key) == MAX_PER_KEY {
            Err(Full::Key)
        } else if self.waiting.len() == MAX_IN_ALL {
            Err(Full::Queue)
        } else {
            Ok(())
        }
    }

    /// Checks that the item is the oldest of its key, and that no other key that waits was passed
    /// over twice by this one.
    fn serve(&mut self, (key, item): (u8, usize)) {
        let oldest = self.waiting.iter().find(|(other, _)| *other == key).expect("it waited");
        assert_eq!(oldest.1, item);
        self.served_since.insert(key, Vec::new());
        self.remove((key, item));
        for (other, served) in self.served_since.iter_mut().filter(|(other, _)| **other != key) {
            assert!(!served.contains(&key), "{key} was served twice while {other} waited");
            served.push(key);
        }
    }
}

proptest! {
    #[test]
    fn bounds_order_and_turns_hold_whatever_happens(operations in vec(operation(), 0..300)) {
        let (mut queue, mut model) = (FairQueue::new(MAX_PER_KEY, MAX_IN_ALL), Model::default());
        for (number, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Push(key) => {
                    let expected = model.expected(key);
                    prop_assert_eq!(queue.push(key, number), expected);
                    if expected.is_ok() {
                        model.push((key, number));
                    }
                }
                Operation::PushOrDisplace(key) => {
                    let (expected, longest) = (model.expected(key), model.longest());
                    let can_displace = longest > model.len_of(key) + 1;
                    match queue.push_or_displace(key, number) {
                        Ok(displaced) => {
                            prop_assert_eq!(displaced.is_none(), expected.is_ok());
                            if let Some(displaced) = displaced {
                                prop_assert!(can_displace);
                                prop_assert_eq!(model.len_of(displaced.0), longest);
                                let newest = model.waiting.iter().rfind(|it| it.0 == displaced.0);
                                prop_assert_eq!(newest, Some(&displaced));
                                model.remove(displaced);
                            }
                            model.push((key, number));
                        }
                        Err(full) => {
                            prop_assert_eq!(Err(full), expected);
                            prop_assert!(full == Full::Key || !can_displace);
                        }
                    }
                }
                Operation::Pop => match queue.pop() {
                    Some(served) => model.serve(served),
                    None => prop_assert!(model.waiting.is_empty()),
                },
                Operation::Retain(key) => {
                    queue.retain(&key, |number| number % 2 == 0);
                    let dropped = |it: &&(u8, usize)| it.0 == key && it.1 % 2 == 1;
                    let dropped: Vec<_> = model.waiting.iter().filter(dropped).copied().collect();
                    dropped.into_iter().for_each(|item| model.remove(item));
                }
            }
            prop_assert_eq!(queue.len(), model.waiting.len());
            prop_assert_eq!(queue.is_empty(), model.waiting.is_empty());
            for key in 0..5 {
                prop_assert_eq!(queue.len_of(&key), model.len_of(key));
            }
        }
    }
}
