//! Where a new machine goes: pure, by what the last look saw and what is sold already. It never puts more memory on a node
//! than the node has.

use crate::ids::ClusterId;

/// A node that a machine could go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: String,
    /// Whether the last look saw it online, and its cluster answers.
    pub online: bool,
    /// Processors.
    pub cpu_count: i32,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Memory of our machines on it, running or not, in MiB.
    pub memory_sold_mib: i64,
}

/// What a machine needs.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Virtual processors: at most as many as the node has.
    pub vcpu: i32,
    /// Memory in MiB.
    pub memory_mib: i64,
}

/// Why there is no place, as a sentence for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// No cluster of the location offers the image.
    #[error("This image is not offered in this location.")]
    NotOffered,
    /// All nodes are offline or not seen.
    #[error("No machine of this location can be reached just now. Try again in a few minutes.")]
    NothingOnline,
    /// Nothing has that much room.
    #[error("This location is full for this plan. Choose a smaller plan or another location.")]
    Full,
}

/// Chooses the node with the most free memory that fits. Equal nodes are taken in the order of their names, so the same
/// input gives the same choice.
///
/// # Errors
/// Why none fits.
pub fn choose(candidates: &[Candidate], need: Need) -> Result<&Candidate, NoPlace> {
    if candidates.is_empty() {
        return Err(NoPlace::NotOffered);
    }
    let mut online = candidates.iter().filter(|candidate| candidate.online).peekable();
    if online.peek().is_none() {
        return Err(NoPlace::NothingOnline);
    }
    let free = |candidate: &Candidate| candidate.memory_mib - candidate.memory_sold_mib;
    online
        .filter(|candidate| free(candidate) >= need.memory_mib && candidate.cpu_count >= need.vcpu)
        .min_by(|one, other| {
            free(other)
                .cmp(&free(one))
                .then_with(|| one.node.cmp(&other.node))
                .then_with(|| one.cluster.cmp(&other.cluster))
        })
        .ok_or(NoPlace::Full)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(node: &str, memory_mib: i64, memory_sold_mib: i64) -> Candidate {
        Candidate {
            cluster: uuid::Uuid::nil().into(),
            node: node.into(),
            online: true,
            cpu_count: 8,
            memory_mib,
            memory_sold_mib,
        }
    }

    const SMALL: Need = Need { vcpu: 2, memory_mib: 1024 };

    #[test]
    fn the_freest_node_is_chosen() {
        let nodes = [candidate("a", 8192, 6000), candidate("b", 8192, 1000), candidate("c", 4096, 0)];

        assert_eq!(choose(&nodes, SMALL).unwrap().node, "b");
    }

    #[test]
    fn a_refusal_says_why() {
        let mut offline = candidate("a", 8192, 0);
        offline.online = false;

        assert_eq!(choose(&[], SMALL), Err(NoPlace::NotOffered));
        assert_eq!(choose(&[offline], SMALL), Err(NoPlace::NothingOnline));
        assert_eq!(choose(&[candidate("a", 8192, 8000)], SMALL), Err(NoPlace::Full));
        assert_eq!(choose(&[candidate("a", 8192, 0)], Need { vcpu: 9, memory_mib: 1 }), Err(NoPlace::Full));
    }

    proptest! {
        #[test]
        fn filling_up_spreads_and_never_oversells(memories in proptest::collection::vec(1_000_i64..64_000, 1..6), wanted in 1_i64..4_000) {
            let mut nodes: Vec<_> = memories.iter().enumerate().map(|(index, memory)| candidate(&index.to_string(), *memory, 0)).collect();
            let need = Need { vcpu: 1, memory_mib: wanted };
            let mut placed = 0;

            while let Ok(choice) = choose(&nodes, need) {
                let name = choice.node.clone();
                let node = nodes.iter_mut().find(|node| node.node == name).unwrap();
                node.memory_sold_mib += wanted;
                prop_assert!(node.memory_sold_mib <= node.memory_mib);
                placed += 1;
            }

            // Nothing is refused that would have fitted.
            prop_assert_eq!(placed, memories.iter().map(|memory| memory / wanted).sum::<i64>());
        }
    }
}
