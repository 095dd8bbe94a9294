"""A simulated cluster: nodes, their disks and threads, and the network between them."""
