"""A page over a workspace, on loopback: runs as they go, thresholds that move, documents, labels, SQL."""
