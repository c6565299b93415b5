//! Turn order between networks: each gets one job hashed per turn, however many it has queued.
//!
//! The same structure is used twice: IPv6 /48 networks (and IPv4 addresses) take turns, and within a /48 its /64
//! networks do. Every operation costs O(log n) in the number of networks.

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Add, Sub},
    time::{Duration, Instant},
};

use super::{JobId, Priority, Waiting};
use crate::domain::network::Network;

/// How many networks that were idle may go before one that has had a turn, in addition to those that wait already. So a
/// registration does not wait for a flood whose previous job is just being hashed. The number is bounded so that many
/// new networks do not starve those that have several jobs.
const NEWCOMERS: u64 = 4;

/// The number of jobs and reserved slots, by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) high: usize,
    pub(super) low: usize,
}

/// Where a new job would be in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The jobs that are hashed before it.
    pub(super) ahead: usize,
    /// The jobs and slots of its network, if another network waits; else 0. Of its /48 if another /48 waits.
    pub(super) held: usize,
}

/// A part of the queue that takes turns with others: the jobs of one network, or of the networks of a /48.
pub(super) trait Share: Default {
    fn load(&self) -> Load;
    /// Where a new job of this network would be within this share.
    fn position(&self, network: Network, priority: Priority) -> Position;
    fn reserve(&mut self, network: Network, priority: Priority);
    /// Releases a reserved slot.
    fn release(&mut self, network: Network, priority: Priority);
    /// Adds a job that is in `Waiting`, in a reserved slot.
    fn push(&mut self, id: JobId, network: Network, priority: Priority);
    /// The priority of the next job, if there is one.
    fn next_priority(&self) -> Option<Priority>;
    /// Takes the next job whose client still waits; its network is busy until [`Share::done`].
    fn pop(&mut self, waiting: &mut Waiting, now: Instant, max_wait: Duration) -> Option<JobId>;
    /// Removes the oldest job of this network and priority.
    fn remove_oldest(&mut self, network: Network, priority: Priority);
    /// The hash of a job of this network has ended.
    fn done(&mut self, network: Network);
    /// Whether nothing is queued, reserved or being hashed, so that it can be forgotten.
    fn is_idle(&self) -> bool;
}

/// The order of a share: those that go ahead come first, then the others by ticket, then by arrival.
type Place = (Turn, u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Before everything of low priority. Only for the first high-priority job of a share since it was idle: a network
    /// that always has logins queued must not starve the registrations of others.
    Ahead,
    InTurn,
}

/// Shares that take turns, by the network of this IPv6 prefix length.
#[derive(Default)]
pub(super) struct Turns<const PREFIX: u8, S> {
    shares: HashMap<Network, Member<S>>,
    /// The shares that have jobs waiting.
    order: BTreeMap<Place, Network>,
    /// The ticket of the last share that was idle before.
    ticket: u64,
    /// Increases with each place.
    arrivals: u64,
    /// The sum of all shares.
    load: Load,
}

#[derive(Default)]
struct Member<S> {
    share: S,
    place: Option<Place>,
    /// Whether a job of it has gone ahead since it was idle.
    has_gone_ahead: bool,
    /// Whether it has had a turn since it was idle.
    has_had_turn: bool,
}

impl<const PREFIX: u8, S: Share> Turns<PREFIX, S> {
    /// Changes the share of a network, and then its place in the order. Forgets it when it is idle.
    fn update<T>(&mut self, key: Network, change: impl FnOnce(&mut S) -> T) -> T {
        let member = self.shares.entry(key).or_default();
        let before = member.share.load();
        let result = change(&mut member.share);
        self.load = self.load - before + member.share.load();
        let turn = member.share.next_priority().map(|priority| match (priority, member.place) {
            (Priority::High, Some((Turn::Ahead, ..))) => Turn::Ahead,
            (Priority::High, _) if !member.has_gone_ahead => Turn::Ahead,
            _ => Turn::InTurn,
        });
        if turn != member.place.map(|(turn, ..)| turn) {
            if let Some(place) = member.place.take() {
                self.order.remove(&place);
            }
            if let Some(turn) = turn {
                self.ticket += u64::from(!member.has_had_turn);
                let ticket = if member.has_had_turn { self.ticket + NEWCOMERS + 1 } else { self.ticket };
                let place = (turn, ticket, self.arrivals);
                self.arrivals += 1;
                self.order.insert(place, key);
                member.place = Some(place);
                member.has_gone_ahead |= turn == Turn::Ahead;
            }
        }
        if member.share.is_idle() {
            self.shares.remove(&key);
        }
        result
    }

    /// The number of networks that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shares.len()
    }
}

impl<const PREFIX: u8, S: Share> Share for Turns<PREFIX, S> {
    fn load(&self) -> Load {
        self.load
    }

    fn position(&self, network: Network, priority: Priority) -> Position {
        let member = self.shares.get(&network.prefix(PREFIX));
        let own = member.map_or_else(Load::default, |member| member.share.load());
        let Position { ahead, held } =
            member.map_or_else(Position::default, |member| member.share.position(network, priority));
        let others = self.load - own;
        let other_shares = self.shares.len() - usize::from(member.is_some());
        // Before each of its own jobs and before the new one, each of the others gets a turn, if it has that many jobs.
        let in_turns = |jobs: usize, turns: usize| jobs.min(turns * other_shares);
        let ahead_of_others = match priority {
            Priority::High => {
                let waits_for_low = usize::from(member.is_some_and(|member| member.has_gone_ahead));
                in_turns(others.high, ahead + 1) + in_turns(others.low, ahead + waits_for_low)
            }
            Priority::Low => in_turns(others.total(), ahead + 1),
        };
        Position { ahead: ahead + ahead_of_others, held: if others.total() > 0 { own.total() } else { held } }
    }

    fn reserve(&mut self, network: Network, priority: Priority) {
        self.update(network.prefix(PREFIX), |share| share.reserve(network, priority));
    }

    fn release(&mut self, network: Network, priority: Priority) {
        self.update(network.prefix(PREFIX), |share| share.release(network, priority));
    }

    fn push(&mut self, id: JobId, network: Network, priority: Priority) {
        self.update(network.prefix(PREFIX), |share| share.push(id, network, priority));
    }

    fn next_priority(&self) -> Option<Priority> {
        let (_, key) = self.order.first_key_value()?;
        self.shares.get(key)?.share.next_priority()
    }

    fn pop(&mut self, waiting: &mut Waiting, now: Instant, max_wait: Duration) -> Option<JobId> {
        // A share whose clients have all disconnected yields no job, and has no place any more.
        while let Some((_, key)) = self.order.pop_first() {
            // Its turn has come: what remains gets a new place behind the others.
            if let Some(member) = self.shares.get_mut(&key) {
                member.place = None;
                member.has_had_turn = true;
            }
            if let Some(id) = self.update(key, |share| share.pop(waiting, now, max_wait)) {
                return Some(id);
            }
        }
        None
    }

    fn remove_oldest(&mut self, network: Network, priority: Priority) {
        self.update(network.prefix(PREFIX), |share| share.remove_oldest(network, priority));
    }

    fn done(&mut self, network: Network) {
        self.update(network.prefix(PREFIX), |share| share.done(network));
    }

    fn is_idle(&self) -> bool {
        self.shares.is_empty()
    }
}

impl Load {
    pub(super) fn total(self) -> usize {
        self.high + self.low
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { high: self.high + other.high, low: self.low + other.low }
    }
}

impl Sub for Load {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { high: self.high - other.high, low: self.low - other.low }
    }
}
