//! The workloads by name.

mod cluster;
mod codec;
mod election;
mod groups;
mod growth;
mod quorum;
mod rawnode;
mod reads;
mod status;

use crate::bench::{Bench, Shape};

pub fn build(name: &str, shape: &Shape) -> Option<Box<dyn Bench>> {
    Some(match name {
        "cluster" => Box::new(cluster::Cluster::new(shape)),
        "rawnode" => Box::new(rawnode::LoneNode::new(shape)),
        "reads" => Box::new(reads::Reads::new(shape)),
        "groups" => Box::new(groups::Groups::new(shape)),
        "growth" => Box::new(growth::Growth::new(shape)),
        "codec" => Box::new(codec::Codec::new(shape)),
        "quorum" => Box::new(quorum::Quorum::new(shape)),
        "election" => Box::new(election::Election::new(shape)),
        "status" => Box::new(status::Tell::new(shape)),
        _ => return None,
    })
}
