"""The conformance suite: what every provider must satisfy, whichever it is, proven from its cases alone."""
