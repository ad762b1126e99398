"""The HTTP contract over real sockets: one installation without workers, many merchants."""
